"""Holes in images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data.transforms._images import images
from convnet.settings import integer

__all__ = ["Cutout"]


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
        n, _, h, w = images(x, "Cutout")
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
