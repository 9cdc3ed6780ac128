"""Compares whole networks with PyTorch: the same random weights, the same inputs, every output.

`make parity` runs it. The largest difference must stay within 1e-4 of the output's range.
"""

import sys
import tempfile
from pathlib import Path

import numpy
import timm
import torch
import torchvision

import lamina

TOLERANCE = 1e-4
SIZES = [(224, 224), (193, 257)]
BATCHES = [1, 3]
REFERENCES = {
    "resnet18": lambda: torchvision.models.resnet18(),
    "resnet50": lambda: torchvision.models.resnet50(),
    "efficientnet_lite0": lambda: timm.create_model("tf_efficientnet_lite0", pretrained=False),
}


def randomise(network):
    """Gives batch norms statistics and scales as a trained network has them: fresh ones hide mistakes."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def state(network):
    """The network's tensors. timm numbers a block by stage and place, and the norms by place in the block; the
    published EfficientNet-Lite files count blocks through, and name norms for the convolution they follow."""
    tensors = network.state_dict()
    if not isinstance(network, timm.models.EfficientNet):
        return tensors
    names = {"conv_stem": "conv_stem", "bn1": "bn0", "conv_head": "conv_head", "bn2": "bn1", "classifier": "fc"}
    places = [f"blocks.{stage}.{place}" for stage, blocks in enumerate(network.blocks)
              for place in range(len(blocks))]
    for number, place in enumerate(places):
        expands = f"{place}.conv_pwl.weight" in tensors
        layers = ["conv_pw", "bn1"] * expands + ["conv_dw", "bn2" if expands else "bn1"]
        layers += ["conv_pwl", "bn3"] if expands else ["conv_pw", "bn2"]
        targets = ["expand_conv", "bn0"] * expands + ["depthwise_conv", "bn1", "project_conv", "bn2"]
        names |= {f"{place}.{layer}": f"blocks.{number}.{target}" for layer, target in zip(layers, targets)}
    split = {key: key.rpartition(".") for key in tensors}
    return {f"{names[layer]}.{part}": tensors[key] for key, (layer, _, part) in split.items()}


def compare(name, folder):
    """Rows of (batch, height, width, largest difference relative to the output's range)."""
    network = REFERENCES[name]().eval()
    randomise(network)
    path = folder / f"{name}.pth"
    torch.save(state(network), path)
    model = lamina.create(name, classes=1000)
    model.load_weights(path)
    for batch in BATCHES:
        for height, width in SIZES:
            images = torch.randn(batch, 3, height, width)
            with torch.no_grad():
                expected = network(images).numpy()
            found = model.run(images.numpy())[0]
            if found.shape != expected.shape:
                sys.exit(f"{name}: expected shape {expected.shape}, found {found.shape}")
            difference = numpy.abs(found - expected).max() / numpy.ptp(expected)
            yield batch, height, width, float(difference)


def main():
    torch.manual_seed(1)
    failures = 0
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in REFERENCES:
            for batch, height, width, difference in compare(name, Path(folder)):
                verdict = "ok" if difference <= TOLERANCE else "DIFFERS"
                print(f"{name:20} {batch} x {height} x {width}  {difference:.1e}  {verdict}", flush=True)
                passed += difference <= TOLERANCE
                failures += not difference <= TOLERANCE
    print(f"{passed} passed, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
