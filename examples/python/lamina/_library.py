"""Finds liblamina and declares its functions; `lamina.h`, `lamina_training.h` and `lamina_plugin.h` describe them."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64
from ctypes import c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

ABI_VERSION = 1
MAX_RANK = 8
NAMES = {"darwin": ("liblamina.0.1.dylib", "liblamina.dylib")}.get(
    sys.platform, ("liblamina.so.0.1", "liblamina.so"))


class Error(Exception):
    """What the library refuses to do: `code` is the number of lamina.h, `message` says where and why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[Error], tuple[int, str]]:
        return Error, (self.code, self.message)


ARGUMENT = 10
STATE = 30
SHAPE = 40
BUFFER = 50
NOT_FOUND = 60
UNSUPPORTED = 80
GRAPH = 90
IO = 120
LIMIT = 130
CANCELLED = 150


class _Sized(Structure):
    """A struct whose first field is its size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class ErrorStruct(_Sized):
    _fields_ = [("struct_size", c_uint32), ("code", c_int32), ("message", c_char * 504)]


def callback(kind: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a C function of type `kind`, which lives as long as the result, of one of Python's."""
    return lambda function: kind(function)


LogFunction = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class ContextOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("threads", c_int32), ("limits", c_void_p),
                ("log", LogFunction), ("log_user", c_void_p)]


class LayerInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("version", c_int32), ("kind", c_char_p),
                ("provider", c_char_p), ("minimum_inputs", c_size_t), ("maximum_inputs", c_size_t)]


class Tensor(Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p), ("byte_count", c_size_t),
                ("needed", c_size_t), ("type", c_int32), ("rank", c_int32),
                ("shape", c_int64 * MAX_RANK)]


class WeightsOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("partial", c_int32), ("keep", POINTER(c_char_p)),
                ("keep_count", c_size_t), ("rules", c_char_p)]


class ModelInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("name", c_char_p),
                ("input_count", c_size_t), ("output_count", c_size_t), ("label_count", c_size_t),
                ("node_count", c_size_t), ("parameter_count", c_uint64)]


class ValueInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("type", c_int32), ("name", c_char_p),
                ("rank", c_int32), ("reserved", c_int32), ("shape", c_int64 * MAX_RANK),
                ("axis_names", c_char_p * MAX_RANK)]


class SessionOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("threads", c_int32), ("optimization", c_int32),
                ("strict", c_int32), ("outputs", POINTER(c_char_p)), ("output_count", c_size_t)]


class Prediction(Structure):
    _fields_ = [("label", c_char_p), ("index", c_int32), ("probability", c_float)]


class DatasetOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("broken", c_int32), ("hold_out", c_int32),
                ("reserved", c_int32), ("seed", c_uint64), ("labels", POINTER(c_char_p)),
                ("label_count", c_size_t)]


ReadItem = ctypes.CFUNCTYPE(c_int32, c_void_p, c_size_t, POINTER(Tensor))
ReleaseUser = ctypes.CFUNCTYPE(None, c_void_p)


class DatasetSource(_Sized):
    _fields_ = [("struct_size", c_uint32), ("rank", c_int32), ("shape", c_int64 * MAX_RANK),
                ("count", c_size_t), ("validation_count", c_size_t), ("classes", c_void_p),
                ("labels", POINTER(c_char_p)), ("label_count", c_size_t), ("items", c_void_p),
                ("read", ReadItem), ("release", ReleaseUser), ("user", c_void_p), ("name", c_char_p)]


class DatasetInfo(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("training_count", c_size_t),
                ("validation_count", c_size_t), ("broken_count", c_size_t), ("label_count", c_size_t),
                ("labels", POINTER(c_char_p))]


class Score(_Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("count", c_size_t),
                ("loss", c_double), ("accuracy", c_double)]


class Progress(_Sized):
    _fields_ = [("struct_size", c_uint32), ("event", c_int32), ("stage", c_char_p),
                ("epoch", c_size_t), ("epochs", c_size_t), ("step", c_size_t), ("steps", c_size_t),
                ("loss", c_double), ("accuracy", c_double), ("validation_loss", c_double),
                ("validation_accuracy", c_double), ("learning_rate", c_double),
                ("items_per_second", c_double)]


OnProgress = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(Progress))


class TrainerOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("optimizer", c_int32), ("learning_rate", c_double),
                ("momentum", c_double), ("weight_decay", c_double), ("label_smoothing", c_double),
                ("gradient_norm", c_double), ("schedule", c_int32), ("epochs", c_int32),
                ("batch_size", c_size_t), ("seed", c_uint64), ("augment", c_int32),
                ("strict", c_int32), ("checkpoints", c_char_p), ("resume", c_int32),
                ("reserved", c_int32), ("frozen", POINTER(c_char_p)), ("frozen_count", c_size_t)]


