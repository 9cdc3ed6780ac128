"""Exports the models of the catalogue as ONNX and runs them in ONNX Runtime: the same input, every output.

Each model has random weights. The exported file is checked by `onnx`, run by ONNX Runtime, and loaded by Lamina again;
the largest difference of either must stay within 1e-4 of the output's range. Names on the command line choose models.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnx
import onnxruntime

import lamina

TOLERANCE = 1e-4
BATCH = 2


def difference(found, expected):
    """The largest difference relative to the expected range."""
    if found.shape != expected.shape:
        return float("inf")
    return float(numpy.abs(found - expected).max() / max(numpy.ptp(expected), 1e-30))


def compare(name, folder):
    """(differences of ONNX Runtime and of the model loaded again, number of ONNX nodes)"""
    path = folder / f"{name}.onnx"
    model = lamina.create(name)
    model.export(path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = [BATCH, *model.summary(as_json=True)["inputs"][0]["shape"][1:]]
    values = numpy.random.default_rng(1).standard_normal(shape).astype(numpy.float32)
    expected = model.run(values)
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {session.get_inputs()[0].name: values})
    again = lamina.load(path).run(values)
    nodes = len(onnx.load(str(path), load_external_data=False).graph.node)
    path.unlink()
    return (max(map(difference, found, expected)), max(map(difference, again, expected)), nodes)


def main():
    names = sys.argv[1:] or lamina.architectures()
    failures = 0
    print(f"{'model':28} {'nodes':>5}  runtime  reimport")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                runtime, again, nodes = compare(name, Path(folder))
            except (lamina.Error, onnx.checker.ValidationError, RuntimeError, ValueError) as error:
                print(f"{name:28} {error}", flush=True)
                failures += 1
                continue
            passed = runtime <= TOLERANCE and again <= TOLERANCE
            failures += not passed
            print(f"{name:28} {nodes:5}  {runtime:.1e}  {again:.1e}   {'ok' if passed else 'DIFFERS'}",
                  flush=True)
    print(f"{len(names) - failures} passed, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
