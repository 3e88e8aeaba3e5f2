"""One call of `Trainer.fit`: where it is, and who is told."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convnet.errors import DivergedError, SettingError, WeightsError
from convnet.training._batches import Batches
from convnet.training._checkpoint import Checkpoint
from convnet.training._engine import Engine
from convnet.training._history import Epoch
from convnet.training._interrupt import InterruptBetweenSteps
from convnet.training._meter import Meter
from convnet.training._progress import ProgressBar
from convnet.training.callbacks import Callback

__all__ = ["Run"]

logger = logging.getLogger("convnet")


class Run:
    """The epochs of one call of `Trainer.fit`, and all that must be known to go on in the middle of them.

    Parameters
    ----------
    trainer : Engine
    training : DataLoader
    validating : DataLoader, optional
    epochs : int
    accumulate : int
        Parts that a batch is computed in.
    callbacks : sequence of Callback
    checkpoint : Checkpoint, optional
    progress : bool or "plain"
    """

    def __init__(
        self,
        trainer: Engine,
        training: Batches,
        validating: Batches | None,
        epochs: int,
        accumulate: int,
        callbacks: Sequence[Callback],
        checkpoint: Checkpoint | None,
        progress: bool | str,
    ) -> None:
        self.trainer, self.training, self.validating, self.epochs = trainer, training, validating, epochs
        self.accumulate, self.callbacks, self.checkpoint, self.progress = accumulate, callbacks, checkpoint, progress
        self._number = 1  # of the epoch that runs, from 1
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._done = 0  # batches of the epoch
        self._seconds = 0.0  # that it took before a break
        self._meter = Meter(self.training.classifies)
        self._order = self.training.rng.bit_generator.state  # from which the pass draws its order
        self._rest: Iterator[Any] | None = None  # of a pass that was broken off

    def run(self) -> Iterator[Epoch]:
        """Train; yield each epoch when it is finished."""
        trainer = self.trainer
        before = (self._number - 1) * (self.training.images or 0) + self._meter.images
        with ProgressBar(self.training.images, self.epochs, self.progress, before) as bar:
            try:
                for callback in self.callbacks:
                    callback.begin(trainer)
                while self._number <= self.epochs and not trainer.stopped:
                    epoch = self._epoch(bar)
                    bar.finish(epoch)
                    yield epoch
                for callback in self.callbacks:
                    callback.end(trainer)
            finally:
                for callback in self.callbacks:
                    callback.close()

    def _epoch(self, bar: ProgressBar) -> Epoch:
        trainer, begun = self.trainer, time.perf_counter() - self._seconds
        rate = self._train(bar, begun)
        meter = self._meter
        after, measured = (None, {}) if self.validating is None else trainer.measure(self.validating)
        epoch = Epoch(
            epoch=self._number,
            loss=meter.loss,
            accuracy=meter.accuracy,
            val_loss=None if after is None else after.loss,
            val_accuracy=None if after is None else after.accuracy,
            seconds=time.perf_counter() - begun,
            learning_rate=rate,
            val_metrics=measured,
        )
        trainer.optimizer.observe(epoch.loss if epoch.val_loss is None else epoch.val_loss)
        trainer.history.append(epoch)
        logger.info("%s", epoch)
        for callback in self.callbacks:
            callback.epoch(trainer, epoch)
        self._number += 1
        self._begin_epoch()
        if self.checkpoint is not None:
            self.checkpoint.save_best(trainer.measured, trainer.history)
            self._save()
        return epoch

    def _train(self, bar: ProgressBar, begun: float) -> float:
        """One pass, or the rest of one; returns the learning rate of the last step."""
        rate = self.trainer.optimizer.learning_rate
        try:
            with InterruptBetweenSteps() as interrupt:
                for batch in self.training.batches() if self._rest is None else self._rest:
                    rate = self.trainer.optimizer.learning_rate
                    self._step(*batch)
                    self._seconds = time.perf_counter() - begun
                    bar.advance(self._number, self._meter)
                    interrupt.check()
        except KeyboardInterrupt:
            self._save()
            raise
        bar.show(self._number, self._meter)
        return rate

    def _step(self, x: Any, y: Any, weights: Any = None) -> None:
        trainer = self.trainer
        if len(x) == 0:  # none of its files can be read, but it has its place in the epoch
            self._done += 1
            return
        try:
            loss, outputs = trainer.update(x, y, self.accumulate, weights)
        except DivergedError as error:
            place = f"epoch {self._number}, step {self._done + 1}"
            raise DivergedError(f"Trainer.fit: {place}: {error}") from None
        self._done += 1
        self._meter.add(loss, outputs, y)
        for callback in self.callbacks:
            callback.step(trainer, loss)
        every = None if self.checkpoint is None else self.checkpoint.every
        if every is not None and trainer.optimizer.steps % every == 0:
            self._save()

    def _save(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save(self.state_dict(), self.trainer.optimizer.steps)

    def state_dict(self) -> dict[str, Any]:
        """All that a training needs to go on from here."""
        return {
            "trainer": self.trainer.state_dict(),
            "data": self._data(),
            "callbacks": [{"kind": type(each).__name__, "state": each.state_dict()} for each in self.callbacks],
            "epoch": self._number,
            "batches": self._done,
            "seconds": self._seconds,
            "meter": self._meter.state_dict(),
            "order": self._order,
            "validation": None if self.validating is None else self.validating.rng.bit_generator.state,
        }

    def _data(self) -> dict[str, Any]:
        """What must be the same for batches to be the same."""
        data = self.training
        settings = {name: getattr(data, name, None) for name in ("images", "batch_size", "shuffle")}
        arrays = {"targets": _digest(getattr(data, "y", None)), "weights": _digest(getattr(data, "weights", None))}
        return {**settings, **arrays, "accumulate": self.accumulate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Raises
        ------
        SettingError
            If the data or the callbacks are others.
        WeightsError
            If the model or the optimizer is another.
        """
        try:
            self._expect_data(state["data"])
            kept = self._callbacks_of(state["callbacks"])
            self.trainer.load_state_dict(state["trainer"])
            for callback, its in kept:
                callback.load_state_dict(its)
            self.training.rng.bit_generator.state = self._order = state["order"]
            if self.validating is not None and state["validation"] is not None:  # a loader may shuffle
                self.validating.rng.bit_generator.state = state["validation"]
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SettingError | WeightsError):
                raise
            raise WeightsError(f"Trainer.fit resume: expected the state of a training, got {error!r}") from error
        self._number, self._done, self._seconds = state["epoch"], state["batches"], state["seconds"]
        self._meter.load_state_dict(state["meter"])
        if self._done:
            self._rest = self.training.batches(self._done)
            self.trainer.load_generators(state["trainer"])  # which may be the same, and has just been drawn from

    def _expect_data(self, kept: dict[str, Any]) -> None:
        for name, value in self._data().items():
            if value != kept[name]:
                expected = f"the data of the checkpoint, with {name} {kept[name]}"
                raise SettingError(f"Trainer.fit resume: expected {expected}, got {value}")

    def _callbacks_of(self, kept: list[dict[str, Any]]) -> list[tuple[Callback, dict[str, Any]]]:
        """Who goes on from which state: each state finds its callback, others begin anew."""
        here, found = iter(self.callbacks), []
        for entry in kept:
            if entry["state"]:
                callback = next((each for each in here if type(each).__name__ == entry["kind"]), None)
                if callback is None:
                    expected = f"the callbacks of the checkpoint, with {entry['kind']}"
                    got = [type(each).__name__ for each in self.callbacks]
                    raise SettingError(f"Trainer.fit resume: expected {expected}, got {got}")
                found.append((callback, entry["state"]))
        return found


def _digest(array: np.ndarray | None) -> str | None:
    """What tells targets from others of the same shape."""
    return None if array is None else hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest()