class FineTuneOptions(_Sized):
    _fields_ = [("struct_size", c_uint32), ("head_epochs", c_int32), ("gentle_factor", c_double),
                ("trainer", POINTER(TrainerOptions))]


TEXTS = {"summary": 1, "summary_json": 2, "preprocessing": 3, "provenance": 4, "report": 5,
         "value_names": 6, "graph": 7, "layers": 8}


# -- The plugin interface


class PluginTensor(Structure):
    _fields_ = [("data", c_void_p), ("type", c_int32), ("rank", c_int32), ("shape", c_int64 * MAX_RANK)]


class PluginParameter(Structure):
    _fields_ = [("name", c_char_p), ("role", c_int32), ("initializer", c_int32), ("scale", c_double),
                ("type", c_int32), ("rank", c_int32), ("shape", c_int64 * MAX_RANK)]


_TENSORS = POINTER(PluginTensor)
_ERROR = POINTER(ErrorStruct)


class Host(Structure):
    _fields_ = [("struct_size", c_uint32), ("abi_major", c_uint32), ("abi_minor", c_uint32), ("reserved", c_uint32),
                ("version", c_char_p), ("log", c_void_p), ("parallel_for", c_void_p), ("thread_count", c_void_p),
                ("attribute_count", c_void_p), ("attribute_name", c_void_p),
                ("attribute_type", ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p)),
                *((f"attribute_{name}", ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, POINTER(kind), _ERROR))
                  for name, kind in (("int", c_int64), ("float", c_double), ("bool", c_int32), ("string", c_char_p))),
                *((f"attribute_{name}s", ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, POINTER(POINTER(kind)),
                                                          POINTER(c_size_t), _ERROR))
                  for name, kind in (("int", c_int64), ("float", c_double))),
                ("get_extension", c_void_p)]


class Inference(Structure):
    _fields_ = [("struct_size", c_uint32), ("threads", c_uint32), ("inputs", _TENSORS), ("input_count", c_size_t),
                ("outputs", _TENSORS), ("output_count", c_size_t), ("forward_scratch", c_size_t),
                ("backward_scratch", c_size_t), ("saved", c_size_t), ("multiply_adds", c_uint64)]


class ForwardCall(Structure):
    _fields_ = [("struct_size", c_uint32), ("is_training", c_int32), ("inputs", _TENSORS), ("input_count", c_size_t),
                ("parameters", _TENSORS), ("parameter_count", c_size_t), ("outputs", _TENSORS),
                ("output_count", c_size_t), ("scratch", c_void_p), ("scratch_size", c_size_t), ("saved", c_void_p),
                ("saved_size", c_size_t), ("buffer_updates", _TENSORS), ("threads", c_void_p), ("seed", c_uint64)]


class BackwardCall(Structure):
    _fields_ = [("struct_size", c_uint32), ("is_training", c_int32), ("output_gradients", _TENSORS),
                ("inputs", _TENSORS), ("outputs", _TENSORS), ("parameters", _TENSORS), ("input_gradients", _TENSORS),
                ("parameter_gradients", _TENSORS), ("input_count", c_size_t), ("output_count", c_size_t),
                ("parameter_count", c_size_t), ("scratch", c_void_p), ("scratch_size", c_size_t), ("saved", c_void_p),
                ("saved_size", c_size_t), ("threads", c_void_p), ("seed", c_uint64)]


class LayerClass(_Sized):
    pass


_CLASS = POINTER(LayerClass)
CreateLayer = ctypes.CFUNCTYPE(c_int32, _CLASS, c_void_p, POINTER(c_void_p), _ERROR)
DestroyLayer = ctypes.CFUNCTYPE(None, _CLASS, c_void_p)
CountOutputs = ctypes.CFUNCTYPE(c_size_t, _CLASS, c_void_p)
InferShapes = ctypes.CFUNCTYPE(c_int32, _CLASS, c_void_p, POINTER(Inference), _ERROR)
ListParameters = ctypes.CFUNCTYPE(c_int32, _CLASS, c_void_p, _TENSORS, c_size_t, POINTER(PluginParameter), c_size_t,
                                  POINTER(c_size_t), _ERROR)
