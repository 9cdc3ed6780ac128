"""Networks that no library has, as PyTorch modules: those of papers, books and tutorials.

Their parameters have the names of the files that people have of them, else of Lamina's own layers.
"""

import torch
from torch import nn
from torch.nn import functional


class Named(nn.Module):
    """Layers by name, run one after the other."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


class Scale(nn.Module):
    """factor · x"""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class ScaledTanh(nn.Module):
    """1.7159 · tanh(2/3 · x)"""

    def forward(self, x):
        return 1.7159 * torch.tanh(x * (2 / 3))


class ChosenMaps(nn.Module):
    """LeNet's C3: sixteen maps, each of which sees the maps of S2 that table I of the paper gives it."""

    TABLE = [[{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 5}, {0, 4, 5}, {0, 1, 5}],
             [{0, 1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4, 5}, {0, 3, 4, 5}, {0, 1, 4, 5}, {0, 1, 2, 5}, {0, 1, 3, 4},
              {1, 2, 4, 5}, {0, 2, 3, 5}],
             [{0, 1, 2, 3, 4, 5}]]

    def __init__(self):
        super().__init__()
        for number, rows in enumerate(self.TABLE):
            layer = nn.Conv2d(len(rows[0]), len(rows), 5)
            self.add_module(str(number), layer)

    def forward(self, x):
        maps = []
        for layer, rows in zip(self.children(), self.TABLE):
            for row, weight, bias in zip(rows, layer.weight, layer.bias):
                chosen = torch.cat([x[:, place:place + 1] for place in sorted(row)], 1)
                maps.append(functional.conv2d(chosen, weight[None], bias[None]))
        return torch.cat(maps, 1)


def lenet5_1998():
    def subsampling(channels):
        return nn.Conv2d(channels, channels, 1, groups=channels)
    pool = nn.AvgPool2d(2)
    return Named(c1=nn.Conv2d(1, 6, 5), c1_tanh=ScaledTanh(), s2_mean=pool, s2=subsampling(6), s2_tanh=ScaledTanh(),
                 c3=ChosenMaps(), c3_tanh=ScaledTanh(), s4_mean=nn.AvgPool2d(2), s4=subsampling(16),
                 s4_tanh=ScaledTanh(), c5=nn.Conv2d(16, 120, 5), c5_tanh=ScaledTanh(), flatten=nn.Flatten(),
                 f6=nn.Linear(120, 84), f6_tanh=ScaledTanh(), output_layer=nn.Linear(84, 10))


