"""Arrays as batches, checked once before any work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convnet.errors import DataError, DTypeError, ShapeError
from convnet.layers import Layer

__all__ = ["Augment", "Batches", "Data", "as_floats", "checked_data", "checked_images"]

Data: TypeAlias = tuple[ArrayLike, ArrayLike]
Augment: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class Batches:
    """Images and targets of each batch, ready for a model; every iteration is one pass, the last batch may be smaller.

    Attributes
    ----------
    x : ndarray of shape (n, ...), uint8 or ``dtype``
    y : ndarray of shape (n,) or (n, ...)
    size : int
        Images a batch.
    dtype : dtype
        What the model computes in.
    shuffle : bool
        Whether each pass takes a new random order.
    augment : callable, optional
        ``augment(x, rng)`` returns a changed copy of a batch of images.
    rng : numpy.random.Generator
    """

    x: np.ndarray
    y: np.ndarray
    size: int
    dtype: np.dtype[Any]
    shuffle: bool = False
    augment: Augment | None = None
    rng: np.random.Generator | None = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.rng)
        order = rng.permutation(len(self.x)) if self.shuffle else None
        for start in range(0, len(self.x), self.size):
            part = slice(start, start + self.size) if order is None else order[start : start + self.size]
            x = self.x[part]
            if self.augment is not None:
                x = self.augment(x, rng)
            yield as_floats(x, self.dtype), self.y[part]


def as_floats(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Scale uint8 images to ``x / 255``, channels-last in memory; leave others as they are."""
    if x.dtype != np.uint8:
        return x
    if x.ndim == 4:
        n, c, h, w = x.shape
        out = np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)
    else:
        out = np.empty(x.shape, dtype)
    scaled: np.ndarray = np.divide(x, dtype.type(255), out=out)
    return scaled


def checked_images(who: str, x: ArrayLike, model: Layer, dtype: np.dtype[Any]) -> np.ndarray:
    """Return ``x`` as an array that ``model`` takes.

    Raises
    ------
    ShapeError, DTypeError
        If it does not.
    """
    images = _array(who, x)
    if images.dtype != np.uint8 and images.dtype != dtype:
        raise DTypeError(f"{who}: expected x of dtype uint8, which is scaled to 0-1, or {dtype}, got {images.dtype}")
    if images.ndim < 2:
        raise ShapeError(f"{who}: expected x of shape (n, ...), one row an image, got {images.shape}")
    try:
        model.output_shape(images.shape[1:])
    except ShapeError as error:
        raise ShapeError(f"{who}: expected x that fits the model, got shape {images.shape}: {error}") from error
    return images


def checked_data(who: str, data: Data, model: Layer, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pair (x, y) as arrays that fit ``model`` and each other.

    Raises
    ------
    ShapeError, DTypeError, DataError
        If they do not.
    """
    try:
        x, y = data
    except (TypeError, ValueError):
        raise ShapeError(f"{who}: expected a pair of arrays (x, y), got {type(data).__name__}") from None
    images, targets = checked_images(who, x, model, dtype), _array(who, y)
    if len(images) == 0:
        raise DataError(f"{who}: expected at least one image, got x of shape {images.shape}")
    if targets.shape[:1] != images.shape[:1]:
        raise ShapeError(f"{who}: expected {len(images)} targets, one an image, got y of shape {targets.shape}")
    _check_targets(who, targets, model.output_shape(images.shape[1:]))
    return images, targets


def _check_targets(who: str, targets: np.ndarray, output_shape: tuple[int, ...]) -> None:
    if targets.ndim == 1 and targets.dtype.kind in "iu" and len(output_shape) == 1:
        outside = np.flatnonzero((targets < 0) | (targets >= output_shape[0]))
        if outside.size:
            first = outside[0]
            raise DataError(
                f"{who}: expected labels in 0..{output_shape[0] - 1}, got {targets[first]} at position {first}"
            )
    elif targets.shape[1:] != output_shape:
        raise ShapeError(
            f"{who}: expected y to be integer class indices of shape (n,) or numbers of shape {('n', *output_shape)}, "
            f"got {targets.dtype} of shape {targets.shape}".replace("'n'", "n")
        )
    elif targets.dtype.kind != "f":
        raise DTypeError(f"{who}: expected y of shape {targets.shape} to be floats, got {targets.dtype}")


def _array(who: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise ShapeError(f"{who}: expected a pair of arrays (x, y), got nested sequences of unequal lengths") from None
