"""Training: data sets, trainers, and the recipe that fits a trained model to other classes."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from ctypes import POINTER, byref
from typing import Any, NamedTuple

import numpy as np

from . import _library as c
from ._context import Handle, Path, shared
from ._layers import CODES, DTYPES, Array
from ._model import Model, load, view

_BROKEN = ["error", "skip", "replace"]
_OPTIMIZERS = ["adam", "sgd", "rmsprop", "adamw", "nadam"]
_SCHEDULES = ["constant", "cosine", "one-cycle"]
_EVENTS = {1: "batch", 2: "epoch", 3: "features"}
_ENDINGS = {1: "completed", 2: "cancelled", 3: "not finite"}


class Score(NamedTuple):
    """How good a model is, over `count` items; `accuracy` is None where labels are no classes."""

    loss: float
    accuracy: float | None
    count: int  # type: ignore[assignment]


class Progress(NamedTuple):
    """How far training is: `event` is `batch`, `epoch` or `features`, `stage` is `train`, `head` or `all`. What is not
    known is None."""

    event: str
    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    items_per_second: float | None


#: Is told how far training is; False ends it behind this batch or epoch.
OnProgress = Callable[[Progress], Any]


def _number(names: list[str], name: str, what: str) -> int:
    if name not in names:
        raise c.Error(c.ARGUMENT, f"expected {what} of {', '.join(names)}, found {name!r}")
    return names.index(name)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _context_number(threads: int | None) -> int:
    return shared(threads)._handle.number


class Dataset:
    """Items with a class each, to train and to check with.

    `data` is a path: a folder with a folder of pictures for each class, or with two such folders `train` and `val`, or
    MNIST's or CIFAR's files. `hold_out` per cent of each class are checked with where there is no `val`. `broken` says
    what happens to pictures that cannot be decoded: `error`, `skip` or `replace`.
    """

    def __init__(self, path: Path, labels: Sequence[str] | None = None, hold_out: int = 20,
                 broken: str = "error", seed: int = 0, threads: int | None = None) -> None:
        names = c.texts(labels or [])
        options = c.DatasetOptions(broken=_number(_BROKEN, broken, "a policy"), hold_out=hold_out or -1, seed=seed,
                                   labels=ctypes.cast(names, POINTER(ctypes.c_char_p)), label_count=len(names))
        self._adopt(c.made("dataset_open", _context_number(threads), os.fsencode(path), byref(options)))

    @classmethod
    def from_arrays(cls, items: Array, classes: Sequence[int], labels: Sequence[str] | None = None,
                    validation: int = 0, threads: int | None = None) -> Dataset:
        """Tensors as they enter the model, `float32 [items, ...]`, and the class of each. The last `validation` items
        are to check with. The array is not copied."""
        array = np.require(view(items, "items"), np.float32, ["C", "A"])
        return cls._create(array.shape[1:], classes, labels, validation, threads, {"items": array.ctypes.data}, array)

    @classmethod
    def from_function(cls, read: Callable[[int], Array], classes: Sequence[int], shape: Sequence[int],
                      labels: Sequence[str] | None = None, validation: int = 0, threads: int | None = None) -> Dataset:
        """Tensors of `shape` that `read(index)` gives when they are needed; what it raises ends the training."""
        errors: list[BaseException] = []
        size = tuple(shape)

        @c.callback(c.ReadItem)
        def fill(_user: None, index: int, item: Any) -> int:
            try:
                value = np.asarray(read(index), np.float32)
                if value.shape != size:
                    raise ValueError(f"item {index}: expected shape {size}, found {value.shape}")
                ctypes.memmove(item.contents.data, np.ascontiguousarray(value).ctypes.data, value.nbytes)
                return 0
            except BaseException as error:
                errors.append(error)
                return 1

        result = cls._create(size, classes, labels, validation, threads, {"read": fill}, fill)
        result._errors = errors
        return result

    @classmethod
    def _create(cls, shape: Sequence[int], classes: Sequence[int], labels: Sequence[str] | None, validation: int,
                threads: int | None, source: dict[str, Any], kept: object) -> Dataset:
        numbers = np.require(classes, np.int32, ["C", "A"])
        count = len(kept) if isinstance(kept, np.ndarray) else len(numbers)
        if numbers.shape != (count,):
            raise c.Error(c.ARGUMENT, f"expected a class for each of {count} items, found {list(numbers.shape)}")
        if len(shape) >= c.MAX_RANK:
            raise c.Error(c.ARGUMENT, f"expected items of less than {c.MAX_RANK} axes, found {list(shape)}")
        names = c.texts(labels or [])
        described = c.DatasetSource(
            rank=len(shape), count=count, validation_count=validation, classes=numbers.ctypes.data,
            labels=ctypes.cast(names, POINTER(ctypes.c_char_p)), label_count=len(names), **source)
        described.shape[:len(shape)] = shape
        token = next(_tokens)
        described.user = token
        described.release = _release
        _kept[token] = kept
        result = cls.__new__(cls)
        try:
            result._adopt(c.made("dataset_create", _context_number(threads), byref(described)))
        except c.Error:
            _kept.pop(token, None)
            raise
        return result

    def _adopt(self, number: int) -> None:
        self._handle = Handle("dataset", number)
        self._errors: list[BaseException] = []
        info = c.DatasetInfo()
        c.call("dataset_get_info", number, byref(info))
        #: Items to train with.
        self.training_count: int = info.training_count
        #: Items to check with.
        self.validation_count: int = info.validation_count
        #: Names of the classes; empty when there are none.
        self.labels: list[str] = [(info.labels[index] or b"").decode() for index in range(info.label_count)]

    @property
    def broken(self) -> list[dict[str, str]]:
        """Pictures that were left out or replaced: name and reason of each."""
        return list(json.loads(c.text("dataset_get_broken", self._handle.number)))

    def __repr__(self) -> str:
        return f"<lamina.Dataset: {self.training_count} items to train with, {self.validation_count} to check with>"


#: What the library still reads or calls.
_kept: dict[int, object] = {}
_tokens = itertools.count(1)


@c.callback(c.ReleaseUser)
def _release(token: int) -> None:
    _kept.pop(token, None)


def _dataset(data: Dataset | Path, seed: int = 0) -> Dataset:
    return data if isinstance(data, Dataset) else Dataset(data, seed=seed)


def _options(optimizer: str, learning_rate: float | None, momentum: float | None, weight_decay: float,
             schedule: str, epochs: int | None, batch_size: int, seed: int, augment: bool, label_smoothing: float,
             gradient_norm: float, strict: bool, checkpoints: Path | None, resume: bool,
             frozen: Iterable[str]) -> c.TrainerOptions:
    patterns = c.texts(list(frozen))
    return c.TrainerOptions(
        optimizer=_number(_OPTIMIZERS, optimizer, "an optimizer"), learning_rate=learning_rate or 0,
        momentum=0 if momentum is None else momentum or -1, weight_decay=weight_decay,
        label_smoothing=label_smoothing, gradient_norm=gradient_norm,
        schedule=_number(_SCHEDULES, schedule, "a schedule"), epochs=0 if epochs is None else epochs or -1,
        batch_size=batch_size, seed=seed, augment=int(augment), strict=int(strict),
        checkpoints=None if checkpoints is None else os.fsencode(checkpoints), resume=int(resume),
        frozen=ctypes.cast(patterns, POINTER(ctypes.c_char_p)), frozen_count=len(patterns))


class _Watch:
    """Hands progress to a function. What that raises, and Ctrl-C, end the training and come out behind it."""

    def __init__(self, on_progress: OnProgress | None, data: Iterable[Dataset | None]) -> None:
        self._on_progress = on_progress
        self._data = [items for items in data if items is not None]
        self._error: BaseException | None = None
        self._interrupted = False
        self.history: list[dict[str, Any]] = []
        self.function = c.OnProgress(self._tell)

    def _tell(self, _user: None, pointer: Any) -> int:
        try:
            told = pointer.contents
            numbers = (told.loss, told.accuracy, told.validation_loss, told.validation_accuracy, told.learning_rate,
                       told.items_per_second)
            progress = Progress(_EVENTS[told.event], told.stage.decode(), told.epoch, told.epochs, told.step,
                                told.steps, *map(_known, numbers))
            if progress.event == "epoch":
                self.history.append({"stage": progress.stage, "epoch": progress.epoch, "loss": progress.loss,
                                     "accuracy": progress.accuracy, "val_loss": progress.validation_loss,
                                     "val_accuracy": progress.validation_accuracy,
                                     "learning_rate": progress.learning_rate})
            goes_on = self._on_progress is None or self._on_progress(progress) is not False
        except BaseException as error:
            self._error = self._error or error
            return 1
        return 0 if goes_on and not self._interrupted else 1

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Runs training within: an interruption finishes the batch and is raised then."""
        catches = (threading.current_thread() is threading.main_thread()
                   and signal.getsignal(signal.SIGINT) is signal.default_int_handler)

        def note(_number: int, _frame: object) -> None:
            self._interrupted = True

        for items in self._data:
            items._errors.clear()
        if catches:
            signal.signal(signal.SIGINT, note)
        try:
            yield
        except c.Error as error:
            for items in self._data:
                if items._errors:
                    raise items._errors.pop() from error
            raise
        finally:
            if catches:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._error:
            raise self._error
        if self._interrupted:
            raise KeyboardInterrupt


