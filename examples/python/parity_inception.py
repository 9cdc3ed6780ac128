"""Compares GoogLeNet, the Inceptions and Xception with torchvision, timm and Keras: the same random weights in
files of theirs, the same inputs, the stem, every stage and the output.

`rows(folder)` yields what a table of `parity.py` holds; the module prints one when it runs by itself.
"""

import functools
import importlib
import os
import sys
import tempfile
from pathlib import Path

import numpy
import safetensors.torch
import timm
import torch
import torchvision

import lamina

tv = importlib.import_module("torchvision.models.googlenet")
TOLERANCE = 1e-4
SIZES = {224: [(2, 224, 224), (1, 193, 257)], 299: [(2, 299, 299), (1, 203, 267)]}


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


def paper_googlenet():
    """The paper's network, as Caffe has it."""
    auxiliary = functools.partial(tv.InceptionAux, conv_block=BiasedConvolution)
    network = tv.GoogLeNet(init_weights=False, blocks=[BiasedConvolution, PaperInception, auxiliary])
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


def se_inception():
    """torchvision's GoogLeNet with squeeze-and-excitation."""
    blocks = [tv.BasicConv2d, SEInception, tv.InceptionAux]
    return tv.GoogLeNet(init_weights=False, aux_logits=False, blocks=blocks)


CAFFE_LAYERS = {"branch1": "1x1", "branch2.0": "3x3_reduce", "branch2.1": "3x3", "branch3.0": "5x5_reduce",
                "branch3.1": "5x5", "branch4.1": "pool_proj"}


def caffe_name(key):
    """Caffe's name of a parameter of GoogLeNet."""
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


def torch_values(network, suffixes):
    """Names of submodules and of their results in Lamina; the first beginning that fits counts."""
    values = {}
    for name, _ in network.named_modules():
        for beginning, suffix in suffixes.items():
            if name.startswith(beginning) and name.count(".") == beginning.count("."):
                values.setdefault(name, name + suffix)
    return values


GOOGLENET = {"conv": ".relu", "maxpool": "", "inception": ".concat"}
RESIDUAL = {"conv2d_": ".relu", "mixed_": ".concat", "repeat.": ".act", "repeat_1.": ".act", "repeat_2.": ".act",
            "block8": ".add"}

# Name, side, network, suffixes of values, name in the file.
TORCH = [
    ("googlenet", 224, lambda: tv.GoogLeNet(init_weights=False), GOOGLENET, str),
    ("googlenet_paper", 224, paper_googlenet, {"conv": ".relu", "inception": ".concat"}, caffe_name),
    ("se_inception", 224, se_inception, {"conv": ".relu", "maxpool": "", "inception": ".se.scale"}, str),
    ("inception_v3", 299, lambda: torchvision.models.inception_v3(init_weights=False),
     {"Conv2d_": ".relu", "Mixed_": ".concat"}, str),
    ("inception_v3", 299, lambda: timm.create_model("inception_v3"), {"Conv2d_": ".relu", "Mixed_": ".concat"}, str),
    ("inception_v4", 299, lambda: timm.create_model("inception_v4"),
     {f"features.{i}": ".relu" if i < 3 else ".concat" for i in reversed(range(22))}, str),
    ("inception_resnet_v2", 299, lambda: timm.create_model("inception_resnet_v2"), RESIDUAL, str),
    ("xception", 299, lambda: timm.create_model("legacy_xception"), {"act": "", "block": ".add"}, str),
]
KERAS = [("inception_v3_keras", "InceptionV3"), ("inception_resnet_v2_keras", "InceptionResNetV2"),
         ("xception_keras", "Xception")]


def randomise(network):
    """Gives a network weights under which every layer matters to the output."""
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def difference(found, expected):
    """The largest difference relative to the range of what is expected."""
    if found.shape != expected.shape:
        sys.exit(f"expected shape {expected.shape}, found {found.shape}")
    return float(numpy.abs(found - expected).max() / numpy.ptp(expected))


def compare(model, values, evaluate, size):
    """The differences of the values' results in the worst place, and of the output. `evaluate` gives the results
    of the keys of `values` and the output."""
    batch, height, width = size
    images = torch.randn(batch, 3, height, width)
    expected, output = evaluate(images)
    found = model.run(images.numpy(), outputs=["output", *values.values()])
    inner = [(difference(array, expected[name]), name) for name, array in zip(values, found[1:])]
    return difference(found[0], output), max(inner, default=(0.0, ""))