def lenet5():
    return Named(conv1=nn.Conv2d(1, 6, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                 conv2=nn.Conv2d(6, 16, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
                 fc1=nn.Linear(400, 120), relu3=nn.ReLU(), fc2=nn.Linear(120, 84), relu4=nn.ReLU(),
                 fc3=nn.Linear(84, 10))


def lenet_64():
    return Named(conv1=nn.Conv2d(3, 6, 3, bias=False), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                 conv2=nn.Conv2d(6, 16, 4, bias=False), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
                 fc=nn.Linear(3136, 10, bias=False))


def mnist_cnn():
    return Named(conv1=nn.Conv2d(1, 8, 3), relu1=nn.ReLU(), conv2=nn.Conv2d(8, 16, 3), relu2=nn.ReLU(),
                 conv3=nn.Conv2d(16, 24, 3), relu3=nn.ReLU(), norm1=nn.BatchNorm2d(24), flatten=nn.Flatten(),
                 fc1=nn.Linear(24 * 22 * 22, 32), relu4=nn.ReLU(), dropout1=nn.Dropout(0.3), fc2=nn.Linear(32, 10),
                 norm2=nn.BatchNorm1d(10))


def mnist_net():
    layers = {}
    channels = 1
    for number, (out, border) in enumerate([(32, 0), (64, 0), (128, 1)], 1):
        layers |= {f"conv{number}": nn.Conv2d(channels, out, 3, padding=1, bias=False), f"relu{number}": nn.ReLU(),
                   # Of 7×7 the last window of `same` reaches over the right and lower edge.
                   f"pool{number}": nn.MaxPool2d(2, ceil_mode=bool(border)), f"dropout{number}": nn.Dropout(0.2)}
        channels = out
    return Named(**layers, flatten=nn.Flatten(), fc1=nn.Linear(2048, 625, bias=False), relu4=nn.ReLU(),
                 dropout4=nn.Dropout(), fc2=nn.Linear(625, 10, bias=False))


def simple_convnet():
    return Named(conv1=nn.Conv2d(1, 30, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2), flatten=nn.Flatten(),
                 fc2=nn.Linear(4320, 100), relu2=nn.ReLU(), fc3=nn.Linear(100, 10))


def deep_convnet():
    layers = {}
    channels = 1
    for number, out in enumerate([16, 16, 32, 32, 64, 64], 1):
        layers |= {f"conv{number}": nn.Conv2d(channels, out, 3, padding=2 if number == 4 else 1),
                   f"relu{number}": nn.ReLU()}
        if number % 2 == 0:
            layers[f"pool{number // 2}"] = nn.MaxPool2d(2)
        channels = out
    return Named(**layers, flatten=nn.Flatten(), fc7=nn.Linear(1024, 50), relu7=nn.ReLU(), half7=Scale(0.5),
                 fc8=nn.Linear(50, 10), half8=Scale(0.5))


def scratch_tensors(state):
    """The names and layout of the files of `Deep Learning from Scratch`: W1, b1, …; dense weights [in, out]."""
    return {("W" if key.endswith("weight") else "b") + key.partition(".")[0][-1]:
            tensor.T if key.startswith("fc") and tensor.ndim == 2 else tensor for key, tensor in state.items()}


class PaperLRN(nn.Module):
    """x / (k + alpha · sum of squares of `size` neighbouring maps)^beta, alpha not divided by the size."""

    def __init__(self, size, alpha, beta, k):
        super().__init__()
        self.norm = nn.LocalResponseNorm(size, alpha * size, beta, k)

    def forward(self, x):
        return self.norm(x)


def two_tower_alexnet(norm):
    layers = {}
    channels = 3
    for number, (out, kernel, stride, groups) in enumerate(
            [(96, 11, 4, 1), (256, 5, 1, 2), (384, 3, 1, 1), (384, 3, 1, 2), (256, 3, 1, 2)], 1):
        padding = kernel // 2 if stride == 1 else 0
        layers |= {f"conv{number}": nn.Conv2d(channels, out, kernel, stride, padding, groups=groups),
                   f"relu{number}": nn.ReLU()}
        if number <= 2:
            layers[f"norm{number}"] = norm()
        if number in (1, 2, 5):
            layers[f"pool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = out
    return Named(**layers, flatten=nn.Flatten(), fc6=nn.Linear(9216, 4096), relu6=nn.ReLU(), drop6=nn.Dropout(),
                 fc7=nn.Linear(4096, 4096), relu7=nn.ReLU(), drop7=nn.Dropout(), fc8=nn.Linear(4096, 10))


def alexnet_paper():
    return two_tower_alexnet(lambda: PaperLRN(5, 1e-4, 0.75, 2))


def alexnet_bvlc():
    return two_tower_alexnet(lambda: nn.LocalResponseNorm(5, 1e-4, 0.75, 1))


class CIFARBlock(nn.Module):
    """Two 3×3 convolutions; where the shape changes, every other pixel and zeros for the new channels (option A)."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.added = stride, out - channels

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.added:
            half = self.added // 2
            x = functional.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, half, half))
        return torch.relu(x + y)


def cifar_resnet(depth):
    layers = {"conv1": nn.Conv2d(3, 16, 3, padding=1, bias=False), "bn1": nn.BatchNorm2d(16), "relu": nn.ReLU()}
    channels = 16
    for stage, out in enumerate([16, 32, 64], 1):
        blocks = []
        for block in range((depth - 2) // 6):
            blocks.append(CIFARBlock(channels, out, 2 if stage > 1 and block == 0 else 1))
            channels = out
        layers[f"layer{stage}"] = nn.Sequential(*blocks)
    return Named(**layers, avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(64, 10))
