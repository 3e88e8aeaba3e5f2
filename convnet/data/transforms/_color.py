"""Other light."""

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data.transforms._images import check_uint8, images
from convnet.errors import SettingError, ShapeError

__all__ = ["ColorJitter"]

GREY = np.array([0.299, 0.587, 0.114])
"""How bright red, green and blue look (ITU-R BT.601)."""

_TO_CHROMA = np.array([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""The two axes of colour of NTSC's YIQ, at right angles to grey."""


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue of each uint8 image a little.

    Each image draws its own numbers, each equally distributed over its range: factors b, k, s in ``1 - limit .. 1 +
    limit``, and a turn of the hue in ``-hue .. hue``. In this order the pixels are multiplied by b; drawn by k away
    from the mean grey of the image; drawn by s away from their own grey; turned about the axis of greys, in the plane
    of colours of YIQ, which keeps how bright they are. All four are linear, so they are one 3x3 matrix an image, and
    only the result is rounded and cut off at 0 and 255.

    Parameters
    ----------
    brightness, contrast, saturation : float
        Limits, from 0 (no change) to 1.
    hue : float
        Limit in turns, from 0 to 0.5: a third makes red of green.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> x = np.array([100, 150, 200], np.uint8).reshape(1, 3, 1, 1)
    >>> ColorJitter(brightness=0.5)(x, np.random.default_rng(0)).ravel()
    array([114, 171, 227], dtype=uint8)
    >>> ColorJitter(saturation=1)(x, np.random.default_rng(0)).ravel()
    array([137, 142, 146], dtype=uint8)
    """

    brightness: float = 0
    contrast: float = 0
    saturation: float = 0
    hue: float = 0

    def __post_init__(self) -> None:
        for name, value in zip(self.__slots__, astuple(self), strict=True):
            most = 0.5 if name == "hue" else 1
            if not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise SettingError(f"ColorJitter {name}: expected a number from 0 to {most}, got {value!r}")

    def __call__(self, x: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the changed images, a new array of the shape of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or not 3 channels; grey images, of 1 channel, take brightness and contrast.
        DTypeError
            If it is not uint8.
        """
        n, c, *_ = images(x, "ColorJitter")
        check_uint8(x, "ColorJitter")
        if c != 3 and (c != 1 or self.saturation or self.hue):
            raise ShapeError(f"ColorJitter: expected x of 3 channels, or 1 without saturation and hue, got {x.shape}")
        bright, contrast, saturation = (1 + rng.uniform(-limit, limit, n) for limit in astuple(self)[:3])
        turns = rng.uniform(-self.hue, self.hue, n)
        matrices = _colours(saturation, turns) if c == 3 else np.ones((n, 1, 1))
        matrices *= (contrast * bright)[:, np.newaxis, np.newaxis]
        means = x.mean(axis=(2, 3), dtype=np.float32) if x.size else np.zeros((n, c))
        offsets = (1 - contrast) * bright * (means @ GREY if c == 3 else means[:, 0])
        return _mapped(x, matrices.astype(np.float32), offsets.astype(np.float32))


def _colours(saturation: NDArray[Any], turns: NDArray[Any]) -> NDArray[np.float64]:
    """Matrices (n, 3, 3) that scale and turn what of a colour is not grey."""
    angles = 2 * math.pi * turns
    cos, sin = saturation * np.cos(angles), saturation * np.sin(angles)
    turned = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    yiq = np.concatenate([GREY[np.newaxis], _TO_CHROMA])
    back = np.linalg.inv(yiq)
    matrices: NDArray[np.float64] = back[:, :1] * yiq[:1] + back[:, 1:] @ turned @ yiq[1:]
    return matrices


def _mapped(x: NDArray[np.uint8], matrices: NDArray[np.float32], offsets: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``matrix @ colour + offset`` for each pixel, image by image: what is between stays in the cache."""
    changed = np.empty_like(x)
    for image, matrix, offset, target in zip(x, matrices, offsets, changed, strict=True):
        planes = np.ascontiguousarray(image, np.float32)
        for row, plane in zip(matrix, target, strict=True):
            total = planes[0] * row[0]
            for factor, other in zip(row[1:], planes[1:], strict=True):
                total += other * factor
            total += offset
            np.copyto(plane, np.clip(np.rint(total, out=total), 0, 255, out=total), casting="unsafe")
    return changed
