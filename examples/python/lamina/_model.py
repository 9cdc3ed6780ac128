"""Models as Python objects: arrays go in and come out without copies."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_size_t
from typing import Any, NamedTuple, Union, overload

import numpy as np

from . import _library as c
from ._context import Context, Handle, Path, shared
from ._layers import CODES, DTYPES, TYPES, Array, Attribute

#: An extent: a number, the name of one that may vary, or None where it is not known.
Extent = Union[int, str, None]


#: Arrays by the names of inputs, or the array of the one there is; lists and numbers serve as arrays.
Inputs = Union[Mapping[str, Any], Any]


class Value(NamedTuple):
    """An input or output: `shape` holds a number, the name of an extent that may vary, or None."""

    name: str
    type: str
    shape: tuple[Extent, ...]


class Parameter:
    """A parameter of a layer. NumPy and other array libraries take it as an array, which is a copy: of bfloat16
    one of the bits, as uint16."""

    def __init__(self, model: Handle, found: Mapping[str, Any]) -> None:
        self._model = model
        #: Name within the layer: `weight`.
        self.name: str = found["name"]
        #: Name within the model, `layer1.0.conv1.weight`; None where the value is computed.
        self.key: str | None = found.get("key")
        #: `weight`, learned, or `buffer`, kept up to date by the layer; None where that is not known.
        self.role: str | None = found["role"]
        #: `float32`, ...
        self.type: str = found["type"]
        #: The extents, outermost first.
        self.shape: tuple[int, ...] = tuple(found["shape"])
        self._value: str | None = found.get("value")

    def numpy(self) -> Array:
        """The elements: a copy."""
        if self.key is None:
            raise c.Error(c.UNSUPPORTED, f"parameter {self.name}: expected a tensor of the model, found one that is "
                                         f"computed as value {self._value}")
        result = np.empty(self.shape, DTYPES[TYPES.index(self.type)])
        tensor = c.Tensor(data=result.ctypes.data, byte_count=result.nbytes)
        c.call("model_get_tensor", self._model.number, self.key.encode(), byref(tensor))
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("expected that a copy is allowed")
        found = self.numpy()
        return found if dtype is None else found.astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __repr__(self) -> str:
        return f"<lamina.Parameter {self.name}: {self.type} {list(self.shape)}>"


class Node(NamedTuple):
    """A layer of a model: a node of its graph. `inputs` are names of values, `outputs` values whose type and shape are
    empty where they are not known, `parameters` go by their names within the layer."""

    name: str
    kind: str
    version: int
    provider: str
    attributes: dict[str, Attribute]
    inputs: tuple[str, ...]
    outputs: tuple[Value, ...]
    parameters: dict[str, Parameter]


class Nodes(Sequence[Node]):
    """The layers of a model in order; `model.layers[0]` and `model.layers["conv1"]` are the same."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = tuple(nodes)
        self._places = {node.name: place for place, node in enumerate(self._nodes)}

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, place: int | str) -> Node: ...

    @overload
    def __getitem__(self, place: slice) -> Nodes: ...

    def __getitem__(self, place: int | str | slice) -> Node | Nodes:
        if isinstance(place, slice):
            return Nodes(self._nodes[place])
        if not isinstance(place, str):
            return self._nodes[place]
        if place not in self._places:
            raise KeyError(f"no layer is named {place!r}")
        return self._nodes[self._places[place]]

    def __contains__(self, item: object) -> bool:
        return item in self._places if isinstance(item, str) else item in self._nodes

    def __repr__(self) -> str:
        return f"<lamina.Nodes {', '.join(self._places)}>"


