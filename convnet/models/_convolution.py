"""The convolutions that the deeper networks are made of."""

import math
from collections.abc import Callable

import numpy as np

from convnet.layers import BatchNorm2d, Conv2d, Layer, ReLU, Sequential
from convnet.shapes import IntPair

__all__ = ["convolution", "normalized", "round_channels"]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: IntPair | None = None,
    *,
    groups: int = 1,
    bias: bool,
    rng: np.random.Generator,
) -> Conv2d:
    """Build a convolution that by default keeps the size of the map, or divides it by ``stride``.

    The weights are normal with variance ``2 / fan_out``: what keeps the variance of gradients through ReLU from layer
    to layer on the way back (He et al. 2015, arXiv:1502.01852, equation 14), as torchvision draws them.
    """
    sides = kernel_size // 2 if padding is None else padding
    layer = Conv2d(in_channels, out_channels, kernel_size, stride, sides, groups=groups, bias=bias, rng=rng)
    layer.weight.value *= math.sqrt(in_channels / out_channels)
    return layer


def normalized(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    eps: float = 1e-5,
    activation: Callable[[], Layer] = ReLU,
    names: tuple[str, str, str] = ("0", "1", "2"),
    rng: np.random.Generator,
) -> Sequential:
    """Build a convolution without biases, batch normalisation with ``eps`` and an activation, and name them."""
    conv = convolution(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False, rng=rng)
    return Sequential(dict(zip(names, (conv, BatchNorm2d(out_channels, eps), activation()), strict=True)))


def round_channels(channels: float) -> int:
    """Round to a multiple of 8, at least 8 and at most a tenth below what was asked for.

    Examples
    --------
    >>> [round_channels(c) for c in (3, 24, 28, 11.9)]
    [8, 24, 32, 16]
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
