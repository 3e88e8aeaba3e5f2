"""Labels: class indices to one-hot rows."""

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convnet.errors import DataError, DTypeError, SettingError, ShapeError


def one_hot(labels: ArrayLike, classes: SupportsIndex, dtype: DTypeLike = np.float32) -> NDArray[np.floating[Any]]:
    """Turn class indices into rows that are 1 at the class and 0 elsewhere.

    ``y[i, j] = 1 if j == labels[i] else 0``

    Parameters
    ----------
    labels : (n,), any integer type
        Class indices, each in ``0 .. classes - 1``.
    classes : int
        Number of classes, at least 1.
    dtype : float32 or float64
        Type of the result.

    Returns
    -------
    y : (n, classes), ``dtype``

    Raises
    ------
    ShapeError
        If ``labels`` is not one-dimensional.
    DTypeError
        If ``labels`` is not of an integer type, or ``dtype`` neither float32 nor float64.
    SettingError
        If ``classes`` is not an integer of at least 1.
    DataError
        If a label is out of range; the text names the first.

    Notes
    -----
    `SoftmaxCrossEntropy` takes class indices as they are; one-hot rows are for losses that compare with a whole
    distribution, such as `MeanSquaredError`.

    Examples
    --------
    >>> one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    indices = np.asarray(labels)
    if indices.ndim != 1:
        raise ShapeError(f"one_hot: expected labels of shape (n,), got {indices.shape}")
    if not np.issubdtype(indices.dtype, np.integer):
        raise DTypeError(f"one_hot: expected labels of an integer type, got {indices.dtype}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DTypeError(f"one_hot: expected dtype float32 or float64, got {np.dtype(dtype)}")
    count = _class_count(classes)
    outside = np.flatnonzero((indices < 0) | (indices >= count))
    if outside.size:
        first = outside[0]
        raise DataError(f"one_hot: expected labels in 0..{count - 1}, got {indices[first]} at index {first}")
    rows = np.zeros((indices.size, count), dtype)
    rows[np.arange(indices.size), indices] = 1
    return rows


def _class_count(classes: SupportsIndex) -> int:
    try:
        count = operator.index(classes)
    except TypeError:
        raise SettingError(f"one_hot: expected classes to be an integer, got {classes!r}") from None
    if count < 1:
        raise SettingError(f"one_hot: expected classes to be at least 1, got {count}")
    return count
