"""Contexts: the layers and threads that models share."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from ctypes import byref, c_size_t
from typing import Any, NamedTuple, TypeVar, Union

from . import _library as c
from ._layers import Layer, entry

Path = Union[str, "os.PathLike[str]"]
_L = TypeVar("_L", bound=type[Layer])


class Handle:
    """A reference to an object of the library, given back with the last use of this one."""

    def __init__(self, kind: str, number: int) -> None:
        self.number = number
        release = getattr(c.library, f"lamina_{kind}_release")
        self._finalizer = weakref.finalize(self, release, number)
        # At exit other threads may still run; the process gives everything back.
        self._finalizer.atexit = False


class LayerKind(NamedTuple):
    """A kind of layer that models may use: `inputs` are the fewest and the most it takes, None for any number."""

    kind: str
    version: int
    provider: str
    inputs: tuple[int, int | None]


class Context:
    """The layers and threads that models share.

        context = lamina.Context(plugins=["/opt/lamina/mish.so"])
        model = lamina.load("net.safetensors", context=context)

    `threads` compute, by default as many as the process may use. `plugins` are paths of shared libraries, `layers`
    classes of one's own, see `Layer`. Any number of threads may use a context; one that is pickled loads the same
    plugins and classes where it is unpickled.
    """

    def __init__(self, threads: int | None = None, plugins: Iterable[Path] = (),
                 layers: Iterable[type[Layer]] = ()) -> None:
        self._threads = threads
        options = c.ContextOptions(threads=threads or 0, log=c.log)
        self._handle = Handle("context", c.made("context_create", byref(options)))
        #: What was added, in order: paths, and classes with whether they replace others.
        self._added: list[str | tuple[type[Layer], bool]] = []
        for path in plugins:
            self.load_plugin(path)
        for layer in layers:
            self.register(layer)

    def load_plugin(self, path: Path) -> None:
        """Adds the layers of a plugin, a shared library. A plugin is code: load only what you would run. One that was
        not seen before is loaded by a process of its own first; if it crashes there, that is an error."""
        c.call("context_load_plugin", self._handle.number, os.fsencode(path))
        if (added := os.path.abspath(path)) not in self._added:
            self._added.append(added)

    def register(self, layer: _L, replace: bool = False) -> _L:
        """Adds a layer written in Python, and returns its class: also a decorator. With `replace` it takes the place
        of what has its kind, in models that are loaded from then on."""
        c.call("context_register_plugin", self._handle.number, entry(layer), int(replace))
        if (added := (layer, replace)) not in self._added:
            self._added.append(added)
        return layer

    @property
    def layers(self) -> list[LayerKind]:
        """The kinds of layers that models may use, sorted."""
        count = c_size_t()
        c.call("context_layer_count", self._handle.number, byref(count))
        info = c.LayerInfo()
        kinds = []
        for index in range(count.value):
            c.call("context_layer_info", self._handle.number, index, byref(info))
            most = None if info.maximum_inputs == c_size_t(-1).value else info.maximum_inputs
            kinds.append(LayerKind(info.kind.decode(), info.version, info.provider.decode(),
                                   (info.minimum_inputs, most)))
        return kinds

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._threads, tuple(self._added))

    def __repr__(self) -> str:
        return f"<lamina.Context: {len(self.layers)} kinds of layers>"


_contexts: dict[int | None, Context] = {}
_unpickled: weakref.WeakValueDictionary[Any, Context] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def shared(threads: int | None, context: Context | None = None) -> Context:
    """The context that is given, or the one that computes with `threads` threads; models of one process share it."""
    if context is not None:
        if threads is not None:
            raise c.Error(c.ARGUMENT, "expected threads or a context, which has threads, found both")
        return context
    with _lock:
        if threads not in _contexts:
            _contexts[threads] = Context(threads)
        return _contexts[threads]


def _restored(threads: int | None, added: tuple[Any, ...]) -> Context:
    """The context that was pickled: one for all models that had the same."""
    if not added:
        return shared(threads)
    with _lock:
        context = _unpickled.get((threads, added))
        if context is None:
            context = Context(threads)
            for item in added:
                context.load_plugin(item) if isinstance(item, str) else context.register(*item)
            _unpickled[threads, added] = context
        return context
