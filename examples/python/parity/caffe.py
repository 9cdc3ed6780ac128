"""Networks under Caffe's names, and files as Caffe writes them."""

import numpy
import torch
import torchvision

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(depth, **options):
    """The authors' residual network: strides on the first 1×1, no border around the pooling; a bias in ResNet-50."""
    network = with_strides_first(getattr(torchvision.models, f"resnet{depth}")(**options))
    if depth == 50:
        network.conv1 = type(network.conv1)(3, 64, 7, 2, 3)
    return network


def with_strides_first(network):
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    network.maxpool = type(network.maxpool)(3, 2, ceil_mode=True)
    return network


class ThinBottleneck(torchvision.models.resnet.Bottleneck):
    expansion = 2


def thin_resnet(**options):
    """The residual network of open_nsfw: ResNet-50 of half the width, with a bias in every convolution."""
    network = torchvision.models.ResNet(ThinBottleneck, DEPTHS[50], width_per_group=32, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
    return with_strides_first(network)


def split(key):
    """A tensor of a residual network in PyTorch's names: its block, the branch there, whether a norm has it, and what
    it is."""
    module, _, part = key.rpartition(".")
    block, _, layer = module.rpartition(".")
    if block.endswith(".downsample"):
        return block.removesuffix(".downsample"), "downsample", layer == "1", part
    return block, layer[-1], layer.startswith("bn"), part


def renamed(state, name):
    return {name(key): tensor for key, tensor in state.items() if "num_batches" not in key}


def thin_resnet_tensors(state):
    """The tensors of such a network under the names of open_nsfw's file."""
    branches = {"downsample": "proj_shortcut", "1": "branch2a", "2": "branch2b", "3": "branch2c"}

    def name(key):
        block, branch, is_norm, part = split(key)
        if key.startswith("fc."):
            return f"fc_nsfw.{part}"
        stage, _, number = block.removeprefix("layer").partition(".")
        place = f"stage{int(stage) - 1}_block{number}_{branches[branch]}" if block else "1"
        return f"{('bn' if part.startswith('running') else 'scale') if is_norm else 'conv'}_{place}.{part}"

    return renamed(state, name)


def resnet_tensors(depth):
    """A function from PyTorch's names of a residual network to the authors'."""
    places = {f"layer{stage}.{block}": f"{stage + 1}" + (f"{'a' if block == 0 else f'b{block}'}"
              if depth > 50 and stage in (2, 3) else "abcdef"[block])
              for stage, count in enumerate(DEPTHS[depth], 1) for block in range(count)}
    branches = {"downsample": "1", "1": "2a", "2": "2b", "3": "2c"}

    def name(key):
        block, branch, is_norm, part = split(key)
        if key.startswith("fc."):
            return f"fc1000.{part}"
        place = f"{places[block]}_branch{branches[branch]}" if block else "conv1"
        prefix = "res" if block else ""
        if not is_norm:
            return f"{prefix}{place}.{part}"
        separator = "" if block else "_"
        return f"{'bn' if part.startswith('running') else 'scale'}{separator}{place}.{part}"

    return lambda state: renamed(state, name)


def vgg_tensors(state):
    """The tensors of torchvision's VGG-16 or VGG-19 under Caffe's names."""
    convolutions = sorted({int(key.split(".")[1]) for key in state if key.startswith("features")})
    names, block, place, last = {}, 1, 0, -2
    for number in convolutions:
        block, place = (block, place + 1) if number - last == 2 else (block + 1, 1)
        names[f"features.{number}"], last = f"conv{block}_{place}", number
    names |= {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}
    return {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": tensor for key, tensor in state.items()}


def _varint(number):
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    result.append(number)
    return bytes(result)


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _blob(array):
    array = numpy.ascontiguousarray(array, numpy.float32)
    return _field(7, _field(7, _field(1, b"".join(map(_varint, array.shape)))) + _field(5, array.tobytes()))


def save(tensors, path):
    """Writes tensors named `layer.part` as a `.caffemodel`: the weights of each layer in Caffe's order, statistics
    times a factor that is stored behind them."""
    layers = {}
    for key, tensor in tensors.items():
        layer, _, part = key.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor.numpy()
    with open(path, "wb") as file:
        for name, parts in layers.items():
            if "running_mean" in parts:
                kind = "BatchNorm"
                blobs = [2 * parts["running_mean"], 2 * parts["running_var"], numpy.array([2])]
            else:
                kind = {1: "Scale", 2: "InnerProduct", 4: "Convolution"}[parts["weight"].ndim]
                blobs = [parts[part] for part in ("weight", "bias") if part in parts]
            header = _field(1, name.encode()) + _field(2, kind.encode())
            content = [header, *map(_blob, blobs)]
            file.write(_varint(100 << 3 | 2) + _varint(sum(map(len, content))))
            file.writelines(content)
