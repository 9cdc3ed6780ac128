"""Layers written in Python."""

from __future__ import annotations

import ctypes
import itertools
import re
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Union

import numpy as np
import numpy.typing as npt

from . import _library as c

Array = npt.NDArray[Any]
#: What an attribute holds.
Attribute = Union[int, float, bool, str, Sequence[int], Sequence[float]]
#: What `forward` returns: an array for each output, or the one.
Outputs = Union[Array, Sequence[Array]]
#: What `backward` returns: a gradient for each input, or the one, None for zero; then, in a tuple, those of parameters.
Gradients = Union[Array, Sequence[Union[Array, None, Mapping[str, Array]]]]

TYPES = ["float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
         "uint64", "bool"]
#: NumPy has no bfloat16: its bits come as uint16.
DTYPES = [np.dtype("uint16" if name == "bfloat16" else name) for name in TYPES]
CODES = {dtype: code for code, dtype in reversed(list(enumerate(DTYPES, 1)))}

_ROLES = ["weight", "buffer"]
_INITIALIZERS = ["zeros", "ones", "constant", "normal", "uniform", "he_normal", "he_normal_fan_out", "he_uniform",
                 "he_uniform_fan_out", "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform"]


class TensorSpec(NamedTuple):
    """Shape and type of a tensor."""

    shape: tuple[int, ...]
    type: str = "float32"


class ParameterSpec(NamedTuple):
    """A tensor that a layer needs from the model.

    `role` is `weight`, learned, or `buffer`, kept up to date by the layer. `initializer` is `zeros`, `ones`, `constant`
    (`scale`), `normal` (of deviation `scale`), `uniform` (up to `scale`), or `he_normal`, `he_uniform`, `lecun_normal`,
    `lecun_uniform`, `glorot_normal`, `glorot_uniform`; the first two also with `_fan_out`.
    """

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    role: str = "weight"
    initializer: str = "zeros"
    scale: float = 0


class ForwardCall:
    """One forward pass. All arrays are the layer's own: it may keep and change them."""

    def __init__(self, inputs: list[Array], parameters: dict[str, Array], is_training: bool, seed: int) -> None:
        #: The inputs.
        self.inputs = inputs
        #: The parameters by name.
        self.parameters = parameters
        #: Whether this is a training pass of a layer that is not frozen.
        self.is_training = is_training
        #: The same for the same node in the same step, forward and back.
        self.seed = seed
        #: To fill in a training pass: new values of parameters of the role `buffer`, by name.
        self.buffer_updates: dict[str, Array] = {}


class BackwardCall:
    """One backward pass. All arrays are the layer's own: it may keep and change them."""

    def __init__(self, output_gradients: list[Array], inputs: list[Array], outputs: list[Array],
                 input_count: int, parameters: dict[str, Array], is_training: bool, seed: int) -> None:
        #: Gradients of the loss by the outputs.
        self.output_gradients = output_gradients
        #: How many inputs `forward` had.
        self.input_count = input_count
        #: What `forward` had; empty unless `backward_reads` names them.
        self.inputs = inputs
        #: What `forward` returned; empty unless `backward_reads` names them.
        self.outputs = outputs
        #: The parameters by name.
        self.parameters = parameters
        #: Whether the forward pass was a training pass of a layer that is not frozen.
        self.is_training = is_training
        #: That of the forward pass.
        self.seed = seed


