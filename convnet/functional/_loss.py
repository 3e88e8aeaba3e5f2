"""Softmax and cross-entropy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DataError, DTypeError, ShapeError
from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    empty,
    expect_shape,
    floats,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.kernels import activation
from convnet.kernels import elementwise as kernels


def _logits(logits: object, who: str) -> FloatArray:
    array = contiguous(floats(logits, who, "logits"))
    if array.ndim != 2:
        raise ShapeError(f"{who}: expected logits of shape (n, classes), got {array.shape}")
    return array


def softmax(logits: FloatArray) -> FloatArray:
    """Turn each row of logits, or the channels of each pixel, into probabilities that add up to 1.

    ``p[j] = exp(z[j]) / sum over i of exp(z[i])``.

    Parameters
    ----------
    logits : array of shape (n, classes) or (n, classes, h, w), float32 or float64

    Returns
    -------
    array of the shape of logits
        Computed with the largest logit subtracted, so that nothing overflows; maps are channels-last in memory.

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    z = _classes_last(floats(logits, "softmax", "logits"), "softmax", "logits")
    p = empty(z.shape, z.dtype)
    if z.size:
        _softmax_operation(z).run(z.reshape(-1), p.reshape(-1), len(z))
    return to_nchw(p) if p.ndim == 4 else p


def softmax_backward(dy: FloatArray, y: FloatArray) -> FloatArray:
    """Gradient of `softmax`: ``dx[j] = y[j] * (dy[j] - sum over i of dy[i] * y[i])``.

    Parameters
    ----------
    dy : array of y's shape
    y : array of shape (n, classes) or (n, classes, h, w), float32 or float64
        What `softmax` returned.

    Returns
    -------
    array of y's shape

    Raises
    ------
    ShapeError, DTypeError
    """
    who = "softmax_backward"
    y = floats(y, who, "y")
    dy = same_dtype(y, dy, who, "dy")
    expect_shape(dy, y.shape, who, "dy")
    p, gradient = _classes_last(y, who, "y"), _classes_last(dy, who, "dy")
    dx = empty(p.shape, p.dtype)
    if p.size:
        _softmax_operation(p).gradient(gradient.reshape(-1), p.reshape(-1), dx.reshape(-1), len(p))
    return to_nchw(dx) if dx.ndim == 4 else dx


def _classes_last(array: FloatArray, who: str, name: str) -> FloatArray:
    if array.ndim not in (2, 4):
        raise ShapeError(f"{who}: expected {name} of shape (n, classes) or (n, classes, h, w), got {array.shape}")
    return to_nhwc(array) if array.ndim == 4 else contiguous(array)


def _softmax_operation(z: FloatArray) -> activation.Softmax:
    """Of images whose classes come last."""
    return activation.Softmax(z.itemsize, z[0].size // z.shape[-1], z.shape[-1])


def _labels(targets: NDArray[Any], logits: FloatArray, who: str) -> NDArray[np.int64]:
    n, classes = logits.shape
    if targets.shape != (n,):
        raise ShapeError(f"{who}: expected targets of shape ({n},) or ({n}, {classes}), got {targets.shape}")
    if targets.dtype.kind not in "iu":
        raise DTypeError(f"{who}: expected targets of an integer dtype for shape ({n},), got {targets.dtype}")
    labels = np.ascontiguousarray(targets, np.int64)
    if n and labels.view(np.uint64).max() >= classes:  # one pass: as unsigned numbers, negative ones are huge
        wrong = np.flatnonzero((targets < 0) | (targets >= classes))
        raise DataError(
            f"{who}: expected labels from 0 to {classes - 1}, got {targets[wrong[0]]} at position {wrong[0]}"
        )
    return labels


def softmax_cross_entropy(logits: FloatArray, targets: NDArray[Any]) -> tuple[float, FloatArray]:
    """Mean cross-entropy of softmax(logits), and its gradient, in one pass.

    ``loss = -1/n * sum over n, j of target[n, j] * log(softmax(logits)[n, j])``; for targets that add up to 1 the
    gradient is ``(softmax(logits) - target) / n``.

    Parameters
    ----------
    logits : array of shape (n, classes), float32 or float64
    targets : integers of shape (n,), or probabilities of shape (n, classes) in the type of logits
        Class indices from 0 to classes - 1, or one row of weights for each row of logits.

    Returns
    -------
    loss : float
        0 for an empty batch.
    dlogits : array of shape (n, classes)

    Raises
    ------
    ShapeError, DTypeError
        If the arrays do not fit.
    DataError
        If a label is out of range; the text names the first such and its position.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.zeros((2, 4)), np.array([0, 3]))
    >>> round(loss, 4), dlogits[0]
    (1.3863, array([-0.375,  0.125,  0.125,  0.125]))
    """
    who = "softmax_cross_entropy"
    logits = _logits(logits, who)
    targets = np.asarray(targets)
    labels = probabilities = None
    if targets.ndim == 2:
        probabilities = contiguous(same_dtype(logits, targets, who, "targets"))
        expect_shape(probabilities, logits.shape, who, "targets")
    else:
        labels = _labels(targets, logits, who)
    dlogits = empty(logits.shape, logits.dtype)
    n = max(len(logits), 1)
    total = kernels.softmax_cross_entropy(logits, labels, probabilities, dlogits, 1 / n)
    return total / n, dlogits
