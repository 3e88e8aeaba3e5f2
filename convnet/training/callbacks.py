"""What can happen beside a training: stop early, write logs, functions of your own."""

import csv
import io
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convnet.errors import SettingError, UnsupportedError
from convnet.serialization import replace
from convnet.settings import integer, real
from convnet.training._engine import Engine
from convnet.training._history import Epoch, check_figure

__all__ = ["CSVLog", "Callback", "EarlyStopping", "JSONLog", "TensorBoard", "checked_callbacks"]

Function = Callable[[Any, Epoch], object]
"""Of a `Trainer` and the epoch that it has finished."""


class Callback:
    """What `Trainer.fit` tells of its course; every method may be left out.

    A function ``f(trainer, epoch)`` does as well: it is called where `epoch` is. To end the training after the epoch
    that runs, call ``trainer.stop()``.

    Examples
    --------
    >>> class Noise(Callback):
    ...     def step(self, trainer, loss):
    ...         for parameter in trainer.model.parameters():
    ...             parameter.value += 0.001
    """

    def begin(self, trainer: Engine) -> None:
        """Before the first step, also of a training that is resumed."""

    def step(self, trainer: Engine, loss: float) -> None:
        """After each step, with the loss before its update."""

    def epoch(self, trainer: Engine, epoch: Epoch) -> None:
        """After each epoch, which is the last one of ``trainer.history``."""

    def end(self, trainer: Engine) -> None:
        """After the last epoch; not after an error, Ctrl-C or a ``break`` in a loop over `Trainer.iter_fit`."""

    def close(self) -> None:
        """When all is over, however it ended: let go of files."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep of the object: numbers, texts, arrays, and dicts and lists of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""


class _EpochEnd(Callback):
    """A function of trainer and epoch, called after each epoch."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def epoch(self, trainer: Engine, epoch: Epoch) -> None:
        """Call the function."""
        self._function(trainer, epoch)


def checked_callbacks(who: str, callbacks: Sequence[Callback | Function]) -> list[Callback]:
    """Callbacks, functions among them as objects too.

    Raises
    ------
    SettingError
        If one is neither, or a class.
    """
    expected = f"{who}: expected a list of Callback objects or functions of (trainer, epoch)"
    if not isinstance(callbacks, Sequence):
        raise SettingError(f"{expected}, got {callbacks!r}")
    for callback in callbacks:
        if isinstance(callback, type) or not (isinstance(callback, Callback) or callable(callback)):
            raise SettingError(f"{expected}, got {callback!r} in it")
    return [each if isinstance(each, Callback) else _EpochEnd(each) for each in callbacks]


class EarlyStopping(Callback):
    """End the training when a figure has not become better for some epochs, and take back the best weights.

    Prechelt 1998, Early stopping - but when? (doi:10.1007/3-540-49430-8_3).

    Parameters
    ----------
    patience : int
        Epochs in a row without a better figure that are borne.
    monitor : str, optional
        A figure of `Epoch`; by default "val_loss", without validation data "loss". Losses are better when smaller, as
        are metrics with ``smaller_is_better``, all others when larger.
    min_delta : float
        What counts as better must be so by more than this.
    restore_best : bool
        Whether the model gets the weights of its best epoch back at the end of the training. An average of the weights
        gets its own back.

    Raises
    ------
    SettingError
        If a setting is out of range, or, before the first step, if no epoch will have such a figure.
    """

    def __init__(
        self, patience: int = 5, monitor: str | None = None, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        self.patience = integer(patience, "EarlyStopping patience")
        self.monitor = monitor
        self.min_delta = real(min_delta, "EarlyStopping min_delta")
        self.restore_best = bool(restore_best)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.waited = 0
        self._weights: dict[str, Any] = {}

    def begin(self, trainer: Engine) -> None:
        """A training that starts anew has no best figure yet; one that was stopped and is resumed stops again."""
        if self.monitor is not None:
            check_figure("EarlyStopping monitor", self.monitor, trainer.figures)
        if not trainer.history:
            self._forget()
        elif self.waited >= self.patience:
            trainer.stop()

    def epoch(self, trainer: Engine, epoch: Epoch) -> None:
        """Compare the figure with the best one."""
        monitor = self.monitor or trainer.history.monitored
        value = epoch.figures().get(monitor)
        if value is None:  # of a stream that has no classes
            raise SettingError(f"EarlyStopping monitor: expected a figure of every epoch, got {monitor!r}")
        better = trainer.history.is_better
        if self.best is None or math.isnan(self.best) or better(monitor, value, self.best, by=self.min_delta):
            self.best, self.waited = value, 0
            if self.restore_best:
                self._weights = {"model": trainer.model.state_dict()}
                if trainer.average is not None:
                    self._weights["average"] = trainer.average.state_dict()
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.stop()

    def end(self, trainer: Engine) -> None:
        """Take the best weights back."""
        if self._weights:
            trainer.model.load_state_dict(self._weights["model"])
        if "average" in self._weights and trainer.average is not None:
            trainer.average.load_state_dict(self._weights["average"])

    def state_dict(self) -> dict[str, Any]:
        """The best figure, its weights, and the epochs since."""
        return {"best": self.best, "waited": self.waited, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.best, self.waited, self._weights = state["best"], state["waited"], dict(state["weights"])


class _Log(Callback, ABC):
    """A file with all epochs so far, written anew after each one: it is whole at any time, also after a break."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def begin(self, trainer: Engine) -> None:
        """Write what there is, which tells at once whether the file can be written."""
        self._write(trainer)

    def epoch(self, trainer: Engine, epoch: Epoch) -> None:
        """Write all epochs."""
        self._write(trainer)

    def _write(self, trainer: Engine) -> None:
        replace(self.path.resolve(), self._text([epoch.figures() for epoch in trainer.history]).encode())

    @abstractmethod
    def _text(self, rows: list[dict[str, Any]]) -> str: ...


class CSVLog(_Log):
    """A table of the epochs as comma-separated values, one row an epoch, with a header.

    Parameters
    ----------
    path : str or path
        The file; one that exists is replaced.
    """

    def _text(self, rows: list[dict[str, Any]]) -> str:
        if not rows:
            return ""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


class JSONLog(_Log):
    """The epochs as lines of JSON, one object an epoch.

    Parameters
    ----------
    path : str or path
        The file; one that exists is replaced.
    """

    def _text(self, rows: list[dict[str, Any]]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)


class TensorBoard(Callback):
    """Figures of the epochs as TensorBoard shows them; needs the extra ``tensorboard``.

    Parameters
    ----------
    folder : str or path
        Where the event files go.

    Raises
    ------
    UnsupportedError
        At the beginning of the training, if tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def begin(self, trainer: Engine) -> None:
        """Open the event file; of a training that is resumed, later epochs are struck out."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UnsupportedError(
                "TensorBoard: expected the package tensorboardX, got none: pip install convnet-cpu[tensorboard]"
            ) from None
        self._writer = SummaryWriter(self.folder, purge_step=len(trainer.history) + 1)

    def epoch(self, trainer: Engine, epoch: Epoch) -> None:
        """Write the figures of the epoch, under its number."""
        for name, value in epoch.figures().items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
