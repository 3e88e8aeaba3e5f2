"""Labels: as one-hot rows, split alike, counted."""

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.settings import Seed, generator, real

__all__ = ["are_classes", "class_weights", "one_hot", "stratified_split"]


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
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DTypeError(f"one_hot: expected dtype float32 or float64, got {np.dtype(dtype)}")
    indices, count = _checked(labels, classes, "one_hot")
    rows = np.zeros((indices.size, count), dtype)
    rows[np.arange(indices.size), indices] = 1
    return rows


def are_classes(y: NDArray[Any]) -> bool:
    """Whether targets are class indices (n,) or probabilities (n, classes), and not numbers to be hit."""
    if y.ndim == 1:
        return True
    return y.ndim == 2 and y.shape[1] > 1 and bool(np.all(y >= 0) and np.allclose(y.sum(axis=1), 1))


def class_weights(labels: ArrayLike, classes: SupportsIndex) -> NDArray[np.float64]:
    """Return weights that let each class count as much as any other, however rare it is.

    ``weights[c] = n / (classes * count of c)``: their mean over all labels is 1.

    Parameters
    ----------
    labels : (n,), any integer type
        Class indices, each in ``0 .. classes - 1``.
    classes : int
        Number of classes, at least 1.

    Returns
    -------
    weights : (classes,), float64
        For ``SoftmaxCrossEntropy(class_weights=...)``.

    Raises
    ------
    ShapeError, DTypeError, SettingError
        As in `one_hot`.
    DataError
        If a label is out of range, or there is none of a class; the text names the first.

    Examples
    --------
    >>> class_weights([0, 0, 0, 1], classes=2)
    array([0.66666667, 2.        ])
    """
    indices, count = _checked(labels, classes, "class_weights")
    counts = np.bincount(indices, minlength=count)
    absent = np.flatnonzero(counts == 0)
    if absent.size:
        raise DataError(f"class_weights: expected a label of each of {count} classes, got none of class {absent[0]}")
    weights: NDArray[np.float64] = indices.size / (count * counts)
    return weights


def stratified_split(labels: ArrayLike, fraction: float, rng: Seed = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a data set at random so that both parts hold the same fraction of each class.

    Parameters
    ----------
    labels : (n,), any type that has an order
        The class of each image.
    fraction : float
        How much of each class goes to the second part, above 0 and below 1. It is rounded to whole images, but of two
        or more at least one goes to either part; a single one goes to the first.
    rng : int or numpy.random.Generator, optional
        The same seed gives the same parts; None draws a new one.

    Returns
    -------
    first, second : (m,) and (n - m,), int64
        Indices, in ascending order: for training and for validation, say.

    Raises
    ------
    ShapeError
        If ``labels`` is not one-dimensional.
    SettingError
        If ``fraction`` is out of range, or ``rng`` none of these.
    DataError
        If there is no class of two or more images.

    See Also
    --------
    ImageFolder.subset : takes such indices.

    Examples
    --------
    >>> from convnet.data import digits
    >>> (x, y), _ = digits()
    >>> train, validation = stratified_split(y, 0.1)
    >>> x[train].shape, np.bincount(y[validation])
    ((3600, 1, 28, 28), array([40, 40, 40, 40, 40, 40, 40, 40, 40, 40]))
    """
    classes = np.asarray(labels)
    if classes.ndim != 1:
        raise ShapeError(f"stratified_split: expected labels of shape (n,), got {classes.shape}")
    if real(fraction, "stratified_split fraction", below=1) == 0:
        raise SettingError(f"stratified_split fraction: expected a number above 0, got {fraction!r}")
    order = generator(rng, "stratified_split").permutation(classes.size)
    order = order[np.argsort(classes[order], kind="stable")]  # class after class, each in random order
    _, first, counts = np.unique(classes[order], return_index=True, return_counts=True)
    if np.all(counts < 2):
        raise DataError(f"stratified_split: expected a class of two or more images, got {classes.size} labels")
    wanted = np.clip(np.rint(fraction * counts).astype(int), 1, counts - 1)
    second = np.arange(classes.size) - np.repeat(first, counts) < np.repeat(wanted, counts)
    return np.sort(order[~second]), np.sort(order[second])


def _checked(labels: ArrayLike, classes: SupportsIndex, who: str) -> tuple[NDArray[np.integer[Any]], int]:
    """Class indices (n,), all of them right, and how many classes there are."""
    indices = np.asarray(labels)
    if indices.ndim != 1:
        raise ShapeError(f"{who}: expected labels of shape (n,), got {indices.shape}")
    if not np.issubdtype(indices.dtype, np.integer):
        raise DTypeError(f"{who}: expected labels of an integer type, got {indices.dtype}")
    count = _class_count(classes, who)
    outside = np.flatnonzero((indices < 0) | (indices >= count))
    if outside.size:
        first = outside[0]
        raise DataError(f"{who}: expected labels in 0..{count - 1}, got {indices[first]} at index {first}")
    return indices, count


def _class_count(classes: SupportsIndex, who: str) -> int:
    try:
        count = operator.index(classes)
    except TypeError:
        raise SettingError(f"{who}: expected classes to be an integer, got {classes!r}") from None
    if count < 1:
        raise SettingError(f"{who}: expected classes to be at least 1, got {count}")
    return count
