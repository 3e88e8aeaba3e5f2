"""Layers that only rearrange, or not even that."""

import math

import numpy as np

from convnet.context import Context
from convnet.functional import flatten, unflatten
from convnet.layers._checks import as_array, check_dtype, check_image_shape, check_images
from convnet.layers._layer import Layer, Shape

__all__ = ["Flatten", "Identity"]


class Flatten(Layer):
    """Make one row of each image: (n, c, h, w) -> (n, c*h*w), channel by channel as in PyTorch.

    Notes
    -----
    Saved for backward: the shape of ``x``. Cost: one copy, for images lie channels-last in memory.

    Examples
    --------
    >>> Flatten().output_shape((16, 5, 5))
    (400,)
    """

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return the rows (n, c*h*w) of the images ``x`` (n, c, h, w)."""
        x = check_images(x, "Flatten")
        if ctx is not None:
            ctx.input_shape = x.shape
        return flatten(x)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return the rows ``dy`` (n, c*h*w) as images (n, c, h, w), in memory channels-last."""
        return unflatten(dy, ctx.input_shape) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (c*h*w,)."""
        return (math.prod(check_image_shape(input_shape, "Flatten")),)


class Identity(Layer):
    """``y = x``, of any shape: the branch of a residual block in which nothing happens.

    Notes
    -----
    Saved for backward: nothing. The output is ``x`` itself, no copy.

    Examples
    --------
    >>> Identity()(np.ones(2))
    array([1., 1.])
    """

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x``."""
        x = as_array(x)
        check_dtype(x, "Identity")
        return x

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``dy``."""
        return dy if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)
