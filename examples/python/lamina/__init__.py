"""Lamina from Python: load a convolutional network and run it, with ctypes and NumPy alone.

    import lamina
    model = lamina.load("resnet50.safetensors")
    print(model.predict("photo.jpg"))
    [logits] = model.run(batch)

or fit it to classes of your own:

    mine = lamina.finetune("resnet50.safetensors", "photos")
    mine.save("mine.safetensors")

or with layers of your own, from plugins or written in Python:

    context = lamina.Context(plugins=["/opt/mish.so"], layers=[MyLayer])
    model = lamina.load("net.safetensors", context=context)

Arrays of any library that has `__dlpack__` go in; results are NumPy arrays, which other libraries take with their
`from_dlpack`. Contexts, models and data sets may be used by any number of threads, a trainer by one at a time.
"""

from . import _library
from ._context import Context, LayerKind
from ._context import shared as _shared
from ._layers import BackwardCall, ForwardCall, Layer, ParameterSpec, TensorSpec
from ._library import Error
from ._model import Model, Node, Nodes, Parameter, Value, create, from_graph, load
from ._training import Dataset, Progress, Score, Trainer, evaluate, finetune

__all__ = ["BackwardCall", "Context", "Dataset", "Error", "ForwardCall", "Layer", "LayerKind", "Model", "Node", "Nodes",
           "Parameter", "ParameterSpec", "Progress", "Score", "TensorSpec", "Trainer", "Value", "architectures",
           "create", "evaluate", "finetune", "from_graph", "layers", "load", "version"]


def version() -> str:
    """Version of the library: `0.1.0`."""
    return str(_library.library.lamina_version().decode())


def architectures() -> list[str]:
    """Names that `create` knows."""
    library = _library.library
    return [library.lamina_catalog_name(index).decode() for index in range(library.lamina_catalog_count())]


def layers() -> list[str]:
    """The kinds of layers that models may use, sorted; `Context.layers` tells more about those of a context."""
    return [known.kind for known in _shared(None).layers]
