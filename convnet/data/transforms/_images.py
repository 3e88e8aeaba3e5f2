"""What all transforms have in common."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DTypeError, SettingError, ShapeError

__all__ = ["Transform", "check_probability", "check_uint8", "images"]

Transform: TypeAlias = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]


def images(x: NDArray[Any], who: str, least: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    """Return the shape of a batch of images.

    Raises
    ------
    ShapeError
        If ``x`` has not four axes, or its images are smaller than ``least`` (height, width).
    """
    if x.ndim != 4:
        raise ShapeError(f"{who}: expected x of shape (n, c, h, w), got {x.shape}")
    if x.shape[2] < least[0] or x.shape[3] < least[1]:
        raise ShapeError(f"{who}: expected x of at least {least[0]}x{least[1]} pixels, got {x.shape}")
    return x.shape


def check_uint8(x: NDArray[Any], who: str) -> None:
    """Raise DTypeError if ``x`` is not uint8."""
    if x.dtype != np.uint8:
        raise DTypeError(f"{who}: expected x of dtype uint8, got {x.dtype}")


def check_probability(p: object, name: str) -> None:
    """Raise SettingError if ``p`` is not a number from 0 to 1."""
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise SettingError(f"{name}: expected a number from 0 to 1, got {p!r}")
