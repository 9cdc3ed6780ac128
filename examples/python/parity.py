"""Compares whole networks with PyTorch: the same random weights, the same inputs, every output.

`make parity` runs it; names on the command line choose some. Weights are saved in the other library's own names,
as `.pth` and as `.safetensors`, and both files are loaded by the model's own maps. The largest difference must
stay within 1e-4 of the output's range, also that of the values inside that have a name on both sides.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy
import safetensors.torch
import timm
import torch
import torchvision

import lamina
import parity_inception

TOLERANCE = 1e-4


def tv(name, **options):
    return lambda: getattr(torchvision.models, name)(**options)


def tm(name):
    return lambda: timm.create_model(name, pretrained=False)


def stages(depth, pool="maxpool"):
    """Stem and stages of a residual network: the value's name in Lamina and the module's in PyTorch."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    last = "relu3" if depth >= 50 else "relu2"
    return {"maxpool": pool} | {f"layer{stage}.{count - 1}.{last}": f"layer{stage}"
                                for stage, count in enumerate(blocks, 1)}


class Row:
    """A network of the catalogue, its counterpart, pairs of values inside, and the sizes of the two files' inputs."""

    def __init__(self, name, make, values={}, sizes=((224, 224), (193, 257)), origin="torchvision"):
        self.name, self.make, self.values, self.sizes, self.origin = name, make, values, sizes, origin


DEPTHS = (18, 34, 50, 101, 152)
ROWS = [
    Row("alexnet", tv("alexnet"), {"features.2": "features.2", "features.12": "features.12"}),
    *(Row(f"vgg{depth}{suffix}", tv(f"vgg{depth}{suffix}"), {"features.2": "features.2"}, ((224, 224), (97, 130)))
      for suffix in ("", "_bn") for depth in (11, 13, 16, 19)),
    Row("vgg16", tm("vgg16"), origin="timm", sizes=((224, 224), (224, 224))),
    *(Row(f"squeezenet{version}", tv(f"squeezenet{version}"),
          {"features.2": "features.2", "features.12.concat": "features.12"}) for version in ("1_0", "1_1")),
    Row("mobilenet_v2", tv("mobilenet_v2"), {"features.0.2": "features.0", "features.18.2": "features.18"}),
    Row("mobilenet_v2", tm("mobilenetv2_100"), origin="timm"),
    *(Row(f"resnet{depth}", tv(f"resnet{depth}"), stages(depth)) for depth in DEPTHS),
    *(Row(f"resnet{depth}_v2", tm(f"resnetv2_{depth}"), origin="timm") for depth in (18, 34)),
    *(Row(f"seresnet{depth}", tm(f"seresnet{depth}"), stages(depth), origin="timm") for depth in (50, 101, 152)),
    *(Row(f"legacy_seresnet{depth}", tm(f"legacy_seresnet{depth}"), stages(depth, "pool0"), origin="timm")
      for depth in DEPTHS),
    Row("legacy_senet154", tm("legacy_senet154"), stages(152, "pool0"), origin="timm"),
    *(Row(f"efficientnet_lite{number}", tm(f"tf_efficientnet_lite{number}"), origin="timm") for number in range(5)),
]


def randomise(network):
    """Gives batch norms statistics and scales as a trained network has them: fresh ones hide mistakes."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def compare(row, folder):
    """Tuples of (file, size, largest differences by value, relative to the value's range)."""
    network = row.make().eval()
    randomise(network)
    found = {}
    for theirs in row.values.values():
        # The next layer may overwrite what this one hands over.
        network.get_submodule(theirs).register_forward_hook(
            lambda _module, _inputs, output, name=theirs: found.__setitem__(name, output.numpy().copy()))
    paths = [folder / f"{row.name}.pth", folder / f"{row.name}.safetensors"]
    torch.save(network.state_dict(), paths[0])
    safetensors.torch.save_file(network.state_dict(), paths[1])
    for path, size in zip(paths, row.sizes):
        model = lamina.create(row.name, classes=1000)
        model.load_weights(path)
        path.unlink()
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected = {"output": network(images).numpy()}
        expected |= {ours: found[theirs] for ours, theirs in row.values.items()}
        differences = {}
        for (value, wanted), result in zip(expected.items(), model.run(images.numpy(), outputs=list(expected))):
            if result.shape != wanted.shape:
                sys.exit(f"{row.name}: {value}: expected shape {wanted.shape}, found {result.shape}")
            differences[value] = float(numpy.abs(result - wanted).max() / numpy.ptp(wanted))
        yield path.suffix, size, differences


def own_rows(folder, names):
    """Rows as `parity_inception` has them, of the networks here."""
    for row in ROWS:
        if names and row.name not in names:
            continue
        for suffix, (height, width), differences in compare(row, folder):
            inner = max(((difference, value) for value, difference in differences.items() if value != "output"),
                        default=(0.0, ""))
            yield row.name, f"{row.origin} {suffix}", (2, height, width), differences["output"], inner


def main():
    torch.manual_seed(1)
    names = sys.argv[1:]
    passed = failed = 0
    print("network, file, size, largest difference of the output and inside, relative to the range")
    with tempfile.TemporaryDirectory() as folder:
        tables = [own_rows(Path(folder), names)]
        if not names:
            tables.append(parity_inception.rows(Path(folder)))
        for name, file, size, outer, (inner, place) in itertools.chain(*tables):
            good = outer <= TOLERANCE and inner <= TOLERANCE
            verdict = "ok" if good else f"DIFFERS {place}"
            print(f"{name:26} {file:24} {' x '.join(map(str, size)):16} {outer:.1e}  {inner:.1e}  {verdict}",
                  flush=True)
            passed += good
            failed += not good
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