Forward = ctypes.CFUNCTYPE(c_int32, _CLASS, c_void_p, POINTER(ForwardCall), _ERROR)
Backward = ctypes.CFUNCTYPE(c_int32, _CLASS, c_void_p, POINTER(BackwardCall), _ERROR)
LayerClass._fields_ = [
    ("struct_size", c_uint32), ("flags", c_uint32), ("kind", c_char_p), ("kind_version", c_uint32),
    ("minimum_inputs", c_uint32), ("maximum_inputs", c_uint32), ("reserved", c_uint32), ("class_data", c_void_p),
    ("attribute_names", POINTER(c_char_p)), ("create", CreateLayer), ("destroy", DestroyLayer),
    ("count_outputs", CountOutputs), ("infer_shapes", InferShapes), ("list_parameters", ListParameters),
    ("forward", Forward), ("backward", Backward), ("get_extension", c_void_p)]


class Plugin(_Sized):
    _fields_ = [("struct_size", c_uint32), ("abi_major", c_uint32), ("abi_minor_required", c_uint32),
                ("reserved", c_uint32), ("id", c_char_p), ("version", c_char_p), ("vendor", c_char_p),
                ("class_count", c_size_t), ("classes", POINTER(_CLASS)),
                ("get_extension", c_void_p)]


PluginEntry = ctypes.CFUNCTYPE(c_void_p, POINTER(Host), _ERROR)


# -- Functions

_OUT = POINTER(c_uint64)
_HANDLE = c_uint64

#: Arguments of the functions that return a status, without the error at the end.
_CALLS: dict[str, list[Any]] = {
    "context_create": [POINTER(ContextOptions), _OUT],
    "context_layer_count": [_HANDLE, POINTER(c_size_t)],
    "context_layer_info": [_HANDLE, c_size_t, POINTER(LayerInfo)],
    "context_load_plugin": [_HANDLE, c_char_p],
    "context_register_plugin": [_HANDLE, PluginEntry, c_int32],
    "model_load": [_HANDLE, c_char_p, _OUT],
    "model_load_memory": [_HANDLE, c_char_p, c_size_t, _OUT],
    "model_create": [_HANDLE, c_char_p, c_size_t, c_uint64, _OUT],
    "model_create_from_graph": [_HANDLE, c_char_p, c_uint64, _OUT],
    "model_with_weights": [_HANDLE, c_char_p, POINTER(WeightsOptions), _OUT],
    "model_with_labels": [_HANDLE, POINTER(c_char_p), c_size_t, _OUT],
    "model_with_preprocessing": [_HANDLE, c_char_p, _OUT],
    "model_save": [_HANDLE, c_char_p],
    "model_export": [_HANDLE, c_char_p],
    "model_get_info": [_HANDLE, POINTER(ModelInfo)],
    "model_get_input": [_HANDLE, c_size_t, POINTER(ValueInfo)],
    "model_get_output": [_HANDLE, c_size_t, POINTER(ValueInfo)],
    "model_get_label": [_HANDLE, c_size_t, POINTER(c_char_p)],
    "model_get_text": [_HANDLE, c_int32, c_char_p, c_size_t, POINTER(c_size_t)],
    "model_get_tensor": [_HANDLE, c_char_p, POINTER(Tensor)],
    "model_preprocess": [_HANDLE, _OUT, c_size_t, POINTER(Tensor)],
    "image_load": [_HANDLE, c_char_p, _OUT],
    "image_decode": [_HANDLE, c_char_p, c_size_t, _OUT],
    "image_create": [_HANDLE, c_void_p, c_size_t, c_size_t, c_size_t, _OUT],
    "session_create": [_HANDLE, POINTER(SessionOptions), _OUT],
    "session_output_shapes": [_HANDLE, POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t],
    "session_run": [_HANDLE, POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t],
    "session_explain": [_HANDLE, POINTER(Tensor), c_size_t, c_char_p, c_size_t,
                        POINTER(c_size_t)],
    "session_predict": [_HANDLE, _HANDLE, POINTER(Prediction), c_size_t, POINTER(c_size_t)],
    "dataset_open": [_HANDLE, c_char_p, POINTER(DatasetOptions), _OUT],
    "dataset_create": [_HANDLE, POINTER(DatasetSource), _OUT],
    "dataset_get_info": [_HANDLE, POINTER(DatasetInfo)],
    "dataset_get_broken": [_HANDLE, c_char_p, c_size_t, POINTER(c_size_t)],
    "model_replace_head": [_HANDLE, POINTER(c_char_p), c_size_t, c_uint64, _OUT],
    "model_evaluate": [_HANDLE, _HANDLE, c_size_t, POINTER(Score)],
    "trainer_create": [_HANDLE, _HANDLE, _HANDLE, POINTER(TrainerOptions), _OUT],
    "trainer_freeze": [_HANDLE, c_char_p],
    "trainer_freeze_up_to": [_HANDLE, c_char_p],
    "trainer_freeze_trunk": [_HANDLE],
    "trainer_unfreeze": [_HANDLE, c_char_p],
    "trainer_fit": [_HANDLE, OnProgress, c_void_p, POINTER(c_int32)],
    "trainer_cancel": [_HANDLE],
    "trainer_evaluate": [_HANDLE, _HANDLE, POINTER(Score)],
    "trainer_make_model": [_HANDLE, _OUT],
    "trainer_get_text": [_HANDLE, c_int32, c_char_p, c_size_t, POINTER(c_size_t)],
    "trainer_step": [_HANDLE, POINTER(Tensor), c_size_t, POINTER(Tensor), POINTER(c_double)],
    "trainer_apply": [_HANDLE],
    "trainer_get_tensor": [_HANDLE, c_int32, c_char_p, POINTER(Tensor)],
    "finetune": [_HANDLE, _HANDLE, _HANDLE, POINTER(FineTuneOptions), OnProgress, c_void_p, _OUT,
                 POINTER(c_int32)],
}


