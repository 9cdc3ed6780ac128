"""Models as Python objects: arrays go in and come out without copies."""

import contextlib
import ctypes
import json
import os
import threading
import weakref
from ctypes import POINTER, byref, c_char_p, c_size_t
from typing import NamedTuple

import numpy as np

from . import _library as c

_TYPES = ["float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8",
          "uint16", "uint32", "uint64", "bool"]
#: NumPy has no bfloat16: its bits come as uint16.
_DTYPES = [np.dtype("uint16" if name == "bfloat16" else name) for name in _TYPES]
_CODES = {dtype: code for code, dtype in reversed(list(enumerate(_DTYPES, 1)))}


class Value(NamedTuple):
    """An input or output: `shape` holds a number, the name of an extent that may vary, or None."""

    name: str
    type: str
    shape: tuple


class _Handle:
    """A reference to an object of the library, given back with the last use of this one."""

    def __init__(self, kind, number):
        self.number = number
        release = getattr(c.library, f"lamina_{kind}_release")
        self._finalizer = weakref.finalize(self, release, number)
        # At exit other threads may still run; the process gives everything back.
        self._finalizer.atexit = False


_contexts = {}
_contexts_lock = threading.Lock()


def _context(threads):
    """The context that computes with `threads` threads; models of one process share it."""
    with _contexts_lock:
        if threads not in _contexts:
            options = c.ContextOptions(threads=threads or 0, log=c.log)
            _contexts[threads] = _Handle("context", c.made("context_create", byref(options)))
        return _contexts[threads]


def _path(path):
    return os.fsencode(path)


def load(source, threads=None, precision="f32"):
    """The model in a file, or in the bytes of one: a Lamina model file, or ONNX."""
    if precision != "f32":
        raise c.Error(c.UNSUPPORTED, f"expected precision f32, found {precision}")
    context = _context(threads)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        handle = c.made("model_load_memory", context.number, data, len(data))
    else:
        handle = c.made("model_load", context.number, _path(source))
    return Model(context, handle)


def create(architecture, classes=0, seed=0, threads=None):
    """A built-in architecture with random weights; `architectures()` lists them."""
    context = _context(threads)
    handle = c.made("model_create", context.number, architecture.encode(), classes or 0, seed)
    return Model(context, handle)


def _address(array):
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):
        # Read-only or empty; this way takes four times as long.
        return array.ctypes.data


class _Session:
    """A session, and the structs of its calls: a run with inputs as before fills in addresses alone."""

    def __init__(self, model, outputs, output_count):
        options = c.SessionOptions()
        if outputs is not None:
            options.outputs = ctypes.cast(c.texts(outputs), POINTER(c_char_p))
            options.output_count = len(outputs)
        self.handle = _Handle("session", c.made("session_create", model._handle.number, byref(options)))
        self.types = {value.name: value.type for value in model.inputs}
        self.outputs = (c.Tensor * output_count)()
        self.targets = list(self.outputs)
        self.error = c.ErrorStruct()
        self.names = self.specs = None

    def bind(self, names, arrays):
        """Describes inputs of these names, types and shapes."""
        self.names = None
        self.inputs = (c.Tensor * len(arrays))()
        self.sources = list(self.inputs)
        for tensor, name, array in zip(self.sources, names, arrays):
            if array.dtype not in _CODES or array.ndim > c.MAX_RANK:
                raise c.Error(c.ARGUMENT, f"input {name}: no tensor can hold {array.dtype} {array.shape}")
            tensor.name = name.encode()
            tensor.type = _CODES[array.dtype]
            if array.dtype == np.uint16 and self.types.get(name) == "uint16":
                tensor.type = _TYPES.index("uint16") + 1
            tensor.rank = array.ndim
            tensor.shape[:array.ndim] = array.shape
            tensor.byte_count = array.nbytes
        self.point(self.sources, arrays)

    @staticmethod
    def point(tensors, arrays):
        for tensor, array in zip(tensors, arrays):
            tensor.data = _address(array)

    def expect(self):
        """The results will be as the outputs' structs say now."""
        self.results = [(tuple(target.shape[:target.rank]), _DTYPES[target.type - 1])
                        for target in self.targets]
        for target in self.targets:
            target.byte_count = target.needed

    def run(self, names, arrays):
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

    def bind_run(self, names, arrays):
        """A function that runs with these arrays, which the structs point into and it therefore keeps."""
        results = self.run(names, arrays)
        expected = bytes(self.outputs)
        function = c.library.lamina_session_run
        fixed = self.handle.number, self.inputs, len(arrays), self.outputs, len(results), self.error

        def run():
            status = function(*fixed)
            if status:
                raise c.failure(status, self.error)
            if bytes(self.outputs) != expected:
                raise c.Error(c.BUFFER, "expected results of the same shapes as when they were bound")
            return results

        run.arrays = arrays
        return run


