"""Mirror images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data.transforms._images import check_probability, images

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


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
        check_probability(self.p, "RandomHorizontalFlip p")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, *_ = images(x, "RandomHorizontalFlip")
        return _mirrored(x, rng.random(n) < self.p, axis=2)


@dataclass(frozen=True, slots=True)
class RandomVerticalFlip:
    """Turn each image upside down, as a mirror on the floor does, with probability ``p``.

    For things that have no up and down, such as those seen from above or through a microscope.

    Raises
    ------
    SettingError
        If ``p`` is not a number from 0 to 1.

    Examples
    --------
    >>> x = np.arange(4, dtype=np.uint8).reshape(2, 1, 2, 1)
    >>> RandomVerticalFlip()(x, np.random.default_rng(0)).ravel()
    array([0, 1, 3, 2], dtype=uint8)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.p, "RandomVerticalFlip p")

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the changed images, a new array of the shape and dtype of ``x`` (n, c, h, w).

        Raises
        ------
        ShapeError
            If ``x`` has not four axes.
        """
        n, *_ = images(x, "RandomVerticalFlip")
        return _mirrored(x, rng.random(n) < self.p, axis=1)


def _mirrored(x: NDArray[Any], chosen: NDArray[np.bool_], axis: int) -> NDArray[Any]:
    """Images, those that are ``chosen`` mirrored along an axis of (c, h, w)."""
    changed = x.copy("K")
    changed[chosen] = np.flip(x[chosen], axis + 1)
    return changed
