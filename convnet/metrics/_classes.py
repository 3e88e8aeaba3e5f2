"""Right and wrong classes, counted."""

import numpy as np

from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.settings import integer

__all__ = ["accuracy", "confusion_matrix", "correct", "correct_in_top", "top_k_accuracy"]


def correct(outputs: np.ndarray, targets: np.ndarray) -> int:
    """Count the outputs whose largest score is at the target's class.

    Parameters
    ----------
    outputs : ndarray
        Scores (n, classes) of any real dtype, logits or probabilities, of which the largest is the class and of equal
        ones the first; or class indices (n,) of any integer dtype or bool.
    targets : ndarray
        Class indices (n,) of any integer dtype, or probabilities of the shape of the scores, whose largest is the
        class.

    Returns
    -------
    int
        From 0 to n.

    Raises
    ------
    ShapeError, DTypeError
        If outputs and targets do not fit each other.

    Examples
    --------
    >>> correct(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    1
    """
    told, true = _indices(outputs, targets, "accuracy")
    return int(np.count_nonzero(told == true))


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Fraction of the outputs whose largest score is at the target's class, from 0 to 1.

    Parameters
    ----------
    outputs, targets : ndarray
        As in `correct`, with n at least 1.

    Raises
    ------
    ShapeError, DTypeError
        As in `correct`, and if n is 0.

    Examples
    --------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[0, 1], [1, 0]]))
    1.0
    """
    count = correct(outputs, targets)
    return count / _some(outputs, "accuracy")


def top_k_accuracy(outputs: np.ndarray, targets: np.ndarray, k: int = 5) -> float:
    """Fraction of the outputs in which fewer than ``k`` classes stand before the target's, from 0 to 1.

    Parameters
    ----------
    outputs : ndarray of shape (n, classes)
        Scores, with n at least 1. Of equal ones the first stands before the others; a row with NaN is never right.
    targets : ndarray
        As in `correct`.
    k : int
        At most the number of classes; with 1 this is `accuracy`.

    Raises
    ------
    ShapeError, DTypeError, DataError, SettingError

    Examples
    --------
    >>> scores = np.array([[0.1, 0.3, 0.6], [0.5, 0.3, 0.2]])
    >>> top_k_accuracy(scores, np.array([1, 2]), k=2)
    0.5
    """
    count = correct_in_top(outputs, targets, integer(k, "top_k_accuracy k"))
    return count / _some(outputs, "top_k_accuracy")


def correct_in_top(outputs: np.ndarray, targets: np.ndarray, k: int) -> int:
    """Count what `top_k_accuracy` is the fraction of."""
    who, scores = "top_k_accuracy", np.asarray(outputs)
    if scores.ndim != 2:
        raise ShapeError(f"{who}: expected outputs of shape (n, classes), got {scores.shape}")
    if k > scores.shape[1]:
        raise SettingError(f"{who} k: expected at most the number of classes, {scores.shape[1]}, got {k}")
    _, true = _indices(scores, targets, who)
    _check_range(true, scores.shape[1], who, "targets")
    own = scores[np.arange(len(scores)), true][:, None]
    earlier = np.arange(scores.shape[1]) < true[:, None]
    before = np.where(earlier, scores >= own, scores > own).sum(axis=1)
    return int(np.count_nonzero((before < k) & ~np.isnan(scores).any(axis=1)))


def confusion_matrix(outputs: np.ndarray, targets: np.ndarray, classes: int | None = None) -> np.ndarray:
    """Count for each class what was taken for what.

    Parameters
    ----------
    outputs, targets : ndarray
        As in `correct`.
    classes : int, optional
        How many there are. By default as many as scores have columns; for class indices one more than the largest.

    Returns
    -------
    ndarray of shape (classes, classes), int64
        ``matrix[i, j]``: how many images of class i were taken for class j. The diagonal is what was right.

    Raises
    ------
    ShapeError, DTypeError
        As in `correct`, and if scores have another number of columns.
    DataError
        If a class index is negative, or not less than the number of classes.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    who = "confusion_matrix"
    told, true = _indices(outputs, targets, who)
    count = _class_count(np.asarray(outputs), told, true, classes)
    _check_range(told, count, who, "outputs")
    _check_range(true, count, who, "targets")
    cells = true.astype(np.int64) * count + told.astype(np.int64)
    return np.bincount(cells, minlength=count * count).reshape(count, count)


def _indices(outputs: np.ndarray, targets: np.ndarray, who: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes that outputs tell, and those of the targets, both (n,)."""
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim != 2 and not (outputs.ndim == 1 and outputs.dtype.kind in "biu"):
        expected = "outputs of shape (n, classes) or class indices of shape (n,)"
        raise ShapeError(f"{who}: expected {expected}, got {outputs.dtype} of shape {outputs.shape}")
    told = outputs if outputs.ndim == 1 else outputs.argmax(axis=1)
    if targets.shape == outputs.shape and targets.ndim == 2:
        return told, targets.argmax(axis=1)
    if targets.shape != told.shape:
        expected = f"{told.shape}" + (f" or {outputs.shape}" if outputs.ndim == 2 else "")
        raise ShapeError(f"{who}: expected targets of shape {expected}, got {targets.shape}")
    if targets.dtype.kind not in "biu":
        raise DTypeError(f"{who}: expected class indices of an integer dtype, got {targets.dtype}")
    return told, targets


def _class_count(outputs: np.ndarray, told: np.ndarray, true: np.ndarray, classes: int | None) -> int:
    who = "confusion_matrix"
    given = None if classes is None else integer(classes, f"{who} classes")
    if outputs.ndim == 1:
        return given or max(int(told.max(initial=0)), int(true.max(initial=0))) + 1
    if given not in (None, outputs.shape[1]):
        raise ShapeError(f"{who}: expected outputs of shape (n, {given}), got {outputs.shape}")
    return int(outputs.shape[1])


def _check_range(labels: np.ndarray, classes: int, who: str, name: str) -> None:
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if bad.size:
        raise DataError(f"{who}: expected {name} in 0..{classes - 1}, got {labels[bad[0]]} at position {bad[0]}")


def _some(outputs: np.ndarray, who: str) -> int:
    """How many outputs there are, if any."""
    if len(outputs) == 0:
        raise ShapeError(f"{who}: expected at least one output, got shape {np.shape(outputs)}")
    return len(outputs)
