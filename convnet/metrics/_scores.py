"""Precision, recall and F1: of each class, and their averages."""

import math
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np

from convnet.errors import SettingError
from convnet.metrics._classes import confusion_matrix

__all__ = ["Average", "averaged", "check_settings", "f1", "f1_of", "precision", "precision_of", "recall", "recall_of"]

Average: TypeAlias = Literal["macro", "weighted"] | None


def precision(
    outputs: np.ndarray, targets: np.ndarray, average: Average = "macro", zero_division: float = 0.0
) -> float | np.ndarray:
    """How much of what was taken for a class is of this class: ``tp / (tp + fp)``.

    Parameters
    ----------
    outputs, targets : ndarray
        As in `correct`.
    average : {"macro", "weighted", None}
        The mean over the classes that occur in the targets or were told of an output: each counts the same, or as often
        as it occurs in the targets. None gives one number a class. (The average over images is `accuracy`.)
    zero_division : float
        What 0 / 0 is, here that of a class never told; NaN keeps it out of the averages.

    Returns
    -------
    float, or ndarray of shape (classes,) with ``average=None``
        From 0 to 1. NaN where there is nothing to average.

    Raises
    ------
    ShapeError, DTypeError, DataError, SettingError

    Examples
    --------
    >>> outputs, targets = np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])
    >>> precision(outputs, targets, average=None)
    array([1.        , 0.66666667])
    >>> round(precision(outputs, targets), 4)
    0.8333
    """
    check_settings(average, zero_division, "precision")
    matrix = confusion_matrix(outputs, targets)
    return averaged(precision_of(matrix, zero_division), matrix, average)


def recall(
    outputs: np.ndarray, targets: np.ndarray, average: Average = "macro", zero_division: float = 0.0
) -> float | np.ndarray:
    """How much of a class was taken for it: ``tp / (tp + fn)``.

    Parameters and result are those of `precision`; 0 / 0 is that of a class that the targets do not have.

    Examples
    --------
    >>> recall(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), average=None)
    array([0.5, 1. ])
    """
    check_settings(average, zero_division, "recall")
    matrix = confusion_matrix(outputs, targets)
    return averaged(recall_of(matrix, zero_division), matrix, average)


def f1(
    outputs: np.ndarray, targets: np.ndarray, average: Average = "macro", zero_division: float = 0.0
) -> float | np.ndarray:
    """Harmonic mean of precision and recall: ``2 tp / (2 tp + fp + fn)``.

    Parameters and result are those of `precision`; 0 / 0 is that of a class that neither outputs nor targets have.

    Examples
    --------
    >>> f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), average=None).round(4)
    array([0.6667, 0.8   ])
    """
    check_settings(average, zero_division, "f1")
    matrix = confusion_matrix(outputs, targets)
    return averaged(f1_of(matrix, zero_division), matrix, average)


def precision_of(matrix: np.ndarray, zero_division: float) -> np.ndarray:
    """Of each class of a confusion matrix."""
    return _ratio(matrix.diagonal(), matrix.sum(axis=0), zero_division)


def recall_of(matrix: np.ndarray, zero_division: float) -> np.ndarray:
    """Of each class of a confusion matrix."""
    return _ratio(matrix.diagonal(), matrix.sum(axis=1), zero_division)


def f1_of(matrix: np.ndarray, zero_division: float) -> np.ndarray:
    """Of each class of a confusion matrix."""
    return _ratio(2 * matrix.diagonal(), matrix.sum(axis=0) + matrix.sum(axis=1), zero_division)


def averaged(scores: np.ndarray, matrix: np.ndarray, average: Average) -> float | np.ndarray:
    """Average the scores of the classes of a confusion matrix; with None give them as they are."""
    if average is None:
        return scores
    support = matrix.sum(axis=1)
    weights = support if average == "weighted" else (support + matrix.sum(axis=0)) > 0
    weights = np.where(np.isnan(scores), 0, weights)
    total = weights.sum()
    return float(np.sum(np.where(weights > 0, scores, 0) * weights) / total) if total else math.nan


def check_settings(average: Average, zero_division: float, who: str) -> None:
    """Refuse settings that the scores do not know."""
    if average not in ("macro", "weighted", None):
        raise SettingError(f"{who} average: expected 'macro', 'weighted' or None, got {average!r}")
    if not isinstance(zero_division, Real):
        raise SettingError(f"{who} zero_division: expected a number, got {zero_division!r}")


def _ratio(part: np.ndarray, whole: np.ndarray, zero_division: float) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(len(whole), float(zero_division)), where=whole > 0)
    return ratio
