"""What is trained, a step on it, and all that a training changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convnet.data import as_floats
from convnet.errors import SettingError, WeightsError
from convnet.inference import fuse
from convnet.layers import Layer
from convnet.losses import Loss, weighted_loss
from convnet.metrics import Metric
from convnet.optim import Optimizer
from convnet.settings import integer
from convnet.training._average import WeightAverage
from convnet.training._batches import Batches
from convnet.training._gradients import add_gradients
from convnet.training._history import History
from convnet.training._meter import Meter

__all__ = ["Engine"]


class Engine:
    """What `Trainer` adds data and epochs to: see there."""

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        average: WeightAverage | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None:
        for name, value, kind, expected in (
            ("model", model, Layer, "a Layer"),
            ("loss", loss, Loss, "a Loss"),
            ("optimizer", optimizer, Optimizer, "an Optimizer"),
            ("average", average, WeightAverage | None, "a WeightAverage or None"),
        ):
            if not isinstance(value, kind):
                raise SettingError(f"Trainer {name}: expected {expected}, got {value!r}")
        if average is not None and average.source is not model:
            raise SettingError("Trainer average: expected an average of the model given, got one of another")
        self.model, self.loss, self.optimizer, self.average = model, loss, optimizer, average
        for metric in metrics:
            if not isinstance(metric, Metric):
                raise SettingError(f"Trainer metrics: expected objects such as TopK(5), got {metric!r}")
            if np.ndim(metric.value) > 0:
                raise SettingError(f"Trainer metrics: expected numbers as values, got those of {metric.name}")
        names = [metric.name for metric in metrics]
        if len({"loss", "accuracy", *names}) < 2 + len(names):
            raise SettingError(f"Trainer metrics: expected different names beside loss and accuracy, got {names}")
        self.metrics = tuple(metrics)
        self._smaller = [f"val_{metric.name}" for metric in metrics if metric.smaller_is_better]
        self.history = History()
        self.measured = model if average is None else average.model
        self.figures: list[str] = []
        self.stopped = False
        self._parameters = model.parameters()
        self._fused = fuse(model)
        self._fused_measured = self._fused if average is None else fuse(average.model)
        self._dtype = self._parameters[0].dtype if self._parameters else np.dtype(np.float32)

    def step(self, x: ArrayLike, y: ArrayLike, accumulate: int = 1, weights: ArrayLike | None = None) -> float:
        """Train on one batch: forward, loss, backward, update.

        Parameters
        ----------
        x : array of shape (n, c, h, w), uint8 or the dtype of the model
            Images.
        y : array of shape (n,) or that of the outputs
            Targets.
        accumulate : int
            Parts that the batch is computed in, one after another, which needs less memory; the gradients are added up
            before the one update.
        weights : array of shape (n,), optional
            How much each image counts, see `convnet.losses.Loss`.

        Returns
        -------
        float
            The loss before the update, with those of auxiliary heads.

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If ``accumulate`` is wrong, or the arrays do not fit the model or the loss.
        DivergedError
            If the loss, or the norm of gradients to be clipped, is not finite; the weights then stay as they were,
            and running averages of batch normalisation took in finite numbers only.

        Notes
        -----
        The parts give the gradient of the whole but for what depends on a batch: a batch normalisation sees the
        statistics of a part, and class weights in the loss are normalised in each part.
        """
        parts = integer(accumulate, "Trainer.step accumulate")
        return self.update(np.asarray(x), np.asarray(y), parts, None if weights is None else np.asarray(weights))[0]

    def stop(self) -> None:
        """End the `fit` that runs, after the epoch that runs."""
        self.stopped = True

    def state_dict(self) -> dict[str, Any]:
        """All that a training changes, copied: weights, average, optimizer, random generators, history."""
        names = dict(self.model.named_parameters())
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(names),
            "generators": {name: rng.bit_generator.state for name, rng in self.model.named_generators()},
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, of a trainer made in the same way.

        Raises
        ------
        WeightsError
            If model, optimizer or average are others; nothing is changed then.
        """
        before = self.state_dict()
        try:
            self._load(state)
        except WeightsError:
            self._load(before)
            raise

    def _load(self, state: Mapping[str, Any]) -> None:
        if (self.average is None) != (state["average"] is None):
            kept, here = ("without" if a is None else "with" for a in (state["average"], self.average))
            raise WeightsError(f"Trainer: expected a trainer {kept} an average of the weights, got one {here}")
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"], dict(self.model.named_parameters()))
        self.load_generators(state)
        self.history = History.of(state["history"], self._smaller)

    def load_generators(self, state: Mapping[str, Any]) -> None:
        """Put the random generators of the model where they were."""
        generators = dict(self.model.named_generators())
        if list(generators) != list(state["generators"]):
            raise WeightsError(
                f"Trainer: expected a model with the random generators {list(state['generators'])}, "
                f"got {list(generators)}"
            )
        for name, generator in generators.items():
            generator.bit_generator.state = state["generators"][name]

    def update(
        self, x: np.ndarray, y: np.ndarray, parts: int, weights: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """One step; returns the loss and the outputs from before the update."""
        loss, outputs = add_gradients(self._fused, self.loss, x, y, self._dtype, parts, weights)
        self.optimizer.step(self._parameters)
        if self.average is not None:
            self.average.update()
        return loss, outputs

    def _figures_of(self, training: Batches, validating: Batches | None) -> list[str]:
        """What an epoch will tell, an accuracy also where only the batches will show whether there is one."""
        names = ["loss"] if training.classifies is False else ["loss", "accuracy"]
        if validating is not None:
            names += ["val_loss"] if validating.classifies is False else ["val_loss", "val_accuracy"]
            names += [f"val_{metric.name}" for metric in self.metrics]
        return names

    def measure(self, batches: Batches) -> tuple[Meter, dict[str, float]]:
        """Loss and accuracy, and the metrics by name."""
        meter = Meter(batches.classifies)
        for metric in self.metrics:
            metric.reset()
        for x, y, *weights in batches:
            outputs = self._fused_measured(as_floats(x, self._dtype))
            meter.add(weighted_loss(self.loss, outputs, y, None, *weights or (None,)), outputs, y)
            for metric in self.metrics:
                metric.update(outputs, y)
        return meter, {metric.name: float(metric.value) for metric in self.metrics}
