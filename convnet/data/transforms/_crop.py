"""Windows of images, their pixels as they were."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from convnet.data._size import Size, height_and_width
from convnet.data.transforms._images import images
from convnet.errors import SettingError
from convnet.settings import integer

__all__ = ["CenterCrop", "RandomCrop"]


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Pad each image on all sides and cut out as much as there was, or ``size``, anywhere.

    Of the same size it is a shift by whole pixels. The usual augmentation for CIFAR-10 is 4 pixels of zeros (He et al.,
    arXiv:1512.03385, section 4.2). The cost is that of two passes over the images.

    Parameters
    ----------
    padding : int
        Pixels.
    mode : {"constant", "edge", "reflect"}
        What stands in the padding, as in `numpy.pad`: zeros, the nearest pixel, or the mirrored image.
    size : int or (int, int), optional
        Height and width of the result; as large as the images themselves by default.

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
    >>> RandomCrop(size=(1, 2))(x, np.random.default_rng(0))
    array([[[[8, 9]]]], dtype=uint8)
    """

    padding: int = 0
    mode: Literal["constant", "edge", "reflect"] = "constant"
    size: Size | None = None

    def __post_init__(self) -> None:
        integer(self.padding, "RandomCrop padding", least=0)
        if self.mode not in ("constant", "edge", "reflect"):
            raise SettingError(f"RandomCrop mode: expected 'constant', 'edge' or 'reflect', got {self.mode!r}")
        if self.size is not None:
            height_and_width(self.size, "RandomCrop size")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array (n, c, h, w) of the dtype of ``x``.

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or its padded images are smaller than ``size``.
        """
        n, _, h, w = images(x, "RandomCrop")
        sides = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), sides, sides), self.mode)
        if self.size is not None:
            h, w = height_and_width(self.size, "RandomCrop size")
            images(padded, "RandomCrop", (h, w))
        top, left = (rng.integers(places, size=n) for places in (padded.shape[2] - h + 1, padded.shape[3] - w + 1))
        changed: NDArray[Any] = sliding_window_view(padded, (h, w), axis=(2, 3))[np.arange(n), :, top, left]
        return changed


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Cut ``size`` out of the middle of each image; nothing is random.

    Where as many pixels cannot go on both sides, one less goes above, or to the left.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the result.

    Raises
    ------
    SettingError
        If it is none of these.

    Examples
    --------
    >>> x = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4)
    >>> CenterCrop((1, 2))(x)
    array([[[[5, 6]]]], dtype=uint8)
    """

    size: Size

    def __post_init__(self) -> None:
        height_and_width(self.size, "CenterCrop size")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return the windows, a new array (n, c, h, w) of the dtype of ``x``.

        Raises
        ------
        ShapeError
            If ``x`` has not four axes, or its images are smaller than ``size``.
        """
        h, w = height_and_width(self.size, "CenterCrop size")
        shape = images(x, "CenterCrop", (h, w))
        top, left = (shape[2] - h) // 2, (shape[3] - w) // 2
        return x[:, :, top : top + h, left : left + w].copy("K")