def candidates() -> list[str]:
    """Where the library is looked for, in this order; the last is the system's own search."""
    chosen = os.environ.get("LAMINA_LIBRARY")
    if chosen:
        return [chosen]
    package = Path(__file__).resolve().parent
    folders = [package, *(package.parents[2] / part for part in (".build/stage/lib", ".build/dist"))]
    prefixes = [package.parents[2], Path(sys.prefix), Path.home() / ".local", Path("/usr/local"),
                Path("/usr")]
    folders += [prefix / "lib" for prefix in prefixes]
    return [str(folder / name) for folder in folders for name in NAMES] + [NAMES[0]]


def _open() -> ctypes.CDLL:
    looked: list[str] = []
    for path in candidates():
        if os.sep in path and not os.path.exists(path):
            looked.append(path)
            continue
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            looked.append(f"{path} ({error})")
    raise ImportError("liblamina was not found; install it with `make install`, or set LAMINA_LIBRARY "
                      "to its path. Looked at:\n  " + "\n  ".join(looked))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.lamina_abi_version.restype = c_uint32
    found = library.lamina_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"expected liblamina with binary interface {ABI_VERSION}, found {found}")
    for name, arguments in _CALLS.items():
        function = getattr(library, f"lamina_{name}")
        function.argtypes = [*arguments, _ERROR]
        function.restype = c_int32
    for kind in ("context", "model", "session", "image", "dataset", "trainer"):
        release = getattr(library, f"lamina_{kind}_release")
        release.argtypes = [_HANDLE]
        release.restype = None
    library.lamina_version.restype = c_char_p
    library.lamina_catalog_count.restype = c_size_t
    library.lamina_catalog_name.argtypes = [c_size_t]
    library.lamina_catalog_name.restype = c_char_p
    return library


library = _declare(_open())


_raised = threading.local()


def keep_raised(raised: BaseException, text: str) -> None:
    """Remembers what a callback raised, and as which text, until the call of the library fails because of it."""
    _raised.last = raised, text


def failure(status: int, error: ErrorStruct) -> BaseException:
    """What to raise for a status that is not 0: with what a callback raised as its cause, or that itself where it ends
    the program."""
    found = Error(status, error.message.decode(errors="replace"))
    raised: BaseException | None
    raised, text = _raised.__dict__.pop("last", (None, ""))
    if raised is None or text not in found.message:
        return found
    if not isinstance(raised, Exception):
        return raised
    found.__cause__ = raised
    return found


def call(name: str, *arguments: Any) -> None:
    """Calls a function that returns a status; raises `Error` when it is not 0. The interpreter's lock is
    free meanwhile."""
    error = ErrorStruct()
    _raised.__dict__.pop("last", None)
    status = getattr(library, f"lamina_{name}")(*arguments, byref(error))
    if status:
        raise failure(status, error)


def made(name: str, *arguments: Any) -> int:
    """Calls a function whose last argument receives a handle, and returns the handle."""
    handle = c_uint64()
    call(name, *arguments, byref(handle))
    return handle.value


def text(name: str, *arguments: Any) -> str:
    """Calls a function that copies a text into a buffer, and returns the text."""
    needed = c_size_t()
    call(name, *arguments, None, 0, byref(needed))
    buffer = ctypes.create_string_buffer(needed.value)
    call(name, *arguments, buffer, needed, None)
    return buffer.value.decode()


def texts(values: Sequence[object]) -> Any:
    """An array of C texts."""
    return (c_char_p * len(values))(*(str(value).encode() for value in values))


@callback(LogFunction)
def log(_user: int | None, level: int, message: bytes) -> None:
    """Hands a line of the library's log to Python's."""
    import logging  # Slow to import, and seldom needed.

    severity = logging.WARNING if level >= 20 else logging.INFO
    logging.getLogger("lamina").log(severity, "%s", message.decode(errors="replace"))
