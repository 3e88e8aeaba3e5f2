"""Layers that only rearrange, or not even that."""

import math

import numpy as np

from convnet.context import Context
from convnet.functional import concat, flatten, unflatten
from convnet.layers._checks import as_array, check_dtype, check_image_shape, check_images
from convnet.layers._layer import Layer, Shape
from convnet.settings import integer
from convnet.windows import Window, sliding

__all__ = ["Flatten", "Identity", "PadChannels"]


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

    def window(self, input_shape: Shape) -> Window:
        """The whole map: a row holds all of it."""
        _, h, w = check_image_shape(input_shape, "Flatten")
        return sliding((h, w), (h, w))


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


class PadChannels(Layer):
    """Channels of zeros in front of those of ``x`` and behind them: (n, c, h, w) -> (n, before + c + after, h, w).

    How an identity shortcut gets more channels without parameters: option A of He et al. 2015, arXiv:1512.03385,
    section 4.2.

    Parameters
    ----------
    before, after : int
        Numbers of channels to add.

    Raises
    ------
    SettingError
        If one is not an integer of at least 0.

    Notes
    -----
    Saved for backward: the number of channels. Cost: one copy forwards; the gradient is a part of ``dy``, no copy.

    Examples
    --------
    >>> PadChannels(1, 2)(np.ones((1, 1, 1, 1)))[0, :, 0, 0]
    array([0., 1., 0., 0.])
    """

    def __init__(self, before: int = 0, after: int = 0) -> None:
        self.before = integer(before, "PadChannels before", least=0)
        self.after = integer(after, "PadChannels after", least=0)

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x`` (n, c, h, w) between zeros, in memory channels-last."""
        x = check_images(x, "PadChannels")
        n, c, h, w = x.shape
        if ctx is not None:
            ctx.channels = c
        zero = np.zeros((), x.dtype)
        return concat([np.broadcast_to(zero, (n, self.before, h, w)), x, np.broadcast_to(zero, (n, self.after, h, w))])

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return the channels of ``dy`` that were those of ``x``."""
        return dy[:, self.before : self.before + ctx.channels] if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (before + c + after, h, w)."""
        c, h, w = check_image_shape(input_shape, "PadChannels")
        return self.before + c + self.after, h, w

    def _settings(self) -> str:
        return f"{self.before}, {self.after}"