class _File:
    """The file that a model was loaded from."""

    def __init__(self, path: Path) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._found = self._state()
        self._hash: str | None = None

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def check(self) -> None:
        """Refuses a file that is not the one it was."""
        if (state := self._state()) is None:
            raise c.Error(c.NOT_FOUND, f"{self.path}: expected the file of the model, found none")
        if state != self._found:
            raise c.Error(c.STATE, f"{self.path}: expected the file of the model, found one that was changed since")

    def hash(self) -> str:
        """The SHA-256 of the file."""
        self.check()
        if self._hash is None:
            found = hashlib.sha256()
            try:
                with open(self.path, "rb") as file:
                    while block := file.read(1 << 20):
                        found.update(block)
            except OSError as error:
                raise c.Error(c.IO, f"{self.path}: {error.strerror}") from error
            self.check()
            self._hash = found.hexdigest()
        return self._hash


def _precise(precision: str) -> None:
    if precision != "f32":
        raise c.Error(c.UNSUPPORTED, f"expected precision f32, found {precision}")


def load(source: Path | bytes | bytearray | memoryview, threads: int | None = None, precision: str = "f32",
         context: Context | None = None) -> Model:
    """The model in a file, or in the bytes of one: a Lamina model file, or ONNX. `context` has the layers it may
    use."""
    _precise(precision)
    used = shared(threads, context)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return Model(used, c.made("model_load_memory", used._handle.number, data, len(data)))
    file = _File(source)
    return Model(used, c.made("model_load", used._handle.number, os.fsencode(source)), file)


def create(architecture: str, classes: int = 0, seed: int = 0, threads: int | None = None,
           context: Context | None = None) -> Model:
    """A built-in architecture with random weights; `architectures()` lists them."""
    used = shared(threads, context)
    return Model(used, c.made("model_create", used._handle.number, architecture.encode(), classes or 0, seed))


def from_graph(graph: Mapping[str, Any], seed: int = 0, threads: int | None = None,
               context: Context | None = None) -> Model:
    """A model with random weights of a graph, a dictionary in the form of `Model.graph`."""
    used = shared(threads, context)
    return Model(used, c.made("model_create_from_graph", used._handle.number, json.dumps(graph).encode(), seed))


def _restored(path: str, digest: str, context: Context) -> Model:
    """The model that was pickled as its path and the SHA-256 of its file."""
    file = _File(path)
    if (found := file.hash()) != digest:
        raise c.Error(c.STATE, f"{path}: expected the file of the pickled model, SHA-256 {digest[:12]}..., "
                               f"found another, {found[:12]}...")
    model = Model(context, c.made("model_load", context._handle.number, os.fsencode(path)), file)
    file.check()
    return model


_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 9: "VPI", 10: "ROCm", 14: "oneAPI", 15: "WebGPU",
            16: "Hexagon", 17: "MAIA"}


