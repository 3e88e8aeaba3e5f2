"""How good outputs are, in numbers people read."""

import numpy as np

from convnet.errors import DTypeError, ShapeError

__all__ = ["accuracy", "correct"]


def correct(outputs: np.ndarray, targets: np.ndarray) -> int:
    """Count the outputs whose largest score is at the target's class.

    Parameters
    ----------
    outputs : ndarray of shape (n, classes), any real dtype
        Scores: logits or probabilities. Of equal scores the first counts.
    targets : ndarray
        Class indices (n,) of any integer dtype, or probabilities (n, classes), whose largest is the class.

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
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim != 2:
        raise ShapeError(f"accuracy: expected outputs of shape (n, classes), got {outputs.shape}")
    if targets.shape == outputs.shape:
        targets = targets.argmax(axis=1)
    elif targets.shape != outputs.shape[:1]:
        expected = f"{outputs.shape[:1]} or {outputs.shape}"
        raise ShapeError(f"accuracy: expected targets of shape {expected}, got {targets.shape}")
    elif targets.dtype.kind not in "iu":
        raise DTypeError(f"accuracy: expected class indices of an integer dtype, got {targets.dtype}")
    return int(np.count_nonzero(outputs.argmax(axis=1) == targets))


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
    if len(outputs) == 0:
        raise ShapeError(f"accuracy: expected at least one output, got shape {np.shape(outputs)}")
    return count / len(outputs)
