"""Rewriting a model so that neighbouring layers share a pass over memory."""

from collections.abc import Callable
from typing import NamedTuple

from convnet.layers import BatchNorm2d, Conv2d, Dense, Layer, MaxPool2d, ReLU, Sequential
from convnet.layers.fused import BatchNormReLU, ConvReLU, DenseReLU, lies_side_by_side


class _Pattern(NamedTuple):
    layers: tuple[type[Layer], ...]
    applies: Callable[..., bool]
    make: Callable[..., Layer]


# The first that fits wins, so longer ones stand first. Types must match exactly: a subclass may do anything.
_PATTERNS = (
    _Pattern((Conv2d, ReLU, MaxPool2d), lambda c, r, pool: lies_side_by_side(pool), lambda c, r, p: ConvReLU(c, p)),
    _Pattern((Conv2d, ReLU), lambda c, r: True, lambda c, r: ConvReLU(c)),
    _Pattern((BatchNorm2d, ReLU), lambda n, r: True, lambda n, r: BatchNormReLU(n)),
    _Pattern((Dense, ReLU), lambda d, r: True, lambda d, r: DenseReLU(d)),
)


def fuse(model: Layer) -> Layer:
    """Return a model that computes the same with fewer passes over memory.

    Runs of layers that `ConvReLU`, `BatchNormReLU` and `DenseReLU` can replace (convolution, ReLU and max pool;
    convolution and ReLU; batch normalisation and ReLU; dense and ReLU) are replaced in every `Sequential`, also in
    nested ones. Nothing is copied: both models share their parameters and running averages, and ``model`` stays as it
    is. `Trainer` does this by itself.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    Layer
        ``model`` itself if it is no `Sequential`.

    Examples
    --------
    >>> fuse(Sequential(Conv2d(1, 8, 3, rng=0), ReLU(), MaxPool2d(2), ReLU()))
    Sequential(
      (0): ConvReLU(
        (conv): Conv2d(1, 8, kernel_size=3)
        (pool): MaxPool2d(kernel_size=2)
      )
      (3): ReLU()
    )
    """
    if type(model) is not Sequential:
        return model
    fused: dict[str, Layer] = {}
    rest = list(model.named_children())
    while rest:
        name = rest[0][0]
        fused[name], count = _first(tuple(layer for _, layer in rest))
        rest = rest[count:]
    return Sequential(fused, input_shape=model.input_shape)


def _first(layers: tuple[Layer, ...]) -> tuple[Layer, int]:
    """What stands for the first layers, and for how many."""
    for pattern in _PATTERNS:
        run = layers[: len(pattern.layers)]
        if tuple(map(type, run)) == pattern.layers and pattern.applies(*run):
            return pattern.make(*run), len(run)
    return fuse(layers[0]), 1
