"""Lamina from Python: load a convolutional network and run it, with ctypes and NumPy alone.

    import lamina
    model = lamina.load("resnet50.safetensors")
    print(model.predict("photo.jpg"))
    [logits] = model.run(batch)

or fit it to classes of your own:

    mine = lamina.finetune("resnet50.safetensors", "photos")
    mine.save("mine.safetensors")
"""

from ctypes import byref as _byref, c_size_t as _c_size_t

from . import _library
from ._library import Error
from ._model import Model, Value, _context, create, load
from ._training import Dataset, Progress, Score, Trainer, evaluate, finetune

__all__ = ["Dataset", "Error", "Model", "Progress", "Score", "Trainer", "Value", "architectures", "create", "evaluate",
           "finetune", "layers", "load", "version"]


def version():
    """Version of the library: `0.1.0`."""
    return _library.library.lamina_version().decode()


def architectures():
    """Names that `create` knows."""
    library = _library.library
    return [library.lamina_catalog_name(index).decode() for index in range(library.lamina_catalog_count())]


def layers():
    """The kinds of layers that models may use, sorted."""
    context = _context(None).number
    count = _c_size_t()
    _library.call("context_layer_count", context, _byref(count))
    info = _library.LayerInfo()
    kinds = []
    for index in range(count.value):
        _library.call("context_layer_info", context, index, _byref(info))
        kinds.append(info.kind.decode())
    return kinds
