"""Metrics that are updated batch by batch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from convnet.errors import SettingError, ShapeError
from convnet.metrics._classes import confusion_matrix, correct, correct_in_top
from convnet.metrics._scores import Average, averaged, check_settings, f1_of, precision_of, recall_of
from convnet.settings import integer

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "Metric", "Precision", "Recall", "TopK"]


class Metric(ABC):
    """A number about outputs and targets that comes in batches; the sizes of the batches do not change it.

    Attributes
    ----------
    name : str
        What to call it in a table; a Python identifier.
    smaller_is_better : bool
        False unless a metric of your own says otherwise: it tells early stopping and checkpoints which epoch is best.

    Examples
    --------
    >>> metric = Accuracy()
    >>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> metric.update(np.array([[0.3, 0.7]]), np.array([1]))
    >>> metric.name, round(metric.value, 4)
    ('accuracy', 0.6667)
    """

    name: str
    smaller_is_better = False

    @abstractmethod
    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count a batch, as described in `correct`.

        Raises
        ------
        ShapeError, DTypeError, DataError, SettingError
            If outputs and targets do not fit each other or the metric; the batch is then not counted.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget all batches."""

    @property
    @abstractmethod
    def value(self) -> float | np.ndarray:
        """The metric of all batches so far; NaN where there was none."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"


class _Fraction(Metric):
    """How many of all outputs are right."""

    def __init__(self) -> None:
        self.reset()

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count a batch."""
        self._right += self._correct(outputs, targets)
        self._all += len(outputs)

    def reset(self) -> None:
        """Forget all batches."""
        self._right = self._all = 0

    @property
    def value(self) -> float:
        """The fraction, from 0 to 1; NaN before the first output."""
        return self._right / self._all if self._all else math.nan

    @abstractmethod
    def _correct(self, outputs: np.ndarray, targets: np.ndarray) -> int: ...


class Accuracy(_Fraction):
    """Fraction of the outputs whose largest score is at the target's class; see `accuracy`."""

    name = "accuracy"

    def _correct(self, outputs: np.ndarray, targets: np.ndarray) -> int:
        return correct(outputs, targets)


class TopK(_Fraction):
    """Fraction of the outputs with the target's class among the ``k`` largest scores; see `top_k_accuracy`.

    Examples
    --------
    >>> TopK(5).name
    'top_5_accuracy'
    """

    def __init__(self, k: int = 5) -> None:
        self.k = integer(k, "TopK k")
        self.name = f"top_{self.k}_accuracy"
        super().__init__()

    def _correct(self, outputs: np.ndarray, targets: np.ndarray) -> int:
        return correct_in_top(outputs, targets, self.k)


class ConfusionMatrix(Metric):
    """Counts (classes, classes) of what was taken for what; see `confusion_matrix`.

    Parameters
    ----------
    classes : int, optional
        How many there are; by default what the first batch of scores has.
    """

    name = "confusion_matrix"

    def __init__(self, classes: int | None = None) -> None:
        self.classes = None if classes is None else integer(classes, "ConfusionMatrix classes")
        self._matrix: np.ndarray | None = None

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count a batch."""
        if np.ndim(outputs) == 1 and self.classes is None:
            expected = "outputs of shape (n, classes), or a number of classes given before"
            raise ShapeError(f"ConfusionMatrix: expected {expected}, got class indices of shape {np.shape(outputs)}")
        matrix = confusion_matrix(outputs, targets, self.classes)
        if self._matrix is not None and matrix.shape != self._matrix.shape:
            expected = f"(n, {len(self._matrix)}) as before"
            raise ShapeError(f"ConfusionMatrix: expected outputs of shape {expected}, got {np.shape(outputs)}")
        self._matrix = matrix if self._matrix is None else self._matrix + matrix

    def reset(self) -> None:
        """Forget all batches."""
        self._matrix = None

    @property
    def value(self) -> np.ndarray:
        """The counts; before the first batch of shape (0, 0), unless ``classes`` were given."""
        return np.zeros((self.classes or 0,) * 2, np.int64) if self._matrix is None else self._matrix


class _ClassScore(Metric):
    """A score of each class, averaged, or that of one class."""

    _score: str
    _of: Callable[[np.ndarray, float], np.ndarray]

    def __init__(self, average: Average = "macro", *, label: int | None = None, zero_division: float = 0.0) -> None:
        who = type(self).__name__
        check_settings(average, zero_division, who)
        self.average, self.zero_division = average, zero_division
        self.label = None if label is None else integer(label, f"{who} label", least=0)
        self.name = self._name()
        self._counts = ConfusionMatrix()

    def _name(self) -> str:
        if self.label is not None:
            return f"{self._score}_{self.label}"
        return f"weighted_{self._score}" if self.average == "weighted" else self._score

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Count a batch."""
        who, shape = type(self).__name__, np.shape(outputs)
        if len(shape) != 2:
            raise ShapeError(f"{who}: expected outputs of shape (n, classes), got {shape}")
        if self.label is not None and self.label >= shape[1]:
            raise SettingError(f"{who} label: expected one of the {shape[1]} classes, got {self.label}")
        self._counts.update(outputs, targets)

    def reset(self) -> None:
        """Forget all batches."""
        self._counts.reset()

    @property
    def value(self) -> float | np.ndarray:
        """The average, the score of ``label``, or with ``average=None`` those of all classes."""
        matrix = self._counts.value
        scores = type(self)._of(matrix, self.zero_division)
        if self.label is not None:
            return float(scores[self.label]) if len(scores) else math.nan
        return averaged(scores, matrix, self.average)


class Precision(_ClassScore):
    """How much of what was taken for a class is of this class; see `precision`.

    Parameters
    ----------
    average : {"macro", "weighted", None}
        As in `precision`.
    label : int, optional
        The class whose score alone is wanted, as that of the rare one of two; there is then no average.
    zero_division : float
        As in `precision`.

    Examples
    --------
    >>> Precision().name, Precision("weighted").name, Precision(label=1).name
    ('precision', 'weighted_precision', 'precision_1')
    """

    _score, _of = "precision", staticmethod(precision_of)


class Recall(_ClassScore):
    """How much of a class was taken for it; see `recall`. Parameters are those of `Precision`."""

    _score, _of = "recall", staticmethod(recall_of)


class F1(_ClassScore):
    """Harmonic mean of precision and recall; see `f1`. Parameters are those of `Precision`."""

    _score, _of = "f1", staticmethod(f1_of)