def view(value: Any, what: str) -> Any:
    """What an object with `__dlpack__` holds, as an array in the same memory; other objects as they are."""
    if isinstance(value, np.ndarray) or not (hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__")):
        return value
    device = int(value.__dlpack_device__()[0])
    if device in _DEVICES:
        raise c.Error(c.ARGUMENT, f"{what}: expected a tensor in the processor's memory, found one on a "
                                  f"{_DEVICES[device]} device")
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        kind = getattr(value, "dtype", type(value).__name__)
        raise c.Error(c.ARGUMENT, f"{what}: expected a tensor that NumPy can share, found {kind}: "
                                  f"{str(error).splitlines()[0].rstrip('.')}") from error


def _address(array: Array) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # Read-only or empty; this way takes four times as long.
        return array.ctypes.data


class _Session:
    """A session, and the structs of its calls: a run with inputs as before fills in addresses alone."""

    def __init__(self, model: Handle, inputs: Sequence[Value], outputs: Sequence[str] | None,
                 output_count: int) -> None:
        options = c.SessionOptions()
        if outputs is not None:
            options.outputs = ctypes.cast(c.texts(outputs), POINTER(c_char_p))
            options.output_count = len(outputs)
        self.handle = Handle("session", c.made("session_create", model.number, byref(options)))
        self.types = {value.name: value.type for value in inputs}
        self.outputs = (c.Tensor * output_count)()
        self.targets: list[Any] = list(self.outputs)
        self.error = c.ErrorStruct()
        self.names: list[str] | None = None
        self.specs: list[Any] | None = None

    def bind(self, names: list[str], arrays: list[Array]) -> None:
        """Describes inputs of these names, types and shapes."""
        self.names = None
        self.inputs = (c.Tensor * len(arrays))()
        self.sources: list[Any] = list(self.inputs)
        for tensor, name, array in zip(self.sources, names, arrays):
            if array.dtype not in CODES or array.ndim > c.MAX_RANK:
                raise c.Error(c.ARGUMENT, f"input {name}: no tensor can hold {array.dtype} {array.shape}")
            tensor.name = name.encode()
            tensor.type = CODES[array.dtype]
            if array.dtype == np.uint16 and self.types.get(name) == "uint16":
                tensor.type = TYPES.index("uint16") + 1
            tensor.rank = array.ndim
            tensor.shape[:array.ndim] = array.shape
            tensor.byte_count = array.nbytes
        self.point(self.sources, arrays)

    @staticmethod
    def point(tensors: list[Any], arrays: list[Array]) -> None:
        for tensor, array in zip(tensors, arrays):
            tensor.data = _address(array)

    def expect(self) -> None:
        """The results will be as the outputs' structs say now."""
        self.results = [(tuple(target.shape[:target.rank]), DTYPES[target.type - 1])
                        for target in self.targets]
        for target in self.targets:
            target.byte_count = target.needed

    def run(self, names: list[str], arrays: list[Array]) -> list[Array]:
        specs = [(array.dtype, array.shape) for array in arrays]
        number = self.handle.number
        if specs != self.specs or names != self.names:
            self.bind(names, arrays)
            ctypes.memset(self.outputs, 0, ctypes.sizeof(self.outputs))
            c.call("session_output_shapes", number, self.inputs, len(arrays), self.outputs, len(self.targets))
            self.expect()
            self.names, self.specs = names, specs
        else:
            self.point(self.sources, arrays)
        while True:
            results = [np.empty(shape, dtype) for shape, dtype in self.results]
            self.point(self.targets, results)
            expected = bytes(self.outputs)
            status = c.library.lamina_session_run(number, self.inputs, len(arrays), self.outputs, len(results),
                                                  self.error)
            if status and status != c.BUFFER:
                raise c.failure(status, self.error)
            if not status and bytes(self.outputs) == expected:
                return results
            # The shapes depend on the values of the inputs.
            self.expect()

    def bind_run(self, names: list[str], arrays: list[Array]) -> Callable[[], list[Array]]:
        """A function that runs with these arrays, which the structs point into and it therefore keeps."""
        results = self.run(names, arrays)
        expected = bytes(self.outputs)
        function = c.library.lamina_session_run
        fixed = self.handle.number, self.inputs, len(arrays), self.outputs, len(results), self.error

        def run() -> list[Array]:
            status = function(*fixed)
            if status:
                raise c.failure(status, self.error)
            if bytes(self.outputs) != expected:
                raise c.Error(c.BUFFER, "expected results of the same shapes as when they were bound")
            return results

        run.arrays = arrays  # type: ignore[attr-defined]
        return run


class _State:
    """What a model is until its labels, weights or preprocessing are replaced."""

    def __init__(self, number: int, file: _File | None = None) -> None:
        self.handle = Handle("model", number)
        self.file = file
        #: Sessions that no thread is using, by the outputs asked for.
        self.idle: dict[tuple[str, ...] | None, list[_Session]] = {}
        self.info = c.ModelInfo()
        c.call("model_get_info", number, byref(self.info))
        self.inputs = [self.value("input", index) for index in range(self.info.input_count)]

    @functools.cached_property
    def layers(self) -> Nodes:
        found = json.loads(c.text("model_get_text", self.handle.number, c.TEXTS["layers"]))
        return Nodes(
            Node(node["name"], node["kind"], node["version"], node["provider"], node["attributes"],
                 tuple(node["inputs"]),
                 tuple(Value(value["name"], value["type"] or "", tuple(value["shape"] or ()))
                       for value in node["outputs"]),
                 {parameter["name"]: Parameter(self.handle, parameter) for parameter in node["parameters"]})
            for node in found)

    def value(self, kind: str, index: int) -> Value:
        info = c.ValueInfo()
        c.call(f"model_get_{kind}", self.handle.number, index, byref(info))
        extents = zip(info.shape[:info.rank], info.axis_names[:info.rank])
        shape = tuple(extent if extent >= 0 else name and name.decode() for extent, name in extents)
        return Value(info.name.decode(), TYPES[info.type - 1], shape)

    def take(self, outputs: Iterable[str] | None) -> tuple[list[_Session], _Session]:
        """A session that is nobody else's until it is appended to the list."""
        key = None if outputs is None else tuple(outputs)
        idle = self.idle.get(key)
        if idle is None:
            idle = self.idle.setdefault(key, [])
        try:
            return idle, idle.pop()
        except IndexError:
            count = self.info.output_count if key is None else len(key)
            return idle, _Session(self.handle, self.inputs, key, count)


class Model:
    """A network with its weights.

    Any number of threads may use one; each call gets a session of its own, and the interpreter's lock is free
    meanwhile. One that was loaded from a file can be pickled, as its path and the SHA-256 of the file, which must be
    there unchanged where it is unpickled.
    """

    #: The numbers of each epoch, of a model that `finetune` made.
    history: list[dict[str, Any]]

    def __init__(self, context: Context, number: int, file: _File | None = None) -> None:
        self._context = context
        self._state = _State(number, file)

    @property
    def _handle(self) -> Handle:
        return self._state.handle

    def _adopt(self, number: int) -> None:
        self._state = _State(number)

    def __reduce__(self) -> tuple[Any, ...]:
        file = self._state.file
        if file is None:
            raise c.Error(c.STATE, f"model {self.name}: expected one as it was loaded from a file, which is what a "
                                   "pickle points to; save it, and load that")
        return _restored, (file.path, file.hash(), self._context)

    def _text(self, which: str) -> str:
        return c.text("model_get_text", self._handle.number, c.TEXTS[which])

    # -- Facts

    @property
    def name(self) -> str:
        """Name of the graph."""
        return str(self._state.info.name.decode())

    @property
    def parameter_count(self) -> int:
        """Number of learned numbers."""
        return int(self._state.info.parameter_count)

    @property
    def inputs(self) -> list[Value]:
        """The inputs."""
        return self._state.inputs

    @property
    def outputs(self) -> list[Value]:
        """The outputs."""
        state = self._state
        return [state.value("output", index) for index in range(state.info.output_count)]

    @property
    def layers(self) -> Nodes:
        """The layers in order: names, kinds, attributes, inputs, outputs, parameters. Also by name:
        `model.layers["conv1"]`."""
        return self._state.layers

    @property
    def graph(self) -> dict[str, Any]:
        """The graph: inputs, nodes with kinds, attributes and inputs, outputs. `from_graph` makes a model of it, or of
        one that was changed."""
        return dict(json.loads(self._text("graph")))

    @property
    def labels(self) -> list[str]:
        """Names of the classes; empty when the model has none."""
        state, label = self._state, c_char_p()
        names = []
        for index in range(state.info.label_count):
            c.call("model_get_label", state.handle.number, index, byref(label))
            names.append((label.value or b"").decode())
        return names

    @labels.setter
    def labels(self, names: Iterable[str]) -> None:
        names = list(names)
        self._adopt(c.made("model_with_labels", self._handle.number, c.texts(names), len(names)))

    @property
    def preprocessing(self) -> Any:
        """How a picture becomes the input, as a dictionary; None when the model does not say."""
        return json.loads(self._text("preprocessing"))

    @preprocessing.setter
    def preprocessing(self, recipe: Mapping[str, Any] | None) -> None:
        text = json.dumps(recipe).encode()
        self._adopt(c.made("model_with_preprocessing", self._handle.number, text))

    @property
    def provenance(self) -> dict[str, str]:
        """Source, licence and other notes."""
        return dict(json.loads(self._text("provenance")))

    @property
    def value_names(self) -> list[str]:
        """Names of all values, each of which `run` can be asked for."""
        return list(json.loads(self._text("value_names")))

    def summary(self, as_json: bool = False) -> Any:
        """A table of the layers, or the same as a dictionary."""
        return json.loads(self._text("summary_json")) if as_json else self._text("summary")

    def explain(self, inputs: Inputs) -> str:
        """The plan for inputs like these: kernels, layouts, memory."""
        names, arrays = self._arrays(inputs)
        with self._session() as session:
            session.bind(names, arrays)
            return c.text("session_explain", session.handle.number, session.inputs, len(arrays))

    def __repr__(self) -> str:
        return f"<lamina.Model {self.name}: {self.parameter_count} parameters>"

    # -- Weights

    def load_weights(self, path: Path, partial: bool = False, keep: Sequence[str] = (),
                     rules: Path | None = None) -> dict[str, Any]:
        """Loads the weights of a file and returns the report: loaded, missing, unused, mismatched, ...

        `keep` holds patterns (`fc.*`) of tensors to leave as they are; with `partial`, so does everything
        that is missing or does not fit. `rules` is a file that says how names become the model's: lines
        `pattern -> replacement`, `ignore pattern` and `transpose pattern [1, 0]`.
        """
        options = c.WeightsOptions(partial=int(partial))
        if rules is not None:
            options.rules = os.fsencode(rules)
        patterns = c.texts(keep)
        if len(patterns):
            options.keep = ctypes.cast(patterns, POINTER(c_char_p))
            options.keep_count = len(patterns)
        number = self._handle.number
        self._adopt(c.made("model_with_weights", number, os.fsencode(path), byref(options)))
        return dict(json.loads(self._text("report")))

    def replace_head(self, labels: Iterable[str], seed: int = 0) -> None:
        """Makes the last layer with weights anew, for these classes; all others keep their weights."""
        labels = list(labels)
        self._adopt(c.made("model_replace_head", self._handle.number, c.texts(labels), len(labels), seed))

    def save(self, path: Path) -> None:
        """Writes a Lamina model file."""
        c.call("model_save", self._handle.number, os.fsencode(path))

    def export(self, path: Path) -> None:
        """Writes the model for others: `.onnx`, `.safetensors` or, the weights alone, `.npz`."""
        c.call("model_export", self._handle.number, os.fsencode(path))

    # -- Runs

    @contextlib.contextmanager
    def _session(self, outputs: Iterable[str] | None = None) -> Iterator[_Session]:
        """A session that is nobody else's meanwhile."""
        idle, session = self._state.take(outputs)
        try:
            yield session
        finally:
            idle.append(session)

    def _named(self, inputs: Inputs) -> tuple[list[str], list[Any]]:
        if type(inputs) is not np.ndarray and isinstance(inputs, Mapping):
            return list(inputs), list(inputs.values())
        known = self._state.inputs
        if len(known) != 1:
            names = ", ".join(value.name for value in known)
            raise c.Error(c.ARGUMENT, f"expected a dictionary of the inputs {names}")
        return [known[0].name], [inputs]

    def _arrays(self, inputs: Inputs) -> tuple[list[str], list[Array]]:
        """Names of the inputs, and arrays that a tensor can point to."""
        names, values = self._named(inputs)
        return names, [self._array(name, value) for name, value in zip(names, values)]

    def _array(self, name: str, value: Any) -> Array:
        if type(value) is not np.ndarray:
            value = view(value, f"input {name}")
        if type(value) is np.ndarray:
            flags = value.flags
            if flags.c_contiguous and flags.aligned and value.dtype.isnative:
                return value
        # Arrays keep their type, so that a wrong one is an error; lists and numbers have none.
        known = (input.type for input in self.inputs if input.name == name)
        dtype = None if hasattr(value, "dtype") else next(known, None)
        array = np.asarray(value, dtype=dtype)
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])

    def run(self, inputs: Inputs, outputs: Iterable[str] | None = None) -> list[Array]:
        """Computes the outputs, or the values of the given names, as a list of arrays.

        `inputs` is an array, or a dictionary of arrays by name. Anything with `__dlpack__` serves as one. What is
        contiguous and aligned is used where it is, all else is copied. The results are NumPy's, which other libraries
        take with `from_dlpack`; they are the caller's alone.
        """
        names, arrays = self._arrays(inputs)
        idle, session = self._state.take(outputs)
        try:
            return session.run(names, arrays)
        finally:
            idle.append(session)

    def bind(self, inputs: Inputs, outputs: Iterable[str] | None = None) -> Callable[[], list[Array]]:
        """A function that computes from these arrays, with what they hold at each call, and returns the same
        result arrays every time: for networks so small that what `run` does beside them counts. One thread at a
        time may call it.
        """
        names, given = self._named(inputs)
        shown = [view(value, f"input {name}") for name, value in zip(names, given)]
        arrays = [self._array(name, value) for name, value in zip(names, shown)]
        for name, array, value in zip(names, arrays, shown):
            if array is not value:
                raise c.Error(c.ARGUMENT, f"input {name}: expected an array that is contiguous and aligned")
        _, session = self._state.take(outputs)
        return session.bind_run(names, arrays)

    def _image(self, picture: Any) -> Handle:
        number = self._context._handle.number
        if isinstance(picture, (bytes, bytearray, memoryview)):
            data = bytes(picture)
            return Handle("image", c.made("image_decode", number, data, len(data)))
        if isinstance(picture, (str, os.PathLike)):
            return Handle("image", c.made("image_load", number, os.fsencode(picture)))
        pixels = np.asarray(view(picture, "picture"))
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise c.Error(c.ARGUMENT, "expected pixels of uint8 [height, width, 3], "
                                      f"found {pixels.dtype} {list(pixels.shape)}")
        pixels = np.ascontiguousarray(pixels)
        height, width, _ = pixels.shape
        return Handle("image", c.made("image_create", number, pixels.ctypes.data, width, height, 0))

    def preprocess(self, pictures: Any) -> Array:
        """The batch [pictures, channels, height, width] that the model makes of pictures: paths, bytes of
        JPEG or PNG files, or uint8 arrays [height, width, 3]; one, or a list of them."""
        if not isinstance(pictures, (list, tuple)):
            pictures = [pictures]
        images = [self._image(picture) for picture in pictures]
        numbers = (ctypes.c_uint64 * len(images))(*(image.number for image in images))
        tensor = c.Tensor()
        try:
            c.call("model_preprocess", self._handle.number, numbers, len(images), byref(tensor))
        except c.Error as error:
            if error.code != c.BUFFER:
                raise
        result = np.empty(tuple(tensor.shape[:tensor.rank]), DTYPES[tensor.type - 1])
        tensor.data = result.ctypes.data
        tensor.byte_count = result.nbytes
        c.call("model_preprocess", self._handle.number, numbers, len(images), byref(tensor))
        return result

    def predict(self, picture: Any, top: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes of a picture, best first, as (label, probability).

        `picture` is a path, the bytes of a JPEG or PNG file, or a uint8 array [height, width, 3].
        """
        image = self._image(picture)
        predictions = (c.Prediction * max(top, 0))()
        count = c_size_t()
        with self._session() as session:
            c.call("session_predict", session.handle.number, image.number, predictions, len(predictions),
                   byref(count))
        return [(found.label.decode(), found.probability) for found in predictions[:count.value]]
