"""Images with mean 0 and deviation 1: a first layer of the model, which is saved with its weights."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convnet.errors import SettingError
from convnet.layers import BatchNorm2d, Frozen, Layer, Sequential

if TYPE_CHECKING:
    from convnet.data import ImageFolder

__all__ = [
    "OF_DATA",
    "Normalization",
    "check_normalization",
    "normalization_in",
    "normalization_named",
    "normalization_of",
    "normalized",
    "without_normalization",
]

LAYER = "normalize"
OF_DATA = "dataset"

_KNOWN = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
_NAMES = ("none", *_KNOWN, OF_DATA)

_LEAST = 1 / 255
"""Deviation of a channel that is the same everywhere."""


@dataclass(frozen=True)
class Normalization:
    """``(x - mean) / std`` of images scaled to 0-1, a number a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        return "/".join(",".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std))


def check_normalization(given: Any) -> str:
    """A name, or means and deviations as in 0.5/0.25."""
    if given not in _NAMES and _numbers(given) is None:
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(_NAMES)}, or means/deviations as in 0.5,0.5,0.5/0.25,0.25,0.25, got {given!r}"
        )
    return str(given)


def _numbers(given: Any) -> Normalization | None:
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in given.split("/"))
    except (AttributeError, ValueError):
        return None
    fits = len(mean) == len(std) and np.all(np.isfinite((mean, std))) and min(std) > 0
    return Normalization(mean, std) if fits else None


def normalization_named(name: str, channels: int) -> Normalization | None:
    """What a name, or a text of numbers, stands for; one number does for all channels.

    Raises
    ------
    SettingError
        If it is for other channels.
    """
    found = Normalization(*_KNOWN[name]) if name in _KNOWN else _numbers(name)
    if found is None:
        return None
    if len(found.mean) == 1:
        return Normalization(found.mean * channels, found.std * channels)
    if len(found.mean) != channels:
        expected = f"one for images with {channels} channel{'s' * (channels > 1)}"
        raise SettingError(f"--normalize: expected {expected}, got {name}, which has {len(found.mean)}")
    return found


def normalization_of(images: "tuple[np.ndarray, np.ndarray] | ImageFolder", workers: int) -> Normalization:
    """That of some images, in one pass over them."""
    from convnet.data import DataLoader, ImageFolder

    x_all, y_all = (images, None) if isinstance(images, ImageFolder) else images
    counts: Any = 0
    for x, _ in DataLoader(x_all, y_all, shuffle=False, workers=workers):
        counts += np.stack([np.bincount(x[:, channel].ravel(), minlength=256) for channel in range(x.shape[1])])
    levels, n = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ levels / n
    variance = np.sum(counts * (levels - mean[:, np.newaxis]) ** 2, axis=1) / n
    return Normalization(tuple(mean.tolist()), tuple(np.maximum(np.sqrt(variance), _LEAST).tolist()))


def normalized(model: Sequential, normalization: Normalization | None, trains: bool = False) -> Sequential:
    """The model with a first layer that normalises, and that training, too, leaves as it is."""
    if normalization is None:
        return model
    norm = BatchNorm2d(len(normalization.mean), eps=0, affine=False)
    norm.running_mean[:] = normalization.mean
    norm.running_var[:] = np.square(normalization.std)
    first: Layer = Frozen(norm) if trains else norm
    layers = {name: node.layer for name, node in model.nodes.items()}
    return Sequential({LAYER: first, **layers}, input_shape=model.input_shape)


def normalization_in(weights: Mapping[str, np.ndarray]) -> Normalization | None:
    """What the weights of a model were trained with."""
    try:
        mean, variance = weights[f"{LAYER}.running_mean"], weights[f"{LAYER}.running_var"]
    except KeyError:
        return None
    return Normalization(tuple(mean.tolist()), tuple(np.sqrt(variance).tolist()))


def without_normalization(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of the other layers."""
    return {name: array for name, array in weights.items() if not name.startswith(f"{LAYER}.")}
