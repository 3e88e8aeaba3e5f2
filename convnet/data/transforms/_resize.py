"""Images of another size, and random parts of images in one size."""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnet.data._size import Size, height_and_width
from convnet.data.transforms._images import images
from convnet.errors import SettingError

__all__ = ["RandomResizedCrop", "Resize"]

Taps: TypeAlias = tuple[NDArray[np.intp], NDArray[np.floating[Any]]]
"""The places along one axis that each new place is a mean of, (taps, size), and their weights (taps, size, 1, 1)."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Scale images to a size, whatever their own proportions; nothing is random.

    Bilinear and free of aliases: a new pixel is the mean of the old ones, weighted by a triangle that reaches to the
    next new pixel where the image shrinks, and to the next old one where it grows. Pillow's ``BILINEAR`` does the same,
    up to the rounding of uint8. Integers are rounded, floats keep their type.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the result.

    Raises
    ------
    SettingError
        If it is none of these.

    See Also
    --------
    convnet.data.ImageFolder : scales photographs when it reads them, which is faster and keeps their proportions.

    Examples
    --------
    >>> x = np.array([[0, 10], [20, 30]], np.uint8).reshape(1, 1, 2, 2)
    >>> Resize((1, 4))(x)
    array([[[[10, 12, 18, 20]]]], dtype=uint8)
    """

    size: Size

    def __post_init__(self) -> None:
        height_and_width(self.size, "Resize size")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return the scaled images, a new array (n, c, h, w) of the dtype of ``x``.

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or its images have no pixels.
        """
        n, _, h, w = images(x, "Resize", (1, 1))
        return _scaled(x, [(0, 0, h, w)] * n, height_and_width(self.size, "Resize size"))


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """Cut a random part out of each image and scale it to a size (Szegedy et al., arXiv:1409.4842, section 6).

    The area of the part is uniform in ``scale``, the logarithm of its width over its height in ``ratio``, its place
    uniform; a side that would be longer than that of the image is as long. Scaled as by `Resize`: 0.2 to 0.5 ms for a
    colour image of 128x128.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the result.
    scale : (float, float)
        Least and largest part of the area.
    ratio : (float, float)
        Least and largest width over height.

    Raises
    ------
    SettingError
        If a setting is none of these.

    Notes
    -----
    What an `ImageFolder` reads should be larger than ``size``, say 1.25 to 2 times, so that small parts keep details.

    Examples
    --------
    >>> x = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    >>> RandomResizedCrop(2, scale=(0.25, 0.5))(x, np.random.default_rng(0))
    array([[[[17, 19],
             [33, 35]]]], dtype=uint8)
    """

    size: Size
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        height_and_width(self.size, "RandomResizedCrop size")
        _check_range(self.scale, "RandomResizedCrop scale", most=1.0)
        _check_range(self.ratio, "RandomResizedCrop ratio")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the parts, a new array (n, c, h, w) of the dtype of ``x``.

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or its images have no pixels.
        """
        n, _, h, w = images(x, "RandomResizedCrop", (1, 1))
        area = h * w * rng.uniform(*self.scale, n)
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), n))
        heights = np.clip(np.rint(np.sqrt(area / ratio)), 1, h).astype(int)
        widths = np.clip(np.rint(np.sqrt(area * ratio)), 1, w).astype(int)
        tops, lefts = rng.integers(h - heights + 1), rng.integers(w - widths + 1)
        boxes = zip(*(numbers.tolist() for numbers in (tops, lefts, heights, widths)), strict=True)
        return _scaled(x, boxes, height_and_width(self.size, "RandomResizedCrop size"))


def _check_range(pair: tuple[float, float], name: str, most: float = math.inf) -> None:
    try:
        least, largest = pair
        good = 0 < least <= largest <= most and largest < math.inf
    except (TypeError, ValueError):
        good = False
    if not good:
        limit = "" if most == math.inf else f" and at most {most:g}"
        raise SettingError(f"{name}: expected a pair (least, largest) of finite numbers above 0{limit}, got {pair!r}")


def _scaled(x: NDArray[Any], boxes: Iterable[tuple[int, int, int, int]], size: tuple[int, int]) -> NDArray[Any]:
    """The part of each image that a box (top, left, height, width) names, scaled to ``size``."""
    changed = np.empty_like(x, shape=(*x.shape[:2], *size))
    exact = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    for image, (top, left, h, w), target in zip(x, boxes, changed, strict=True):
        part = image[:, top : top + h, left : left + w].transpose(1, 2, 0)
        rows = _weighted(part, _taps(h, size[0], exact))
        columns = _weighted(rows.swapaxes(0, 1), _taps(w, size[1], exact))
        if x.dtype.kind != "f":
            np.rint(columns, out=columns)
        target[...] = columns.transpose(2, 1, 0)
    return changed


def _weighted(x: NDArray[Any], taps: Taps) -> NDArray[Any]:
    """Means along the first axis. What is gathered are whole rows of memory, which is why `_scaled` turns the image."""
    places, weights = taps
    x = np.ascontiguousarray(x, weights.dtype)
    total: NDArray[Any] = x[places[0]]
    total *= weights[0]
    for place, weight in zip(places[1:], weights[1:], strict=True):
        part = x[place]
        part *= weight
        total += part
    return total


@functools.lru_cache(1024)  # each takes some 0.05 ms: as much as the rest for an image of 32x32
def _taps(length: int, size: int, dtype: np.dtype[Any]) -> Taps:
    """How ``length`` pixels in a row become ``size``."""
    scale = length / size
    reach = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    first = np.floor(centres - reach).astype(np.intp)
    places = first + np.arange(math.ceil(2 * reach) + 1)[:, np.newaxis]
    weights = np.maximum(1 - np.abs(places + 0.5 - centres) / reach, 0)
    weights[(places < 0) | (places >= length)] = 0
    weights /= weights.sum(axis=0)
    used = weights.any(axis=1)
    return np.clip(places, 0, length - 1)[used], weights[used, :, np.newaxis, np.newaxis].astype(dtype)
