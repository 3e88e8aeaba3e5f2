"""Shifts, rotations, scales and slants."""

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data.transforms._images import images
from convnet.errors import SettingError

__all__ = ["RandomAffine"]

FRACTION_BITS = 10
"""Places are integers that count 1/1024 pixel: whole numbers add and shift faster than floats round."""


@dataclass(frozen=True, slots=True)
class RandomAffine:
    """Shift, rotate, scale and slant each image a little, about its centre; what enters at the border is zero.

    Output pixel (i, j), counted from the centre, is the input pixel nearest to ``A @ (i, j) + t``, where
    ``A = rotation @ diag(scales) @ [[1, 0], [shear, 1]]``. Each image draws its own numbers, each number equally
    distributed over its range. The cost is that of a few passes over the images.

    Parameters
    ----------
    shift : float
        Pixels: t is in ``-shift .. shift`` along each axis.
    rotation : float
        Degrees: the angle is in ``-rotation .. rotation``.
    scale : float
        The two scales are in ``1 - scale .. 1 + scale``; less than 1.
    shear : float
        Pixels to the side a row: the shear is in ``-shear .. shear``.

    Raises
    ------
    SettingError
        If a setting is not a finite number of at least 0, or ``scale`` not less than 1.

    Examples
    --------
    >>> x = np.zeros((1, 1, 3, 3), np.uint8)
    >>> x[0, 0, 1, 1] = 9
    >>> RandomAffine(shift=1)(x, np.random.default_rng(0))
    array([[[[9, 0, 0],
             [0, 0, 0],
             [0, 0, 0]]]], dtype=uint8)
    """

    shift: float = 0
    rotation: float = 0
    scale: float = 0
    shear: float = 0

    def __post_init__(self) -> None:
        for name, value in zip(self.__slots__, astuple(self), strict=True):
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise SettingError(f"RandomAffine {name}: expected a finite number of at least 0, got {value!r}")
        if self.scale >= 1:
            raise SettingError(f"RandomAffine scale: expected a number less than 1, got {self.scale!r}")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, c, h, w = images(x, "RandomAffine")
        rows, columns = self._sources(n, h, w, rng)
        border = _border(rows, columns, h, w)
        height, width = h + 2 * border, w + 2 * border
        padded = np.zeros((n, c, height, width), x.dtype)
        padded[:, :, border : border + h, border : border + w] = x
        rows *= width
        rows += columns
        first = np.arange(n * c).reshape(n, c, 1, 1) * (height * width) + border * (width + 1)
        changed: NDArray[Any] = padded.ravel().take(first + rows[:, np.newaxis])
        return changed

    def _sources(self, n: int, h: int, w: int, rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Row and column, each (n, h, w), of the input pixel that each output pixel shows."""

        def draw(limit: float) -> NDArray[np.floating[Any]]:
            return rng.uniform(-limit, limit, n)

        angle, shear = draw(math.radians(self.rotation)), draw(self.shear)
        scale_i, scale_j = 1 + draw(self.scale), 1 + draw(self.scale)
        cos, sin = np.cos(angle), np.sin(angle)
        i, j = np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2
        rows = _places(i, cos * scale_i - sin * scale_j * shear, j, -sin * scale_j, draw(self.shift) + (h - 1) / 2)
        columns = _places(i, sin * scale_i + cos * scale_j * shear, j, cos * scale_j, draw(self.shift) + (w - 1) / 2)
        return rows, columns


def _places(
    i: NDArray[np.floating[Any]],
    by_i: NDArray[np.floating[Any]],
    j: NDArray[np.floating[Any]],
    by_j: NDArray[np.floating[Any]],
    start: NDArray[np.floating[Any]],
) -> NDArray[np.int32]:
    """``start + by_i * i + by_j * j`` (n, h, w) for ``start``, ``by_i``, ``by_j`` (n,), to the nearest whole number."""
    unit = 2.0**FRACTION_BITS
    down = np.rint(unit * (start[:, np.newaxis] + np.outer(by_i, i) + 0.5)).astype(np.int32)
    right = np.rint(unit * np.outer(by_j, j)).astype(np.int32)
    places: NDArray[np.int32] = down[:, :, np.newaxis] + right[:, np.newaxis, :]
    places >>= FRACTION_BITS
    return places


def _border(rows: NDArray[np.int32], columns: NDArray[np.int32], h: int, w: int) -> int:
    """How far the places reach beyond the image: affine, they are farthest out in the corners."""
    reach = [0]
    for places, size in ((rows, h), (columns, w)):
        corners = places[:, :: max(h - 1, 1), :: max(w - 1, 1)]
        if corners.size:
            reach += [-int(corners.min()), int(corners.max()) - size + 1]
    return max(reach)
