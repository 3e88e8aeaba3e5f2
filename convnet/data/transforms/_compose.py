"""Transforms in a row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data.transforms._images import Transform
from convnet.settings import function

__all__ = ["Compose"]


class Compose:
    """Transforms one after another, drawing from one generator.

    Raises
    ------
    SettingError
        If one is no function.

    Examples
    --------
    >>> from convnet.data.transforms import RandomCrop, RandomHorizontalFlip
    >>> augment = Compose(RandomCrop(4), RandomHorizontalFlip())
    >>> augment
    Compose(RandomCrop(padding=4, mode='constant', size=None), RandomHorizontalFlip(p=0.5))
    >>> augment(np.zeros((8, 3, 32, 32), np.uint8), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *transforms: Transform) -> None:
        for transform in transforms:
            function(transform, "Compose", "(x, rng)")
        self.transforms = transforms

    def __call__(self, x: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return what the last transform makes of ``x``."""
        for transform in self.transforms:
            x = transform(x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"