class Layer:
    """A kind of layer written in Python, to try an idea before it is written in C or Swift.

        class Mish(lamina.Layer):
            kind = "com.example.mish"

            def forward(self, call):
                [x] = call.inputs
                return x * np.tanh(np.logaddexp(0, x))

        context = lamina.Context(layers=[Mish])

    **Slow**: at every call arrays are copied in and out, Python computes on one thread, and no other thread of the
    program runs Python meanwhile. What is to last belongs in a plugin, see `lamina_plugin.h`.

    A layer holds attributes, no parameters and no activations; several threads may call one at once. What its methods
    raise becomes a `lamina.Error` with the last line of the traceback, and is its `__cause__`.
    """

    #: Name in graph files under a domain of one's own: `com.example.mish`.
    kind: ClassVar[str]
    #: Version of the meaning of attributes and result.
    version: ClassVar[int] = 1
    #: How many inputs there are, or the fewest and the most, None for any number.
    input_count: ClassVar[int | tuple[int, int | None]] = 1
    #: How many outputs there are.
    output_count: ClassVar[int] = 1
    #: Names of attributes with their defaults; a type, `int`, `float`, `bool` or `str`, where there is none. A layer
    #: has the values under the same names: `self.slope`.
    attributes: ClassVar[Mapping[str, Attribute | type]] = {}
    #: What `backward` reads of the forward pass; what it does not is not kept.
    backward_reads: ClassVar[Sequence[str]] = ("inputs", "outputs")
    #: Whether a training pass draws random numbers, from `call.seed` alone.
    is_random: ClassVar[bool] = False

    def __init__(self, **attributes: Attribute) -> None:
        """A layer with these attributes; one that makes no sense may be refused here by an exception."""
        for name, default in self.attributes.items():
            if name in attributes:
                setattr(self, name, attributes.pop(name))
            elif isinstance(default, type):
                raise ValueError(f"expected attribute {name!r}, found none")
            else:
                setattr(self, name, default)
        if attributes:
            raise ValueError(f"expected attributes of {list(self.attributes)}, found {next(iter(attributes))!r}")

    def infer_shapes(self, inputs: Sequence[TensorSpec]) -> Sequence[TensorSpec]:
        """The outputs for these inputs: each like the first input, unless a class says otherwise."""
        return [inputs[0]] * self.output_count

    def parameters(self, inputs: Sequence[TensorSpec]) -> Sequence[ParameterSpec]:
        """What the layer needs from the model for these inputs: nothing, unless a class says otherwise."""
        return []

    def forward(self, call: ForwardCall) -> Outputs:
        """The outputs: an array, or a list of them."""
        raise NotImplementedError(f"expected a method forward in class {type(self).__name__}")

    def backward(self, call: BackwardCall) -> Gradients:
        """The gradients of the loss: an array, or a list with an array or None for each input, and at its end, for a
        layer with parameters, a dictionary of arrays by name. A class without this method cannot be trained through."""
        raise NotImplementedError(f"expected a method backward in class {type(self).__name__}")


class _Class:
    """The tables of a layer class, which the library uses until the process ends."""

    def __init__(self, layer: type[Layer]) -> None:
        name = layer.__name__
        if not isinstance(getattr(layer, "kind", None), str):
            raise c.Error(c.ARGUMENT, f"class {name}: expected a kind such as 'com.example.mish', found none")
        self.types = {attribute: _type(default) for attribute, default in layer.attributes.items()}
        for attribute, (kind, _) in self.types.items():
            if hasattr(Layer, attribute) or not attribute.isidentifier():
                raise c.Error(c.ARGUMENT, f"class {name}: no attribute can be named {attribute!r}")
            if kind not in _KINDS:
                raise c.Error(c.ARGUMENT, f"class {name}: expected attribute {attribute!r} to be a number, bool, "
                                          f"string or list of numbers, found {kind.__name__}")
        if unknown := set(layer.backward_reads) - {"inputs", "outputs"}:
            raise c.Error(c.ARGUMENT, f"class {name}: expected backward_reads of inputs and outputs, "
                                      f"found {min(unknown)!r}")
        self.layer = layer
        self.host: Any = None
        count = layer.input_count
        fewest, most = (count, count) if isinstance(count, int) else count
        flags = (("inputs" in layer.backward_reads) | ("outputs" in layer.backward_reads) << 1
                 | layer.is_random << 4)
        names = [attribute.encode() for attribute in layer.attributes]
        token = next(_tokens)
        _classes[token] = self
        self.table = c.LayerClass(
            flags=flags, kind=layer.kind.encode(), kind_version=layer.version, minimum_inputs=fewest,
            maximum_inputs=0xFFFFFFFF if most is None else most, class_data=token,
            attribute_names=(ctypes.c_char_p * (len(names) + 1))(*names, None), create=_create, destroy=_destroy,
            count_outputs=_count_outputs, infer_shapes=_infer_shapes, list_parameters=_list_parameters,
            forward=_forward)
        if layer.backward is not Layer.backward:
            self.table.backward = _backward
        module = ".".join(re.sub("[^a-z0-9_-]", "_", part.lower()) or "_" for part in layer.__module__.split("."))
        self.plugin = c.Plugin(
            abi_major=1, id=f"python.{module}"[:255].encode(), version=str(layer.version).encode(), vendor=b"Python",
            class_count=1, classes=(ctypes.POINTER(c.LayerClass) * 1)(ctypes.pointer(self.table)))
        self.entry = c.PluginEntry(self._enter)

    def _enter(self, host: Any, _error: Any) -> int:
        self.host = host.contents
        return ctypes.addressof(self.plugin)

    def attributes(self, attributes: int | None) -> dict[str, Attribute]:
        """Those of a node that are set."""
        found: dict[str, Attribute] = {}
        error = c.ErrorStruct()
        for name, (kind, is_list) in self.types.items():
            key = name.encode()
            if self.host.attribute_type(attributes, key) == 0:
                continue
            read = getattr(self.host, f"attribute_{_KINDS[kind][0]}{'s' if is_list else ''}")
            if is_list:
                values, count = ctypes.POINTER(_KINDS[kind][1])(), ctypes.c_size_t()
                status = read(attributes, key, ctypes.byref(values), ctypes.byref(count), ctypes.byref(error))
                found[name] = values[:count.value] if count.value else []
            else:
                value = _KINDS[kind][1]()
                status = read(attributes, key, ctypes.byref(value), ctypes.byref(error))
                found[name] = kind(value.value) if kind is not str else (value.value or b"").decode()
            if status:
                raise c.failure(status, error)
        return found