def torch_rows(folder):
    """A row for each network of torchvision and timm, file format and size."""
    for name, side, make, suffixes, rename in TORCH:
        network = make().eval()
        randomise(network)
        values = torch_values(network, suffixes)
        results = {}

        def keep(module, _, output, results=results, names={m: n for n, m in network.named_modules()}):
            results[names[module]] = output.detach().clone().numpy()

        for value in values:
            network.get_submodule(value).register_forward_hook(keep)

        def evaluate(images, network=network, results=results):
            with torch.no_grad():
                output = network(images).numpy()
            return results, output

        state = {rename(key): tensor.contiguous() for key, tensor in network.state_dict().items()}
        paths = [folder / f"{name}.pth", folder / f"{name}.safetensors"]
        torch.save(state, paths[0])
        safetensors.torch.save_file(state, paths[1])
        source = type(network).__module__.partition(".")[0]
        for path, size in zip(paths, SIZES[side]):
            model = lamina.create(name, classes=1000)
            model.load_weights(path)
            yield (name, f"{'Caffe' if rename is caffe_name else source} {path.suffix}", size,
                   *compare(model, values, evaluate, size))


def keras_tensors(layer):
    """The tensors of a layer as a reader of Keras' files hands them over."""
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    tensors = {}
    for name, array in weights.items():
        if name == "depthwise_kernel":
            height, width = array.shape[:2]
            tensors["depthwise.weight"] = array.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)
        elif name == "pointwise_kernel":
            tensors["pointwise.weight"] = array.transpose(3, 2, 0, 1)
        elif name == "kernel":
            tensors["weight"] = array.T if array.ndim == 2 else array.transpose(3, 2, 0, 1)
        else:
            part = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
                    "moving_variance": "running_var"}.get(name, name)
            tensors[part] = array
    return {part: torch.tensor(numpy.ascontiguousarray(array)) for part, array in tensors.items()}


def keras_rows(folder):
    """A row for each network of Keras and way of naming its layers."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    classes = {keras.layers.Conv2D: "conv2d", keras.layers.SeparableConv2D: "separable_conv2d",
               keras.layers.BatchNormalization: "batch_normalization", keras.layers.Dense: "dense"}
    generator = numpy.random.default_rng(1)
    for name, function in KERAS:
        network = getattr(keras.applications, function)(weights=None, classifier_activation=None)
        layers = [layer for layer in network.layers if layer.weights]
        for layer in layers:
            for weight in layer.weights:
                fan_in = numpy.prod(weight.shape[:2 if weight.name == "depthwise_kernel" else -1])
                values = {"gamma": lambda s: generator.uniform(0.5, 1.5, s),
                          "moving_variance": lambda s: generator.uniform(0.5, 1.5, s)}
                normal = (2 / fan_in) ** 0.5 if "kernel" in weight.name else 0.1
                weight.assign(values.get(weight.name, lambda s: generator.normal(0, normal, s))(weight.shape))
        counts = {}
        named, numbered = {}, {}
        for layer in layers:
            kind = classes[type(layer)]
            number = counts[kind] = counts.get(kind, -1) + 1
            label = f"{kind}_{number}" if number else kind
            tensors = keras_tensors(layer)
            named |= {f"{layer.name}.{part}": tensor for part, tensor in tensors.items()}
            numbered |= {f"{label}.{part}": tensor for part, tensor in tensors.items()}
        paths = [folder / f"{name}.pth", folder / f"{name}.safetensors"]
        torch.save(named, paths[0])
        safetensors.torch.save_file(numbered, paths[1])

        def evaluate(images, network=network):
            with torch.no_grad():
                return {}, network(images.permute(0, 2, 3, 1)).cpu().numpy()

        for path, way in zip(paths, ["by position", "by number"]):
            model = lamina.create(name, classes=1000)
            model.load_weights(path)
            size = SIZES[299][0]
            yield name, f"keras {way}", size, *compare(model, {}, evaluate, size)


def rows(folder):
    """(name, file, (batch, height, width), difference of the output, (worst difference inside, where))."""
    yield from torch_rows(folder)
    yield from keras_rows(folder)


def main():
    torch.manual_seed(1)
    failures = 0
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, file, size, outer, (inner, place) in rows(Path(folder)):
            good = max(outer, inner) <= TOLERANCE
            verdict = "ok" if good else f"DIFFERS {place}"
            print(f"{name:26} {file:24} {' x '.join(map(str, size)):16} {outer:.1e}  {inner:.1e}  {verdict}",
                  flush=True)
            passed += good
            failures += not good
    print(f"{passed} passed, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
