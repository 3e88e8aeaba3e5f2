"""Arrays for a model, checked once before any work."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convnet.errors import DataError, DTypeError, ShapeError
from convnet.layers import Layer

__all__ = ["Data", "as_floats", "checked_data", "checked_images"]

Data: TypeAlias = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None]
"""Images, targets, and weights of the images."""


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


def checked_data(
    who: str, data: Data, model: Layer, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return (x, y, weights) as arrays that fit ``model`` and each other; weights that are not there are None.

    Raises
    ------
    ShapeError, DTypeError, DataError
        If they do not.
    """
    try:
        x, y, *weights = data
        (each,) = weights or (None,)
    except (TypeError, ValueError):
        raise ShapeError(f"{who}: expected a pair of arrays (x, y), got {type(data).__name__}") from None
    images, targets = checked_images(who, x, model, dtype), _array(who, y)
    if len(images) == 0:
        raise DataError(f"{who}: expected at least one image, got x of shape {images.shape}")
    if targets.shape[:1] != images.shape[:1]:
        raise ShapeError(f"{who}: expected {len(images)} targets, one an image, got y of shape {targets.shape}")
    _check_targets(who, targets, model.output_shape(images.shape[1:]))
    return images, targets, None if each is None else _checked_weights(who, each, len(images))


def _checked_weights(who: str, weights: ArrayLike, images: int) -> np.ndarray:
    array = _array(who, weights)
    if array.shape != (images,):
        raise ShapeError(f"{who}: expected {images} weights, one an image, got an array of shape {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0))) if array.dtype.kind in "fiu" else [0]
    if len(bad):
        raise DataError(
            f"{who}: expected weights that are finite numbers of at least 0, got {array[bad[0]]} at position {bad[0]}"
        )
    return array


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