class Model:
    """A network with its weights. Any number of threads may use one; each gets memory of its own."""

    def __init__(self, context, number):
        self._context = context
        self._adopt(number)

    def _adopt(self, number):
        self._handle = _Handle("model", number)
        #: Sessions that no thread is using, by the outputs asked for.
        self._idle = {}
        info = c.ModelInfo()
        c.call("model_get_info", number, byref(info))
        #: Name of the graph.
        self.name = info.name.decode()
        #: Number of learned numbers.
        self.parameter_count = info.parameter_count
        #: The inputs.
        self.inputs = [self._value("input", index) for index in range(info.input_count)]
        self._output_count = info.output_count
        self._label_count = info.label_count

    def _value(self, kind, index):
        info = c.ValueInfo()
        c.call(f"model_get_{kind}", self._handle.number, index, byref(info))
        extents = zip(info.shape[:info.rank], info.axis_names[:info.rank])
        shape = tuple(extent if extent >= 0 else name and name.decode() for extent, name in extents)
        return Value(info.name.decode(), _TYPES[info.type - 1], shape)

    def _text(self, which):
        return c.text("model_get_text", self._handle.number, c.TEXTS[which])

    # -- Facts

    @property
    def outputs(self):
        """The outputs."""
        return [self._value("output", index) for index in range(self._output_count)]

    @property
    def labels(self):
        """Names of the classes; empty when the model has none."""
        label = c_char_p()
        names = []
        for index in range(self._label_count):
            c.call("model_get_label", self._handle.number, index, byref(label))
            names.append(label.value.decode())
        return names

    @labels.setter
    def labels(self, names):
        names = list(names)
        self._adopt(c.made("model_with_labels", self._handle.number, c.texts(names), len(names)))

    @property
    def preprocessing(self):
        """How a picture becomes the input, as a dictionary; None when the model does not say."""
        return json.loads(self._text("preprocessing"))

    @preprocessing.setter
    def preprocessing(self, recipe):
        text = json.dumps(recipe).encode()
        self._adopt(c.made("model_with_preprocessing", self._handle.number, text))

    @property
    def provenance(self):
        """Source, licence and other notes."""
        return json.loads(self._text("provenance"))

    @property
    def value_names(self):
        """Names of all values, each of which `run` can be asked for."""
        return json.loads(self._text("value_names"))

    def summary(self, as_json=False):
        """A table of the layers, or the same as a dictionary."""
        return json.loads(self._text("summary_json")) if as_json else self._text("summary")

    def explain(self, inputs):
        """The plan for inputs like these: kernels, layouts, memory."""
        names, arrays = self._arrays(inputs)
        with self._session() as session:
            session.bind(names, arrays)
            return c.text("session_explain", session.handle.number, session.inputs, len(arrays))

    def __repr__(self):
        return f"<lamina.Model {self.name}: {self.parameter_count} parameters>"

    # -- Weights

    def load_weights(self, path, partial=False, keep=(), rules=None):
        """Loads the weights of a file and returns the report: loaded, missing, unused, mismatched, ...

        `keep` holds patterns (`fc.*`) of tensors to leave as they are; with `partial`, so does everything
        that is missing or does not fit. `rules` is a file that says how names become the model's: lines
        `pattern -> replacement`, `ignore pattern` and `transpose pattern [1, 0]`.
        """
        options = c.WeightsOptions(partial=int(partial))
        if rules is not None:
            options.rules = _path(rules)
        patterns = c.texts(keep)
        if len(patterns):
            options.keep = ctypes.cast(patterns, POINTER(c_char_p))
            options.keep_count = len(patterns)
        number = self._handle.number
        self._adopt(c.made("model_with_weights", number, _path(path), byref(options)))
        return json.loads(self._text("report"))

    def replace_head(self, labels, seed=0):
        """Makes the last layer with weights anew, for these classes; all others keep their weights."""
        labels = list(labels)
        self._adopt(c.made("model_replace_head", self._handle.number, c.texts(labels), len(labels), seed))

    def save(self, path):
        """Writes a Lamina model file."""
        c.call("model_save", self._handle.number, _path(path))

    def export(self, path):
        """Writes the model for others: `.onnx`, `.safetensors` or, the weights alone, `.npz`."""
        c.call("model_export", self._handle.number, _path(path))

    # -- Runs

    @contextlib.contextmanager
    def _session(self, outputs=None):
        """A session that is nobody else's meanwhile."""
        idle, session = self._take(outputs)
        try:
            yield session
        finally:
            idle.append(session)

    def _take(self, outputs):
        key = None if outputs is None else tuple(outputs)
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle.setdefault(key, [])
        try:
            return idle, idle.pop()
        except IndexError:
            return idle, _Session(self, key, self._output_count if key is None else len(key))

    def _arrays(self, inputs):
        """Names of the inputs, and arrays that a tensor can point to."""
        if not isinstance(inputs, dict):
            if len(self.inputs) != 1:
                names = ", ".join(value.name for value in self.inputs)
                raise c.Error(c.ARGUMENT, f"expected a dictionary of the inputs {names}")
            inputs = {self.inputs[0].name: inputs}
        return list(inputs), [self._array(name, value) for name, value in inputs.items()]

    def _array(self, name, value):
        if type(value) is np.ndarray:
            flags = value.flags
            if flags.c_contiguous and flags.aligned and value.dtype.isnative:
                return value
        # Arrays keep their type, so that a wrong one is an error; lists and numbers have none.
        known = (input.type for input in self.inputs if input.name == name)
        dtype = None if hasattr(value, "dtype") else next(known, None)
        array = np.asarray(value, dtype=dtype)
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])

    def run(self, inputs, outputs=None):
        """Computes the outputs, or the values of the given names, as a list of arrays.

        `inputs` is an array, or a dictionary of arrays by name.
        """
        names, arrays = self._arrays(inputs)
        idle, session = self._take(outputs)
        try:
            return session.run(names, arrays)
        finally:
            idle.append(session)

    def bind(self, inputs, outputs=None):
        """A function that computes from these arrays, with what they hold at each call, and returns the same
        result arrays every time: for networks so small that what `run` does beside them counts. One thread at a
        time may call it.
        """
        names, arrays = self._arrays(inputs)
        given = inputs.values() if isinstance(inputs, dict) else [inputs]
        for name, array, value in zip(names, arrays, given):
            if array is not value:
                raise c.Error(c.ARGUMENT, f"input {name}: expected an array that is contiguous and aligned")
        _, session = self._take(outputs)
        return session.bind_run(names, arrays)

    def _image(self, picture):
        number = self._context.number
        if isinstance(picture, (bytes, bytearray, memoryview)):
            data = bytes(picture)
            return _Handle("image", c.made("image_decode", number, data, len(data)))
        if isinstance(picture, (str, os.PathLike)):
            return _Handle("image", c.made("image_load", number, _path(picture)))
        pixels = np.asarray(picture)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise c.Error(c.ARGUMENT, "expected pixels of uint8 [height, width, 3], "
                                      f"found {pixels.dtype} {list(pixels.shape)}")
        pixels = np.ascontiguousarray(pixels)
        height, width, _ = pixels.shape
        return _Handle("image", c.made("image_create", number, pixels.ctypes.data, width, height, 0))

    def preprocess(self, pictures):
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
        result = np.empty(tuple(tensor.shape[:tensor.rank]), _DTYPES[tensor.type - 1])
        tensor.data = result.ctypes.data
        tensor.byte_count = result.nbytes
        c.call("model_preprocess", self._handle.number, numbers, len(images), byref(tensor))
        return result

    def predict(self, picture, top=5):
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
