"""GoogLeNets that torchvision has not: of the paper, and with squeeze-and-excitation."""

import functools
import importlib

import torch

tv = importlib.import_module("torchvision.models.googlenet")


class BiasedConvolution(torch.nn.Module):
    """GoogLeNet's convolution in the paper: bias and ReLU."""

    def __init__(self, in_channels, out_channels, **options):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, out_channels, **options)

    def forward(self, x):
        return torch.relu(self.conv(x))


class PaperInception(tv.Inception):
    """With 5×5 windows."""

    def __init__(self, in_channels, one, three_reduce, three, five_reduce, five, pool, conv_block=None):
        super().__init__(in_channels, one, three_reduce, three, five_reduce, five, pool, BiasedConvolution)
        self.branch3[1] = BiasedConvolution(five_reduce, five, kernel_size=5, padding=2)


def googlenet_paper(**options):
    """The paper's network, as Caffe has it."""
    auxiliary = functools.partial(tv.InceptionAux, conv_block=BiasedConvolution)
    blocks = [BiasedConvolution, PaperInception, auxiliary]
    network = tv.GoogLeNet(init_weights=False, blocks=blocks, **options)
    norm = torch.nn.LocalResponseNorm(5)
    network.maxpool1 = torch.nn.Sequential(network.maxpool1, norm)
    network.maxpool2 = torch.nn.Sequential(norm, network.maxpool2)
    network.maxpool4 = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    return network


class SqueezeExcite(torch.nn.Module):
    """Each channel scaled by what all of them say."""

    def __init__(self, channels):
        super().__init__()
        self.fc1 = torch.nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = torch.nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class SEInception(tv.Inception):
    """With squeeze-and-excitation behind it."""

    def __init__(self, in_channels, one, three_reduce, three, five_reduce, five, pool, conv_block=None):
        super().__init__(in_channels, one, three_reduce, three, five_reduce, five, pool, conv_block)
        self.se = SqueezeExcite(one + three + five + pool)

    def forward(self, x):
        return self.se(super().forward(x))


def se_inception(**options):
    """torchvision's GoogLeNet with squeeze-and-excitation."""
    blocks = [tv.BasicConv2d, SEInception, tv.InceptionAux]
    return tv.GoogLeNet(init_weights=False, aux_logits=False, blocks=blocks, **options)


CAFFE_LAYERS = {"branch1": "1x1", "branch2.0": "3x3_reduce", "branch2.1": "3x3", "branch3.0": "5x5_reduce",
                "branch3.1": "5x5", "branch4.1": "pool_proj"}


def _caffe_name(key):
    module, _, part = key.rpartition(".")
    module = module.removesuffix(".conv")
    names = {"conv1": "conv1/7x7_s2", "conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3", "fc": "loss3/classifier"}
    if module.startswith("inception"):
        block, _, branch = module.partition(".")
        name = f"inception_{block.removeprefix('inception')}/{CAFFE_LAYERS[branch]}"
    elif module.startswith("aux"):
        layer = {"conv": "conv", "fc1": "fc", "fc2": "classifier"}[module[5:]]
        name = f"loss{module[3]}/{layer}"
    else:
        name = names[module]
    return f"{name}.{part}"


def caffe_tensors(state):
    """The tensors of the paper's GoogLeNet under Caffe's names."""
    return {_caffe_name(key): tensor for key, tensor in state.items()}
