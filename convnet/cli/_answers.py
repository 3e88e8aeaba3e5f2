"""What a model says about images whose classes are known."""

import heapq
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convnet.cli._data import Images
from convnet.data import DataLoader, ImageFolder
from convnet.functional import softmax
from convnet.losses import SoftmaxCrossEntropy
from convnet.metrics import ClassificationReport, ConfusionMatrix, TopK

__all__ = ["Answers", "Mistake", "answers"]


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for something else, and how surely."""

    image: np.ndarray
    name: str
    true: str
    told: str
    probability: float
    """Of what it was taken for."""


@dataclass(frozen=True)
class Answers:
    """Figures of all images, and the worst mistakes, those that were made most surely first."""

    loss: float
    images: int
    matrix: np.ndarray
    table: ClassificationReport
    top_5: float | None
    """Fraction with the right class among the five first; None where there are not more than five."""
    mistakes: Sequence[Mistake]

    @property
    def accuracy(self) -> float:
        """Fraction told right."""
        return self.table.accuracy

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        top_5 = {} if self.top_5 is None else {"top_5_accuracy": self.top_5}
        figures = {"loss": self.loss, "accuracy": self.accuracy, "images": self.images, **top_5}
        return {**figures, **self.table.as_dict(), "confusion_matrix": self.matrix.tolist()}


def answers(
    predict: Callable[[np.ndarray], np.ndarray],
    images: Images,
    classes: Sequence[str],
    batch_size: int = 256,
    workers: int = 1,
    worst: int = 24,
) -> Answers:
    """Ask about all images, a batch at a time.

    Parameters
    ----------
    predict : function
        From uint8 images (n, c, h, w) to logits (n, classes).
    images : pair (x, y) or ImageFolder
    classes : sequence of str
    batch_size, workers : int
        As of a `DataLoader`.
    worst : int
        Mistakes to keep.
    """
    x_all, y_all = (images, None) if isinstance(images, ImageFolder) else images
    matrix, top, loss = ConfusionMatrix(len(classes)), TopK(5) if len(classes) > 5 else None, 0.0
    cross_entropy, kept = SoftmaxCrossEntropy(), _Worst(worst)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # broken files have been told when the folder was read first
        for x, y in DataLoader(x_all, y_all, batch_size, shuffle=False, workers=workers):
            logits = predict(x)
            loss += cross_entropy.forward(logits, y) * len(y)
            matrix.update(logits, y)
            if top is not None:
                top.update(logits, y)
            kept.add(x, y, softmax(logits))
    names = _names(images)
    told = [
        Mistake(image, names[at] if names else f"number {at}", classes[true], classes[answer], probability)
        for probability, at, image, true, answer in kept.found()
    ]
    return Answers(
        loss=loss / kept.seen,
        images=kept.seen,
        matrix=matrix.value,
        table=ClassificationReport(matrix.value, classes),
        top_5=None if top is None else top.value,
        mistakes=told,
    )


def _names(images: Images) -> list[str]:
    if not isinstance(images, ImageFolder):
        return []
    return [str(file.relative_to(images.folder)) for file in images.files if file not in images.broken]


class _Worst:
    """The mistakes made most surely, of batches that come in order."""

    def __init__(self, most: int) -> None:
        self.seen = 0
        self._most = most
        self._heap: list[tuple[float, int, Any, int, int]] = []

    def add(self, x: np.ndarray, y: np.ndarray, probabilities: np.ndarray) -> None:
        """Look at a batch."""
        told = probabilities.argmax(axis=1)
        for i in np.flatnonzero(told != y):
            entry = (float(probabilities[i, told[i]]), -(self.seen + int(i)), x[i].copy(), int(y[i]), int(told[i]))
            if len(self._heap) < self._most:
                heapq.heappush(self._heap, entry)  # no two have the same number: arrays are never compared
            else:
                heapq.heappushpop(self._heap, entry)
        self.seen += len(y)

    def found(self) -> list[tuple[float, int, np.ndarray, int, int]]:
        """The worst first, each with its number."""
        return [(p, -at, image, true, told) for p, at, image, true, told in sorted(self._heap, reverse=True)]
