"""Random changes of training images that leave the label true.

A transform is called with a batch of images (n, c, h, w) of any dtype and a random generator, and returns a new batch;
any function of that kind will do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.settings import integer

__all__ = ["Compose", "Cutout", "Normalize", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "Transform"]

Transform: TypeAlias = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]

FRACTION_BITS = 10
"""Places are integers that count 1/1024 pixel: whole numbers add and shift faster than floats round."""


class Compose:
    """Transforms one after another, drawing from one generator.

    Examples
    --------
    >>> augment = Compose(RandomCrop(4), RandomHorizontalFlip())
    >>> augment
    Compose(RandomCrop(padding=4, mode='constant'), RandomHorizontalFlip(p=0.5))
    >>> augment(np.zeros((8, 3, 32, 32), np.uint8), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *transforms: Transform) -> None:
        self.transforms = transforms

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return what the last transform makes of ``x``."""
        for transform in self.transforms:
            x = transform(x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Pad each image on all sides and cut out as much as there was, anywhere: a shift by whole pixels.

    The usual augmentation for CIFAR-10 is 4 pixels of zeros (He et al., arXiv:1512.03385, section 4.2). The cost is
    that of two passes over the images.

    Parameters
    ----------
    padding : int
        Pixels.
    mode : {"constant", "edge", "reflect"}
        What stands in the padding, as in `numpy.pad`: zeros, the nearest pixel, or the mirrored image.

    Raises
    ------
    SettingError
        If a setting is none of these.

    Examples
    --------
    >>> x = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3)
    >>> RandomCrop(1)(x, np.random.default_rng(0))
    array([[[[4, 5, 6],
             [7, 8, 9],
             [0, 0, 0]]]], dtype=uint8)
    """

    padding: int
    mode: Literal["constant", "edge", "reflect"] = "constant"

    def __post_init__(self) -> None:
        integer(self.padding, "RandomCrop padding", least=0)
        if self.mode not in ("constant", "edge", "reflect"):
            raise SettingError(f"RandomCrop mode: expected 'constant', 'edge' or 'reflect', got {self.mode!r}")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, _, h, w = _images(x, "RandomCrop")
        sides = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), sides, sides), self.mode)
        top, left = rng.integers(2 * self.padding + 1, size=(2, n))
        changed: NDArray[Any] = sliding_window_view(padded, (h, w), axis=(2, 3))[np.arange(n), :, top, left]
        return changed


@dataclass(frozen=True, slots=True)
class RandomHorizontalFlip:
    """Mirror each image, left to right, with probability ``p``.

    Raises
    ------
    SettingError
        If ``p`` is not a number from 0 to 1.

    Examples
    --------
    >>> x = np.arange(8, dtype=np.uint8).reshape(2, 1, 1, 4)
    >>> RandomHorizontalFlip()(x, np.random.default_rng(0))
    array([[[[0, 1, 2, 3]]],
    <BLANKLINE>
    <BLANKLINE>
           [[[7, 6, 5, 4]]]], dtype=uint8)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.p, (int, float)) or not 0 <= self.p <= 1:
            raise SettingError(f"RandomHorizontalFlip p: expected a number from 0 to 1, got {self.p!r}")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, *_ = _images(x, "RandomHorizontalFlip")
        chosen = rng.random(n) < self.p
        changed = x.copy("K")
        changed[chosen] = x[chosen, :, :, ::-1]
        return changed


@dataclass(frozen=True, slots=True)
class Cutout:
    """Set a square of each image to zero, centred on any of its pixels (DeVries and Taylor, arXiv:1708.04552).

    What of the square lies outside is cut off. After `Normalize` zero is the mean.

    Parameters
    ----------
    size : int
        Side of the square in pixels.

    Raises
    ------
    SettingError
        If it is not an integer of at least 0.

    Examples
    --------
    >>> Cutout(2)(np.ones((1, 1, 3, 3), np.uint8), np.random.default_rng(0))
    array([[[[1, 1, 1],
             [0, 0, 1],
             [0, 0, 1]]]], dtype=uint8)
    """

    size: int

    def __post_init__(self) -> None:
        integer(self.size, "Cutout size", least=0)

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, _, h, w = _images(x, "Cutout")
        rows, columns = self._covered(h, n, rng), self._covered(w, n, rng)
        changed = x.copy("K")
        np.copyto(changed, 0, where=rows[:, np.newaxis, :, np.newaxis] & columns[:, np.newaxis, np.newaxis, :])
        return changed

    def _covered(self, length: int, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which places along one axis, (n, length), lie in the square of each image."""
        first = rng.integers(max(length, 1), size=(n, 1)) - self.size // 2
        places = np.arange(length)
        covered: NDArray[np.bool_] = (places >= first) & (places < first + self.size)
        return covered


class Normalize:
    """Turn uint8 images into ``(x / 255 - mean) / std``, float, channels-last in memory; nothing is random.

    Validation and test images need it too: ``normalize(x_test)``.

    Parameters
    ----------
    mean, std : sequence of float
        One number a channel, of images scaled to 0-1.
    dtype : float32 or float64
        Of the result: that of the model.

    Raises
    ------
    SettingError
        If there are not equally many of both, or a number is not finite, or a deviation not positive.

    Examples
    --------
    >>> normalize = Normalize(mean=[0.5, 0.0], std=[0.25, 1.0])
    >>> x = np.full((1, 2, 1, 1), 255, np.uint8)
    >>> normalize(x).ravel()
    array([2., 1.], dtype=float32)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], dtype: type[np.floating[Any]] = np.float32) -> None:
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        if len(self.mean) != len(self.std) or not np.all(np.isfinite(self.mean)):
            raise SettingError(f"Normalize: expected equally many finite means and deviations, got {mean} and {std}")
        if not all(0 < value < math.inf for value in self.std):
            raise SettingError(f"Normalize std: expected finite numbers above 0, got {std}")
        levels = np.arange(256)[:, np.newaxis] / 255
        self._table = ((levels - self.mean) / self.std).astype(dtype)

    def __call__(self, x: NDArray[np.uint8], rng: np.random.Generator | None = None) -> NDArray[np.floating[Any]]:
        """Return the numbers of the images ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or another number of channels.
        DTypeError
            If it is not uint8.
        """
        n, c, h, w = _images(x, "Normalize")
        if c != len(self.mean):
            raise ShapeError(f"Normalize: expected x of {len(self.mean)} channels, got {x.shape}")
        if x.dtype != np.uint8:
            raise DTypeError(f"Normalize: expected x of dtype uint8, got {x.dtype}")
        values = np.empty((n, h, w, c), self._table.dtype)
        for channel in range(c):
            self._table[:, channel].take(x[:, channel], out=values[..., channel], mode="clip")
        return values.transpose(0, 3, 1, 2)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


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
        n, c, h, w = _images(x, "RandomAffine")
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


def _images(x: NDArray[Any], who: str) -> tuple[int, ...]:
    """The shape of a batch of images."""
    if x.ndim != 4:
        raise ShapeError(f"{who}: expected x of shape (n, c, h, w), got {x.shape}")
    return x.shape
