"""Lamina as a backend for ONNX tools: `onnx.backend.base.Backend` on the `lamina` package.

    import lamina.onnx_backend as backend
    rep = backend.prepare(onnx.load("model.onnx"))
    outputs = rep.run([x])

Lamina computes in float32: inputs of other floating-point types are converted on the way in, and outputs to
the types that the model declares on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import onnx  # type: ignore[import-not-found,unused-ignore]
from onnx import helper
from onnx.backend.base import (  # type: ignore[import-not-found,unused-ignore]
    Backend,
    BackendRep,
    namedtupledict,
)

import lamina


def _declared_type(value: Any) -> Any:
    """The numpy type of an output's declaration, or None where it has none."""
    element_type = value.type.tensor_type.elem_type
    return helper.tensor_dtype_to_np_dtype(element_type) if element_type else None


class LaminaBackendRep(BackendRep):  # type: ignore[misc,unused-ignore]
    """A model ready to run."""

    def __init__(self, proto: Any, model: lamina.Model) -> None:
        initializers = {tensor.name for tensor in proto.graph.initializer}
        self._inputs = [v.name for v in proto.graph.input if v.name not in initializers]
        self._outputs = [(v.name, _declared_type(v)) for v in proto.graph.output]
        self._model = model
        self._types = {value.name: numpy.dtype(value.type) for value in model.inputs}

    def run(self, inputs: Any, **kwargs: Any) -> Any:
        """Runs the model on a sequence of arrays, a dict by name, or one array."""
        if isinstance(inputs, numpy.ndarray):
            inputs = [inputs]
        feeds = dict(inputs) if isinstance(inputs, dict) else dict(zip(self._inputs, inputs))
        feeds = {
            name: numpy.ascontiguousarray(numpy.asarray(array).astype(self._types[name], copy=False))
            .reshape(numpy.shape(array))
            for name, array in feeds.items()
        }
        names = [name for name, _ in self._outputs]
        results = self._model.run(feeds, outputs=names)
        arrays = [
            array if dtype is None else array.astype(dtype, copy=False)
            for array, (_, dtype) in zip(results, self._outputs)
        ]
        return namedtupledict("Outputs", names)(*arrays)


class LaminaBackend(Backend):  # type: ignore[misc,unused-ignore]
    """ONNX models on Lamina, on the CPU."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.upper() == "CPU"

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", threads: int | None = None,
                **kwargs: Any) -> LaminaBackendRep:
        return LaminaBackendRep(model, lamina.load(model.SerializeToString(), threads=threads))

    @classmethod
    def run_node(cls, node: Any, inputs: Sequence[Any], device: str = "CPU", outputs_info: Any = None,
                 opset_version: int | None = None, **kwargs: Any) -> Any:
        arrays = [numpy.asarray(array) for array in inputs]
        names = [name for name in node.input if name]
        graph = helper.make_graph(
            [node],
            "node",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in zip(names, arrays)
            ],
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(numpy.dtype(info[0])), info[1]
                )
                if (info := outputs_info[index] if outputs_info else None)
                else onnx.ValueInfoProto(name=name)
                for index, name in enumerate(node.output)
                if name
            ],
        )
        opset = helper.make_opsetid("", opset_version or onnx.defs.onnx_opset_version())
        return cls.prepare(helper.make_model(graph, opset_imports=[opset]), device).run(arrays)


is_compatible = LaminaBackend.is_compatible
prepare = LaminaBackend.prepare
run_model = LaminaBackend.run_model
run_node = LaminaBackend.run_node
supports_device = LaminaBackend.supports_device
