"""Compares networks with those of torchvision, timm, Keras and PyTorch, and with ONNX Runtime.

`make parity` runs it; names on the command line choose networks. Weights are random, saved in the other library's
files under its names, and read by Lamina's own maps; every stage and the output must be within 1e-4 of their range.
Steps of training follow: see `training.py`.
"""

import itertools
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import lamina
from parity import keras_networks, onnx_files, pretrained, torch_networks, training
from parity.table import Row, show, summarise


def without_counterpart(rows):
    """A failed row for each network of the catalogue that nothing was compared with."""
    compared = {row.name for row in rows if "ONNX Runtime" not in row.what}
    return [Row(name, "", "", "no row compares it with anything", False) for name in lamina.architectures()
            if name not in compared]


def main():
    names = set(sys.argv[1:])
    warnings.simplefilter("ignore")
    logging.getLogger("absl").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        modules = torch_networks, keras_networks, onnx_files, pretrained
        rows = show(itertools.chain.from_iterable(module.rows(Path(folder), names) for module in modules),
                    "largest difference of the output, and anywhere")
        if not names:
            rows += show(without_counterpart(rows))
        rows += show(training.rows(Path(folder), names), training.HEADING)
    sys.exit(0 if summarise(rows) else 1)


if __name__ == "__main__":
    main()
