"""Arrays for a model, checked once before any work."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convnet.data.transforms import Transform
from convnet.errors import DataError, DTypeError, ShapeError
from convnet.layers import Layer

__all__ = ["Data", "check_batches", "checked_data", "checked_images", "checked_images_after"]

Data: TypeAlias = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None]
"""Images, targets, and weights of the images."""


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
    who: str, data: Data, model: Layer, dtype: np.dtype[Any], augment: Transform | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return (x, y, weights) as arrays that fit ``model``, x when it went through ``augment``, and each other.

    Weights that are not there are None.

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
    images, targets = _array(who, x), _array(who, y)
    changed = checked_images_after(augment, who, images, model, dtype)
    if len(images) == 0:
        raise DataError(f"{who}: expected at least one image, got x of shape {images.shape}")
    if targets.shape[:1] != images.shape[:1]:
        raise ShapeError(f"{who}: expected {len(images)} targets, one an image, got y of shape {targets.shape}")
    _check_targets(who, targets, model.output_shape(changed.shape[1:]))
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


def check_batches(who: str, images: np.ndarray, batch_size: int, model: Layer) -> None:
    """Raise a ShapeError if ``model`` cannot train on batches of so many images, or on the last one of an epoch.

    Larger batches train wherever smaller ones do.
    """
    smallest = len(images) % batch_size or min(batch_size, len(images))
    try:
        model.check_training(smallest, images.shape[1:])
    except ShapeError as error:
        raise ShapeError(
            f"{who}: expected batches that the model can train on, got {len(images)} images of shape "
            f"{images.shape[1:]} in batches of {batch_size}, the smallest of {smallest}: {error}"
        ) from error


def checked_images_after(
    augment: Transform | None, who: str, images: np.ndarray, model: Layer, dtype: np.dtype[Any]
) -> np.ndarray:
    """Images as the model gets them: where those stored do not fit, ``augment`` may make them fit."""
    try:
        return checked_images(who, images, model, dtype)
    except (ShapeError, DTypeError):
        if augment is None or images.ndim < 2 or len(images) == 0:
            raise
    first = augment(images[:1], np.random.default_rng(0))
    return checked_images(who, np.broadcast_to(first[0], (len(images), *first.shape[1:])), model, dtype)


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
        return values if isinstance(values, np.memmap) else np.asarray(values)
    except ValueError:
        raise ShapeError(f"{who}: expected a pair of arrays (x, y), got nested sequences of unequal lengths") from None
