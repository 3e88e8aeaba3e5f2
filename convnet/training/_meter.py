"""Loss and accuracy so far."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convnet import metrics
from convnet.data._labels import are_classes

__all__ = ["Meter"]


class Meter:
    """Means over all images of the batches added.

    Parameters
    ----------
    classifies : bool or None
        Whether targets are classes, so that an accuracy has a meaning; None lets the first batch tell.
    """

    def __init__(self, classifies: bool | None) -> None:
        self.images = 0
        self._classifies = classifies
        self._loss_sum = 0.0
        self._correct = 0

    def add(self, loss: float, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count a batch with its mean ``loss``."""
        self.images += len(outputs)
        self._loss_sum += loss * len(outputs)
        if self._classifies is None:
            self._classifies = are_classes(np.asarray(targets))
        if self._classifies:
            self._correct += metrics.correct(outputs, targets)

    @property
    def loss(self) -> float:
        """Mean loss of an image."""
        return self._loss_sum / max(self.images, 1)

    @property
    def accuracy(self) -> float | None:
        """Fraction of the images told right; None where targets are no classes."""
        return self._correct / max(self.images, 1) if self._classifies else None

    def state_dict(self) -> dict[str, Any]:
        """The sums, to go on from."""
        sums = {"images": self.images, "loss_sum": self._loss_sum, "correct": self._correct}
        return {**sums, "classifies": self._classifies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from sums that `state_dict` returned."""
        self.images, self._loss_sum, self._correct = state["images"], state["loss_sum"], state["correct"]
        self._classifies = state["classifies"]