#: What attributes may be, with the library's name and type of it.
_KINDS: dict[type, tuple[str, Any]] = {int: ("int", ctypes.c_int64), float: ("float", ctypes.c_double),
                                       bool: ("bool", ctypes.c_int32), str: ("string", ctypes.c_char_p)}


def _type(default: Any) -> tuple[type, bool]:
    """The type of an attribute, and whether it is a list of that."""
    if isinstance(default, (list, tuple)):
        return (int if all(type(number) is int for number in default) else float), True
    return (default if isinstance(default, type) else type(default)), False


_tokens = itertools.count(1)
_classes: dict[int, _Class] = {}
_entries: dict[type[Layer], _Class] = {}
_entries_lock = threading.Lock()


class _Made:
    """A layer that the library has made, and the names of its parameters as they were listed."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.names: list[str] = []


#: By the numbers that the library knows them by.
_layers: dict[int, _Made] = {}
#: Names of parameters, which the library may still read.
_names: dict[str, bytes] = {}


def entry(layer: type[Layer]) -> Any:
    """The function that gives the library the tables of a class."""
    if not (isinstance(layer, type) and issubclass(layer, Layer)):
        raise c.Error(c.ARGUMENT, f"expected a class derived from lamina.Layer, found {layer!r}")
    with _entries_lock:
        if layer not in _entries:
            _entries[layer] = _Class(layer)
        return _entries[layer].entry


def _guarded(code: int) -> Callable[[Callable[..., None]], Callable[..., int]]:
    """Makes a status, and a text in the last argument, of what a function raises."""

    def guard(function: Callable[..., None]) -> Callable[..., int]:
        def guarded(*arguments: Any) -> int:
            try:
                function(*arguments[:-1])
                return 0
            except BaseException as raised:
                status = code
                if isinstance(raised, c.Error):
                    status, text = raised.code, raised.message
                else:
                    text = " ".join("".join(traceback.format_exception_only(type(raised), raised)[-1:]).split())
                    if isinstance(raised, MemoryError):
                        status = c.LIMIT
                    elif not isinstance(raised, Exception):
                        status = c.CANCELLED
                data = text.encode(errors="replace")[:400].decode(errors="ignore").replace("\0", " ")
                error = arguments[-1].contents
                error.code = status
                error.message = data.encode()
                c.keep_raised(raised, data)
                return status

        return guarded

    return guard


def _specs(tensors: Any, count: int) -> list[TensorSpec]:
    return [TensorSpec(tuple(tensor.shape[:tensor.rank]), TYPES[tensor.type - 1]) for tensor in tensors[:count]]


def _describe(target: Any, spec: TensorSpec | ParameterSpec, what: str) -> None:
    """Writes shape and type."""
    shape = tuple(int(extent) for extent in spec.shape)
    if spec.type not in TYPES or len(shape) > c.MAX_RANK or not all(0 <= extent < 1 << 31 for extent in shape):
        raise ValueError(f"{what}: no tensor can be {spec.type} {list(shape)}")
    target.type = TYPES.index(spec.type) + 1
    target.rank = len(shape)
    target.shape[:] = shape + (0,) * (c.MAX_RANK - len(shape))


def _view(tensor: Any) -> Array:
    """The library's memory, for the duration of a call."""
    shape = tuple(tensor.shape[:tensor.rank])
    dtype = DTYPES[tensor.type - 1]
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_char * size).from_address(tensor.data), dtype).reshape(shape)


def _copies(tensors: Any, count: int) -> list[Array]:
    """The values of tensors; none where they are not kept."""
    found = tensors[:count]
    return [] if any(tensor.type == 0 or not tensor.data and _size(tensor) for tensor in found) else [
        _view(tensor).copy() for tensor in found]


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape[:tensor.rank], dtype=np.int64))


def _fitting(value: Any, target: Array, what: str) -> Array:
    """The array, which must have the target's shape and a type that goes into it without loss of kind."""
    array = np.asarray(value)
    if array.shape != target.shape:
        raise ValueError(f"{what}: expected shape {list(target.shape)}, found {list(array.shape)}")
    if not np.can_cast(array.dtype, target.dtype, "same_kind"):
        raise TypeError(f"{what}: expected {target.dtype}, found {array.dtype}")
    return array


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


@c.callback(c.CreateLayer)
@_guarded(c.GRAPH)
def _create(table: Any, attributes: int | None, result: Any) -> None:
    known = _classes[table.contents.class_data]
    layer = known.layer(**known.attributes(attributes))
    token = next(_tokens)
    _layers[token] = _Made(layer)
    result[0] = token


