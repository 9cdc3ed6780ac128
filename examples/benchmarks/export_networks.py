"""Writes the networks of the comparison in the form that each engine reads, with random weights:

    export_networks.py DIRECTORY [NAME …]

DIRECTORY/models/NAME.onnx is for Lamina, ONNX Runtime and OpenVINO, DIRECTORY/ncnn/NAME.pt for PyTorch,
DIRECTORY/ncnn/NAME.ncnn.param and .bin for ncnn. What is there already stays.
"""

import contextlib
import sys
import warnings
from pathlib import Path

import pnnx
import torch

from networks import NETWORKS


def randomise(network):
    """Gives batch norms statistics and scales as a trained network has them: fresh ones do nothing."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def export(name, folder):
    """Writes one network, unless all its files are there."""
    onnx = folder / "models" / f"{name}.onnx"
    ncnn = folder / "ncnn"
    wanted = [onnx, ncnn / f"{name}.pt", ncnn / f"{name}.ncnn.param", ncnn / f"{name}.ncnn.bin"]
    if all(path.exists() for path in wanted):
        return
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    randomise(network)
    example = torch.randn(1, *shape)
    free = {"input": {0: "batch"}, "output": {0: "batch"}}
    torch.onnx.export(network, example, str(onnx), opset_version=18, dynamo=False, input_names=["input"],
                      output_names=["output"], dynamic_axes=free)
    with contextlib.chdir(ncnn):
        pnnx.export(network, f"{name}.pt", example)
    print(f"{name} exported", flush=True)


def main():
    folder = Path(sys.argv[1]).resolve()
    for part in ("models", "ncnn"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for name in sys.argv[2:] or NETWORKS:
        export(name, folder)


if __name__ == "__main__":
    main()
