"""Networks of torchvision, timm and plain PyTorch beside those of the catalogue: the same weights, read from each
kind of file, the same input, every stage and the output."""

import re
from typing import Callable, NamedTuple

import safetensors.torch
import timm
import torch
import torchvision

import lamina
from parity import caffe, googlenets, small_networks
from parity.table import attempt, difference

CLASSES = 10


def tv(name, **options):
    return lambda: getattr(torchvision.models, name)(num_classes=CLASSES, **options)


def tm(name):
    return lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES)


def pairs(pattern, *endings, name=lambda module, place: module):
    """A function that pairs values with the modules whose names fit `pattern`: of the names in Lamina, `name` of the
    module and one of the endings, it takes the first that the model has."""
    def of(network, known):
        modules = [module for module, _ in network.named_modules() if re.fullmatch(pattern, module)]
        return {next(value for value in (name(module, place) + ending for ending in endings) if value in known): module
                for place, module in enumerate(modules)}
    return of


class Network(NamedTuple):
    """A network of the catalogue, its counterpart, pairs of values inside, sizes of inputs, and the names under which
    files have its tensors."""

    name: str
    origin: str
    make: Callable
    values: Callable
    sizes: tuple = ((224, 224), (193, 257))
    tensors: Callable = dict
    channels: int = 3


FEATURES = pairs(r"features\.\d+", ".concat", "")
RESIDUAL = pairs(r"relu|act1|maxpool|pool0|layer\d\.\d+", ".relu3", ".relu2", "",
                 name=lambda module, _: {"act1": "relu", "pool0": "maxpool"}.get(module, module))
BLOCKS = r"bn1|blocks\.\d+\.\d+|bn2"


def timm_v2_name(module, _):
    stage = re.sub(r"stages\.(\d)\.blocks\.", lambda found: f"layer{int(found[1]) + 1}.", module)
    return {"stem.pool": "maxpool", "norm": "relu"}.get(module, stage)


def timm_blocks(first, prefix, stem, head):
    """Names of the blocks of timm's mobile networks where Lamina counts them through."""
    def name(module, place):
        return {"bn1": stem, "bn2": head}.get(module, f"{prefix}.{place - 1 + first}")
    return name


def small(name, side, channels=1, tensors=dict):
    return Network(name, "PyTorch", getattr(small_networks, name),
                   pairs(r"(?!drop|half)[^.]+", "", name=lambda module, _: re.sub("_(tanh|mean)", r".\1", module)),
                   ((side, side),), tensors, channels)


VGG_SIZES = ((224, 224), (97, 130))
INCEPTION_SIZES = ((299, 299), (203, 267))
DEPTHS = (18, 34, 50, 101, 152)
NETWORKS = [
    Network("alexnet", "torchvision", tv("alexnet"), FEATURES),
    small("alexnet_paper", 227, 3), small("alexnet_bvlc", 227, 3)._replace(origin="Caffe"),
    *(Network(f"vgg{depth}{suffix}", "torchvision", tv(f"vgg{depth}{suffix}"), FEATURES, VGG_SIZES)
      for suffix in ("", "_bn") for depth in (11, 13, 16, 19)),
    Network("vgg16", "timm", tm("vgg16"), FEATURES, ((224, 224),)),
    Network("vgg16", "Caffe", tv("vgg16"), FEATURES, VGG_SIZES, caffe.vgg_tensors),
    Network("vgg19", "Caffe", tv("vgg19"), FEATURES, VGG_SIZES, caffe.vgg_tensors),
    *(Network(f"squeezenet{version}", "torchvision", tv(f"squeezenet{version}"), FEATURES)
      for version in ("1_0", "1_1")),
    Network("mobilenet_v2", "torchvision", tv("mobilenet_v2"),
            pairs(r"features\.\d+", ".add", ".conv.3", ".conv.2", ".2")),
    Network("mobilenet_v2", "timm", tm("mobilenetv2_100"),
            pairs(BLOCKS, ".add", ".conv.3", ".conv.2", "",
                  name=timm_blocks(1, "features", "features.0.2", "features.18.2"))),
    *(Network(f"resnet{depth}", "torchvision", tv(f"resnet{depth}"), RESIDUAL) for depth in DEPTHS),
    Network("resnet50", "timm", tm("resnet50"), RESIDUAL),
    *(Network(f"resnet{depth}_caffe", "Caffe", lambda depth=depth: caffe.resnet(depth, num_classes=CLASSES),
              RESIDUAL, tensors=caffe.resnet_tensors(depth)) for depth in (50, 101, 152)),
    Network("resnet50_thin", "Caffe", lambda: caffe.thin_resnet(num_classes=CLASSES), RESIDUAL,
            tensors=caffe.thin_resnet_tensors),
    *(Network(f"resnet{depth}_v2", "timm", tm(f"resnetv2_{depth}"),
              pairs(r"stem\.pool|norm|stages\.\d\.blocks\.\d+", ".add", "", name=timm_v2_name))
      for depth in (18, 34)),
    *(Network(f"cifar_resnet{depth}", "PyTorch", lambda depth=depth: small_networks.cifar_resnet(depth),
              pairs(r"relu|layer\d\.\d+", ".relu2", ""), ((32, 32), (35, 49)))
      for depth in (8, 14, 20, 32, 44, 56)),
    *(Network(f"seresnet{depth}", "timm", tm(f"seresnet{depth}"), RESIDUAL) for depth in (50, 101, 152)),
    *(Network(f"legacy_seresnet{depth}", "timm", tm(f"legacy_seresnet{depth}"), RESIDUAL) for depth in DEPTHS),
    Network("legacy_senet154", "timm", tm("legacy_senet154"), RESIDUAL),
    *(Network(f"efficientnet_lite{number}", "timm", tm(f"tf_efficientnet_lite{number}"),
              pairs(BLOCKS, ".add", ".bn3", ".bn2", "", name=timm_blocks(0, "blocks", "stem_act", "head_act")),
              ((side, side), (193, 257))) for number, side in enumerate((224, 240, 260, 280, 300))),
    small("lenet5_1998", 32), small("lenet5", 28), small("lenet_64", 64, 3), small("mnist_cnn", 28),
    small("mnist_net", 28), small("simple_convnet", 28, tensors=small_networks.scratch_tensors),
    small("deep_convnet", 28, tensors=small_networks.scratch_tensors),
    Network("googlenet", "torchvision", tv("googlenet", init_weights=False),
            pairs(r"(conv|maxpool|inception)\w+", ".concat", ".relu", "")),
    Network("googlenet_paper", "Caffe", lambda: googlenets.googlenet_paper(num_classes=CLASSES),
            pairs(r"(conv|inception)\w+", ".concat", ".relu"), tensors=googlenets.caffe_tensors),
    Network("se_inception", "PyTorch", lambda: googlenets.se_inception(num_classes=CLASSES),
            pairs(r"(conv|maxpool|inception)\w+", ".se.scale", ".relu", "")),
    Network("inception_v3", "torchvision", tv("inception_v3", init_weights=False),
            pairs(r"(Conv2d|Mixed)_\w+", ".concat", ".relu"), INCEPTION_SIZES),
    Network("inception_v3", "timm", tm("inception_v3"), pairs(r"(Conv2d|Mixed)_\w+", ".concat", ".relu"),
            INCEPTION_SIZES),
    Network("inception_v4", "timm", tm("inception_v4"), pairs(r"features\.\d+", ".concat", ".relu"),
            INCEPTION_SIZES),
    Network("inception_resnet_v2", "timm", tm("inception_resnet_v2"),
            pairs(r"(conv2d|mixed)_\w+|repeat(_\d)?\.\d+|block8", ".act", ".add", ".concat", ".relu"),
            INCEPTION_SIZES),
    Network("xception", "timm", tm("legacy_xception"), pairs(r"act\d|block\d+", ".add", ""), INCEPTION_SIZES),
]


