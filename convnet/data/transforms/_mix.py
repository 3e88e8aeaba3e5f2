"""Images mixed with others of their batch, and the targets with theirs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convnet.data._labels import one_hot
from convnet.data.transforms._images import images
from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.settings import integer

__all__ = ["CutMix", "Mix", "Mixup"]

Mix: TypeAlias = Callable[
    [NDArray[Any], NDArray[Any], np.random.Generator], tuple[NDArray[Any], NDArray[np.floating[Any]]]
]


@dataclass(frozen=True, slots=True)
class Mixup:
    """Mix each image with another of its batch: ``t * x + (1 - t) * x'``, and so the targets (arXiv:1710.09412).

    The other is drawn by a permutation of the batch, t for each image from the beta distribution of ``alpha`` and
    ``alpha``. uint8 images are rounded.

    Parameters
    ----------
    classes : int
        How many there are: targets become probabilities (n, classes).
    alpha : float
        Above 0: 0.2 leaves most images nearly as they were, 1 makes all mixtures equally likely.

    Raises
    ------
    SettingError
        If a setting is none of these.

    Examples
    --------
    >>> x = np.array([0, 100], np.uint8).reshape(2, 1, 1, 1)
    >>> x, y = Mixup(classes=3, alpha=1)(x, np.array([0, 2]), np.random.default_rng(11))
    >>> x.ravel()
    array([84, 93], dtype=uint8)
    >>> y.round(2)
    array([[0.16, 0.  , 0.84],
           [0.07, 0.  , 0.93]], dtype=float32)
    """

    classes: int
    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check(self.classes, self.alpha, "Mixup")

    def __call__(
        self, x: NDArray[Any], y: ArrayLike, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.floating[Any]]]:
        """Return the mixed images, of the shape and dtype of ``x`` (n, c, h, w), and their targets (n, classes).

        Raises
        ------
        ShapeError, DTypeError, DataError
            If ``x`` are no images, or ``y`` neither class indices (n,) nor floats (n, classes).
        """
        n, *_ = images(x, "Mixup")
        targets = _probabilities(y, n, self.classes, "Mixup")
        other, share = rng.permutation(n), rng.beta(self.alpha, self.alpha, n).astype(np.float32)
        t = share[:, np.newaxis, np.newaxis, np.newaxis].astype(x.dtype if x.dtype.kind == "f" else np.float32)
        mixed = x * t
        mixed += x[other] * (1 - t)
        if x.dtype.kind != "f":
            mixed = np.rint(mixed, out=mixed).astype(x.dtype)
        return mixed, _mixed(targets, targets[other], share)


@dataclass(frozen=True, slots=True)
class CutMix:
    """Put a rectangle of another image of the batch into each image, at the same place (arXiv:1905.04899).

    Its sides are those of the image times ``sqrt(1 - t)``, t from the beta distribution of ``alpha`` and ``alpha``, and
    its centre is any pixel; what lies outside is cut off. Targets are mixed by the areas.

    Parameters
    ----------
    classes : int
        How many there are: targets become probabilities (n, classes).
    alpha : float
        Above 0; 1 makes all areas equally likely.

    Raises
    ------
    SettingError
        If a setting is none of these.

    Examples
    --------
    >>> x = np.array([0, 9], np.uint8).repeat(16).reshape(2, 1, 4, 4)
    >>> x, y = CutMix(classes=2)(x, np.array([0, 1]), np.random.default_rng(6))
    >>> x[0, 0]
    array([[0, 0, 0, 0],
           [0, 0, 9, 9],
           [0, 0, 9, 9],
           [0, 0, 9, 9]], dtype=uint8)
    >>> y[0]
    array([0.625, 0.375], dtype=float32)
    """

    classes: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check(self.classes, self.alpha, "CutMix")

    def __call__(
        self, x: NDArray[Any], y: ArrayLike, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.floating[Any]]]:
        """Return the mixed images, of the shape and dtype of ``x`` (n, c, h, w), and their targets (n, classes).

        Raises
        ------
        ShapeError, DTypeError, DataError
            If ``x`` are no images, or ``y`` neither class indices (n,) nor floats (n, classes).
        """
        n, _, h, w = images(x, "CutMix")
        targets = _probabilities(y, n, self.classes, "CutMix")
        other, side = rng.permutation(n), np.sqrt(1 - rng.beta(self.alpha, self.alpha, n))
        rows, columns = _covered(h, side, rng), _covered(w, side, rng)
        mixed = x.copy("K")
        covered = rows[:, np.newaxis, :, np.newaxis] & columns[:, np.newaxis, np.newaxis, :]
        np.copyto(mixed, x[other], where=covered)
        share = 1 - rows.mean(axis=1, dtype=np.float32) * columns.mean(axis=1, dtype=np.float32)
        return mixed, _mixed(targets, targets[other], share)


def _check(classes: object, alpha: object, who: str) -> None:
    integer(classes, f"{who} classes", least=2)
    if not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
        raise SettingError(f"{who} alpha: expected a finite number above 0, got {alpha!r}")


def _probabilities(y: ArrayLike, n: int, classes: int, who: str) -> NDArray[np.floating[Any]]:
    targets = np.asarray(y)
    if targets.shape == (n,):
        return one_hot(targets, classes)
    if targets.shape != (n, classes):
        raise ShapeError(f"{who}: expected targets of shape {(n,)} or {(n, classes)}, got {targets.shape}")
    if targets.dtype.kind != "f":
        raise DTypeError(f"{who}: expected targets of shape {targets.shape} to be floats, got {targets.dtype}")
    return targets


def _mixed(
    targets: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]], share: NDArray[np.float32]
) -> NDArray[np.floating[Any]]:
    """``share`` of each row of the targets, the rest of the others."""
    part = share[:, np.newaxis].astype(targets.dtype)
    mixed: NDArray[np.floating[Any]] = targets * part + others * (1 - part)
    return mixed


def _covered(length: int, side: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which places along one axis, (n, length), lie in the rectangle of each image; ``side`` as a part of the axis."""
    cut = np.rint(side * length).astype(int)[:, np.newaxis]
    first = rng.integers(max(length, 1), size=(len(side), 1)) - cut // 2
    places = np.arange(length)
    covered: NDArray[np.bool_] = (places >= first) & (places < first + cut)
    return covered