@c.callback(c.DestroyLayer)
def _destroy(_table: Any, token: int, layers: dict[int, _Made] = _layers) -> None:
    layers.pop(token, None)


@c.callback(c.CountOutputs)
def _count_outputs(_table: Any, token: int) -> int:
    count = _layers[token].layer.output_count
    return count if isinstance(count, int) and count >= 0 else 0


@c.callback(c.InferShapes)
@_guarded(c.SHAPE)
def _infer_shapes(_table: Any, token: int, inference: Any) -> None:
    call = inference.contents
    outputs = _layers[token].layer.infer_shapes(_specs(call.inputs, call.input_count))
    if len(outputs) != call.output_count:
        raise ValueError(f"infer_shapes: expected {call.output_count} outputs, found {len(outputs)}")
    for index, spec in enumerate(outputs):
        _describe(call.outputs[index], TensorSpec(*spec), f"infer_shapes: output {index}")


@c.callback(c.ListParameters)
@_guarded(c.SHAPE)
def _list_parameters(_table: Any, token: int, inputs: Any, input_count: int, parameters: Any, capacity: int,
                     count: Any) -> None:
    made = _layers[token]
    specs = [ParameterSpec(*spec) for spec in made.layer.parameters(_specs(inputs, input_count))]
    made.names = [spec.name for spec in specs]
    count[0] = len(specs)
    for index, spec in enumerate(specs[:capacity]):
        what = f"parameter {spec.name}"
        target = parameters[index]
        target.name = _names.setdefault(spec.name, spec.name.encode())
        for names, name in ((_ROLES, spec.role), (_INITIALIZERS, spec.initializer)):
            if name not in names:
                raise ValueError(f"{what}: expected one of {', '.join(names)}, found {name!r}")
        target.role = _ROLES.index(spec.role) + 1
        target.initializer = _INITIALIZERS.index(spec.initializer) + 1
        target.scale = spec.scale
        _describe(target, spec, what)


@c.callback(c.Forward)
@_guarded(c.ARGUMENT)
def _forward(_table: Any, token: int, pointer: Any) -> None:
    layer, names, call = _layers[token].layer, _layers[token].names, pointer.contents
    values = _copies(call.parameters, call.parameter_count)
    asked = ForwardCall(_copies(call.inputs, call.input_count), dict(zip(names, values)), bool(call.is_training),
                        call.seed)
    outputs = _listed(layer.forward(asked))
    if len(outputs) != call.output_count or any(value is None for value in outputs):
        found = sum(value is not None for value in outputs)
        raise ValueError(f"forward: expected {call.output_count} outputs, found {found}")
    for index, value in enumerate(outputs):
        target = _view(call.outputs[index])
        target[...] = _fitting(value, target, f"forward: output {index}")
    if not call.buffer_updates:
        return
    for name, tensor, value in zip(names, call.buffer_updates[:call.parameter_count], values):
        if tensor.data:
            target = _view(tensor)
            target[...] = _fitting(asked.buffer_updates.get(name, value), target, f"forward: buffer {name}")


@c.callback(c.Backward)
@_guarded(c.ARGUMENT)
def _backward(_table: Any, token: int, pointer: Any) -> None:
    layer, names, call = _layers[token].layer, _layers[token].names, pointer.contents
    slopes = [_view(tensor).copy() if tensor.data else
              np.zeros(tuple(tensor.shape[:tensor.rank]), DTYPES[tensor.type - 1])
              for tensor in call.output_gradients[:call.output_count]]
    found = _listed(layer.backward(BackwardCall(
        slopes, _copies(call.inputs, call.input_count) if "inputs" in layer.backward_reads else [],
        _copies(call.outputs, call.output_count) if "outputs" in layer.backward_reads else [],
        call.input_count, dict(zip(names, _copies(call.parameters, call.parameter_count))), bool(call.is_training),
        call.seed)))
    by_name = found.pop() if found and isinstance(found[-1], Mapping) else {}
    if len(found) != call.input_count:
        raise ValueError(f"backward: expected gradients of {call.input_count} inputs, found {len(found)}")
    if unknown := set(by_name) - set(names):
        raise ValueError(f"backward: no parameter is named {min(unknown)!r}")
    for index, (tensor, value) in enumerate(zip(call.input_gradients[:call.input_count], found)):
        if tensor.data and value is not None:
            target = _view(tensor)
            target += _fitting(value, target, f"backward: gradient of input {index}")
    for name, tensor in zip(names, call.parameter_gradients[:call.parameter_count]):
        if tensor.data and by_name.get(name) is not None:
            target = _view(tensor)
            target += _fitting(by_name[name], target, f"backward: gradient of parameter {name}")
