"""Checks of what enters a layer. The texts name who complains, what was expected and what came."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from convnet.errors import DTypeError, ShapeError

Shape = tuple[int, ...]


def float_dtype(dtype: npt.DTypeLike, who: str) -> np.dtype:
    """Return ``dtype`` as a NumPy dtype if it is float32 or float64."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DTypeError(f"{who}: expected dtype float32 or float64, got {np.dtype(dtype)}")
    return np.dtype(dtype)


def as_array(x: object) -> np.ndarray:
    """Return ``x`` as an array: itself, the memory of a DLPack producer, or what `numpy.asarray` makes of it."""
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def check_dtype(x: np.ndarray, who: str, dtype: np.dtype | None = None) -> None:
    """Demand ``dtype``, or float32 or float64 where it is None."""
    if x.dtype == dtype or (dtype is None and x.dtype in (np.float32, np.float64)):
        return
    expected = "float32 or float64" if dtype is None else str(dtype)
    advice = f"; scale images first: x.astype({dtype or 'float32'!s}) / 255" if x.dtype.kind in "iub" else ""
    raise DTypeError(f"{who}: expected x of dtype {expected}, got {x.dtype}{advice}")


def check_images(x: np.ndarray, who: str, channels: int | None = None, dtype: np.dtype | None = None) -> np.ndarray:
    """Return ``x`` as an array if it is a batch of images (n, c, h, w), with ``channels`` where given."""
    x = as_array(x)
    if x.ndim != 4 or channels not in (None, x.shape[1]):
        raise ShapeError(f"{who}: expected x of shape (n, {channels or 'c'}, h, w), got {x.shape}")
    check_dtype(x, who, dtype)
    return x


def check_features(x: np.ndarray, who: str, features: int, dtype: np.dtype) -> np.ndarray:
    """Return ``x`` as an array if it is a batch of rows (n, features)."""
    x = as_array(x)
    if x.ndim != 2 or x.shape[1] != features:
        advice = "; a Flatten layer makes rows of images" if x.ndim == 4 else ""
        raise ShapeError(f"{who}: expected x of shape (n, {features}), got {x.shape}{advice}")
    check_dtype(x, who, dtype)
    return x


def check_image_shape(input_shape: Iterable[int], who: str, channels: int | None = None) -> tuple[int, int, int]:
    """Return ``input_shape`` if it is the shape (c, h, w) of one image, with ``channels`` where given."""
    shape = tuple(input_shape)
    if len(shape) != 3 or channels not in (None, shape[0]):
        raise ShapeError(f"{who}: expected an input of shape ({channels or 'c'}, h, w), got {shape}")
    return shape