def randomise(network, size):
    """Gives a network weights under which every layer matters to the output, and its norms statistics that suit an
    input of this size: fresh ones hide mistakes, and others let values grow, or errors."""
    def calibrate(norm, inputs):
        squares = inputs[0].square()
        norm.running_var.copy_(squares.mean([axis for axis in range(squares.ndim) if axis != 1]))
        # A channel that is nearly silent would come out as loud rounding errors.
        norm.running_var.clamp_(min=0.1 * norm.running_var.mean())
        norm.running_mean.normal_(0, 0.1).mul_(norm.running_var.sqrt())

    hooks = []
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.2, 0.8)
            # Biases as large as what they are added to: otherwise rounding errors grow from layer to layer.
            torch.nn.init.normal_(module.bias, 0, 0.5)
            hooks.append(module.register_forward_pre_hook(calibrate))
    network.eval()
    if hooks:
        with torch.no_grad():
            network(torch.randn(size))
    for hook in hooks:
        hook.remove()
    return network


def save_legacy(tensors, path):
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def save_safetensors(tensors, path):
    safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


def rows_of(case, folder):
    """A row for each kind of file."""
    network = randomise(case.make(), (2, case.channels, *case.sizes[-1]))
    known = set(lamina.create(case.name, classes=CLASSES).value_names)
    values = case.values(network, known)
    seen = {}
    for module in values.values():
        # The next layer may overwrite what this one hands over.
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, name=module: seen.__setitem__(name, output.numpy().copy()))
    first, last = case.sizes[0], case.sizes[-1]
    files = [(".pth", torch.save, (2, *first)), (".pth legacy", save_legacy, (1, *last)),
             (".safetensors", save_safetensors, (2, *last))]
    if case.origin == "Caffe":
        files.append((".caffemodel", caffe.save, (2, *last)))
    tensors = case.tensors(network.state_dict())
    for what, save, (batch, height, width) in files:
        size = batch, case.channels, height, width

        def differences():
            path = folder / f"{case.name}{what.split()[0]}"
            save(tensors, path)
            model = lamina.create(case.name, classes=CLASSES)
            model.load_weights(path)
            path.unlink()
            images = torch.randn(size)
            with torch.no_grad():
                expected = {"output": network(images).numpy()}
            expected |= {value: seen[module] for value, module in values.items()}
            found = model.run(images.numpy(), outputs=list(expected))
            return {value: difference(result, wanted)
                    for (value, wanted), result in zip(expected.items(), found)}
        yield attempt(case.name, f"{case.origin} {what}", size, differences)


def rows(folder, names):
    """The rows of the networks of these names, or of all."""
    torch.manual_seed(1)
    for case in NETWORKS:
        if not names or case.name in names:
            yield from rows_of(case, folder)
