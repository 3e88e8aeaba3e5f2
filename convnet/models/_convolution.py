"""The convolution that the deeper networks are made of."""

import math

import numpy as np

from convnet.initializers import fans
from convnet.layers import Conv2d

__all__ = ["convolution"]


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, bias: bool, rng: np.random.Generator
) -> Conv2d:
    """Build a convolution that keeps the size of the map, or divides it by ``stride``.

    The weights are normal with variance ``2 / fan_out``: what keeps the variance of gradients through ReLU from layer
    to layer on the way back (He et al. 2015, arXiv:1502.01852, equation 14), as torchvision draws them.
    """
    layer = Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias, rng=rng)
    fan_in, fan_out = fans(layer.weight.shape)
    layer.weight.value *= math.sqrt(fan_in / fan_out)
    return layer