class Trainer:
    """A model that learns from data, or from batches of one's own. The model itself stays as it is. One thread at a
    time may use a trainer; only `cancel` is for another.

    `optimizer` is `adam`, `sgd`, `rmsprop`, `adamw` or `nadam`, `schedule` `constant`, `cosine` or `one-cycle`; numbers
    that are None are the usual ones. `frozen` holds patterns (`layer1.*`) over the names of layers and parameters.
    `checkpoints` is a folder that training is saved to behind each epoch; with `resume` it goes on from what is there.
    """

    def __init__(self, model: Model, data: Dataset | Path | None = None,
                 validation: Dataset | Path | None = None, *, optimizer: str = "adam",
                 learning_rate: float | None = None, momentum: float | None = None, weight_decay: float = 0,
                 schedule: str = "constant", epochs: int = 10, batch_size: int = 32, seed: int = 0,
                 augment: bool = False, label_smoothing: float = 0, gradient_norm: float = 0, strict: bool = False,
                 checkpoints: Path | None = None, resume: bool = False,
                 frozen: Iterable[str] = ()) -> None:
        self._model = model
        self._data = None if data is None else _dataset(data, seed)
        self._validation = None if validation is None else _dataset(validation, seed)
        options = _options(optimizer, learning_rate, momentum, weight_decay, schedule, epochs, batch_size, seed,
                           augment, label_smoothing, gradient_norm, strict, checkpoints, resume, frozen)
        numbers = [items._handle.number if items else 0 for items in (self._data, self._validation)]
        self._handle = Handle("trainer", c.made("trainer_create", model._handle.number, *numbers, byref(options)))

    def freeze(self, *patterns: str) -> None:
        """Freezes layers and parameters whose names a pattern (`layer1.*`) matches. Before the first step."""
        for pattern in patterns:
            c.call("trainer_freeze", self._handle.number, pattern.encode())

    def freeze_up_to(self, name: str) -> None:
        """Freezes all layers up to `name`, a layer or what the names of several begin with. Before the first step."""
        c.call("trainer_freeze_up_to", self._handle.number, name.encode())

    def freeze_trunk(self) -> None:
        """Freezes all layers but the last one with weights before each output. Before the first step."""
        c.call("trainer_freeze_trunk", self._handle.number)

    def unfreeze(self, *patterns: str) -> None:
        """Lets layers and parameters whose names a pattern matches learn again. Before the first step."""
        for pattern in patterns:
            c.call("trainer_unfreeze", self._handle.number, pattern.encode())

    def fit(self, on_progress: OnProgress | None = None) -> str:
        """Trains until the last epoch or until `on_progress` returns False, and tells how it ended: `completed`,
        `cancelled` or `not finite`. What was cancelled, also by Ctrl-C, goes on at the next call."""
        watch = _Watch(on_progress, [self._data, self._validation])
        ending = ctypes.c_int32()
        with watch():
            c.call("trainer_fit", self._handle.number, watch.function, None, byref(ending))
        return _ENDINGS[ending.value]

    def cancel(self) -> None:
        """Asks the `fit` that runs in another thread, or else the next one, to end behind its batch."""
        c.call("trainer_cancel", self._handle.number)

    def evaluate(self, data: Dataset | Path | None = None) -> Score:
        """Loss and accuracy of the model as it is now, on the items of `data` to check with, or on the trainer's."""
        items = None if data is None else _dataset(data)
        score = c.Score()
        c.call("trainer_evaluate", self._handle.number, items._handle.number if items else 0, byref(score))
        return Score(score.loss, _known(score.accuracy), score.count)

    @property
    def model(self) -> Model:
        """The model as it is now."""
        return Model(self._model._context, c.made("trainer_make_model", self._handle.number))

    def _text(self, which: int) -> Any:
        return json.loads(c.text("trainer_get_text", self._handle.number, which))

    @property
    def history(self) -> list[dict[str, float]]:
        """The numbers of each epoch: `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`."""
        return list(self._text(1))

    @property
    def messages(self) -> list[str]:
        """What was noted on the way."""
        return list(self._text(2))

    @property
    def parameters(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """What learns: role (`weight`, `buffer`) and shape by name."""
        return {found["key"]: (found["role"], tuple(found["shape"])) for found in self._text(3)}

    # -- Steps of one's own

    def step(self, inputs: Any, labels: Any) -> float:
        """One pass forward and back: the mean loss of a batch. `labels` holds a class for each item, or float32 numbers
        for each output. Gradients add up until `apply`."""
        names, arrays = self._model._arrays(inputs)
        found = np.asarray(view(labels, "labels"))
        numbers = np.require(found, np.float32 if found.dtype.kind == "f" else np.int64, ["C", "A"])
        tensors = (c.Tensor * len(arrays))()
        for tensor, name, array in zip(tensors, names, arrays):
            _describe(tensor, array)
            tensor.name = name.encode()
        target = c.Tensor()
        _describe(target, numbers)
        loss = ctypes.c_double()
        c.call("trainer_step", self._handle.number, tensors, len(arrays), byref(target), byref(loss))
        return loss.value

    def apply(self) -> None:
        """One step of the optimizer by the gradients of the passes since the last one."""
        c.call("trainer_apply", self._handle.number)

    def value(self, key: str) -> Array:
        """A parameter as it is now: a copy."""
        return self._tensor(1, key)

    def gradient(self, key: str) -> Array:
        """The gradient of the loss by a weight, summed over the passes since the last step: a copy."""
        return self._tensor(2, key)

    def _tensor(self, which: int, key: str) -> Array:
        tensor = c.Tensor()
        arguments = self._handle.number, which, key.encode(), byref(tensor)
        try:
            c.call("trainer_get_tensor", *arguments)
        except c.Error as error:
            if error.code != c.BUFFER:
                raise
        result = np.empty(tuple(tensor.shape[:tensor.rank]), DTYPES[tensor.type - 1])
        tensor.data = result.ctypes.data
        tensor.byte_count = result.nbytes
        c.call("trainer_get_tensor", *arguments)
        return result


def _describe(tensor: c.Tensor, array: Array) -> None:
    if array.dtype not in CODES or array.ndim > c.MAX_RANK:
        raise c.Error(c.ARGUMENT, f"no tensor can hold {array.dtype} {array.shape}")
    tensor.type = CODES[array.dtype]
    tensor.rank = array.ndim
    tensor.shape[:array.ndim] = array.shape
    tensor.byte_count = array.nbytes
    tensor.data = array.ctypes.data


def evaluate(model: Model, data: Dataset | Path, batch_size: int = 32) -> Score:
    """Loss and accuracy of a model on the items to check with, or on all where there are none of these."""
    items = data if isinstance(data, Dataset) else Dataset(data, labels=model.labels or None, hold_out=0)
    score = c.Score()
    c.call("model_evaluate", model._handle.number, items._handle.number, batch_size, byref(score))
    return Score(score.loss, _known(score.accuracy), score.count)


def finetune(model: Model | Path, data: Dataset | Path,
             validation: Dataset | Path | None = None, *, head_epochs: int = 5, epochs: int = 3,
             gentle_factor: float = 0.1, optimizer: str = "adam", learning_rate: float | None = None,
             momentum: float | None = None, weight_decay: float = 0, schedule: str = "constant", batch_size: int = 32,
             seed: int = 0, augment: bool = False, label_smoothing: float = 0, gradient_norm: float = 0,
             strict: bool = False, checkpoints: Path | None = None, resume: bool = False,
             frozen: Iterable[str] = (), on_progress: OnProgress | None = None) -> Model:
    """The model for the classes of `data`: a new head is trained alone, all else frozen, then all layers at
    `gentle_factor` of the learning rate. Options are those of `Trainer`; the result has the numbers of each epoch as
    `history`."""
    source = model if isinstance(model, Model) else load(model)
    items = _dataset(data, seed)
    checked = None if validation is None else Dataset(validation, labels=items.labels, hold_out=0) \
        if not isinstance(validation, Dataset) else validation
    trainer = _options(optimizer, learning_rate, momentum, weight_decay, schedule, epochs, batch_size, seed, augment,
                       label_smoothing, gradient_norm, strict, checkpoints, resume, frozen)
    options = c.FineTuneOptions(head_epochs=head_epochs or -1, gentle_factor=gentle_factor,
                                trainer=ctypes.pointer(trainer))
    watch = _Watch(on_progress, [items, checked])
    number, ending = ctypes.c_uint64(), ctypes.c_int32()
    result: Model | None = None
    with watch():
        c.call("finetune", source._handle.number, items._handle.number, checked._handle.number if checked else 0,
               byref(options), watch.function, None, byref(number), byref(ending))
        result = Model(source._context, number.value)
    result.history = watch.history
    return result
