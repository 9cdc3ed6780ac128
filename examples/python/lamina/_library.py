"""Finds liblamina and declares its functions; `lamina.h` and `lamina_training.h` say what they do."""

import ctypes
import os
import sys
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64
from ctypes import c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path

ABI_VERSION = 1
MAX_RANK = 8
NAMES = {"darwin": ("liblamina.0.1.dylib", "liblamina.dylib")}.get(
    sys.platform, ("liblamina.so.0.1", "liblamina.so"))


class Error(Exception):
    """What the library refuses to do: `code` is the number of lamina.h, `message` says where and why."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self):
        return Error, (self.code, self.message)


ARGUMENT = 10
BUFFER = 50
UNSUPPORTED = 80


class _Sized(Structure):
    """A struct whose first field is its size."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class ErrorStruct(_Sized):
    _fields_ = [("struct_size", c_uint32), ("code", c_int32), ("message", c_char * 504)]


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
         "value_names": 6}

_ERROR = POINTER(ErrorStruct)
_OUT = POINTER(c_uint64)
_HANDLE = c_uint64

#: Arguments of the functions that return a status, without the error at the end.
_CALLS = {
    "context_create": [POINTER(ContextOptions), _OUT],
    "context_layer_count": [_HANDLE, POINTER(c_size_t)],
    "context_layer_info": [_HANDLE, c_size_t, POINTER(LayerInfo)],
    "model_load": [_HANDLE, c_char_p, _OUT],
    "model_load_memory": [_HANDLE, c_char_p, c_size_t, _OUT],
    "model_create": [_HANDLE, c_char_p, c_size_t, c_uint64, _OUT],
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


def candidates():
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


def _open():
    looked = []
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


def _declare(library):
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


def failure(status, error):
    """What to raise for a status that is not 0."""
    return Error(status, error.message.decode(errors="replace"))


def call(name, *arguments):
    """Calls a function that returns a status; raises `Error` when it is not 0. The interpreter's lock is
    free meanwhile."""
    error = ErrorStruct()
    status = getattr(library, f"lamina_{name}")(*arguments, byref(error))
    if status:
        raise failure(status, error)


def made(name, *arguments):
    """Calls a function whose last argument receives a handle, and returns the handle."""
    handle = c_uint64()
    call(name, *arguments, byref(handle))
    return handle.value


def text(name, *arguments):
    """Calls a function that copies a text into a buffer, and returns the text."""
    needed = c_size_t()
    call(name, *arguments, None, 0, byref(needed))
    buffer = ctypes.create_string_buffer(needed.value)
    call(name, *arguments, buffer, needed, None)
    return buffer.value.decode()


def texts(values):
    """An array of C texts."""
    return (c_char_p * len(values))(*(str(value).encode() for value in values))


@LogFunction
def log(_user, level, message):
    """Hands a line of the library's log to Python's."""
    import logging  # Slow to import, and seldom needed.

    severity = logging.WARNING if level >= 20 else logging.INFO
    logging.getLogger("lamina").log(severity, "%s", message.decode(errors="replace"))
