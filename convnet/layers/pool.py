"""Pooling."""

from typing import Any

import numpy as np

from convnet.context import Context
from convnet.functional import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from convnet.layers._checks import check_image_shape, check_images
from convnet.layers._geometry import brief, shortest
from convnet.layers._layer import Layer, Shape
from convnet.shapes import IntPair, pair, pool2d_output_size, pool2d_padding
from convnet.windows import Window, covering, dilated, sliding

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


class MaxPool2d(Layer):
    """The largest number of each window.

    ``y[n, c, i, j] = max over u, v of x[n, c, i*stride + u*dilation, j*stride + v*dilation]``; the padding never wins.
    NaN wins over every number, and of equal numbers the first in reading order gets the gradient.
    Riesenhuber and Poggio 1999, Hierarchical models of object recognition in cortex (Nat. Neurosci. 2, 1019-1025).

    Parameters
    ----------
    kernel_size : int or pair of int
        Size of the window, (vertical, horizontal).
    stride : int or pair of int, optional
        Step of the window; None means its size.
    padding : int or pair of int
        At most half the dilated window.
    dilation : int or pair of int
    ceil_mode : bool
        Whether a last window may hang over the edge.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: one byte or a few an output, the place of the maximum in its window; not ``x``.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> MaxPool2d(2)(x)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair(kernel_size, "MaxPool2d kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, "MaxPool2d stride")
        self.dilation = pair(dilation, "MaxPool2d dilation")
        self.padding = pool2d_padding(padding, self.kernel_size, self.dilation, "MaxPool2d")
        self.ceil_mode = bool(ceil_mode)

    @property
    def _geometry(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
        }

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Pool ``x`` (n, c, h, w); returns (n, c, oh, ow), in memory channels-last."""
        x = check_images(x, "MaxPool2d")
        y: np.ndarray
        if ctx is None:
            y = max_pool2d(x, **self._geometry)
        else:
            y, ctx.codes = max_pool2d(x, **self._geometry, return_codes=True)
            ctx.input_shape = x.shape
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Send each number of ``dy`` (n, c, oh, ow) to the place of its maximum; returns dx (n, c, h, w)."""
        return max_pool2d_backward(dy, ctx.codes, ctx.input_shape, **self._geometry) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (c, oh, ow), see `pool2d_output_size`."""
        c, h, w = check_image_shape(input_shape, "MaxPool2d")
        return c, *pool2d_output_size((h, w), **self._geometry)

    def window(self, input_shape: Shape) -> Window:
        """The dilated window, moved by the stride."""
        return sliding(dilated(self.kernel_size, self.dilation), self.stride, self.padding)

    def _settings(self) -> str:
        defaults = {"stride": self.kernel_size, "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
        return brief("", self._geometry, defaults)


class AvgPool2d(Layer):
    """The mean of each window.

    ``y[n, c, i, j] = (sum over u, v of x[n, c, i*stride + u, j*stride + v]) / count`` where the padding is zero and
    ``count`` is the number of pixels of the window inside the padded map, or inside the map itself without
    ``count_include_pad``. The subsampling of LeCun et al. 1998, doi:10.1109/5.726791, section II, without the factor
    and the bias that it trains.

    Parameters
    ----------
    kernel_size : int or pair of int
        Size of the window, (vertical, horizontal).
    stride : int or pair of int, optional
        Step of the window; None means its size.
    padding : int or pair of int
        At most half the window.
    ceil_mode : bool
        Whether a last window may hang over the edge.
    count_include_pad : bool
        Whether zeros of the padding count in the mean.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: the shape of ``x``.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> AvgPool2d(2)(x)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = pair(kernel_size, "AvgPool2d kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, "AvgPool2d stride")
        self.padding = pool2d_padding(padding, self.kernel_size, who="AvgPool2d")
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    @property
    def _geometry(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
            "count_include_pad": self.count_include_pad,
        }

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Pool ``x`` (n, c, h, w); returns (n, c, oh, ow), in memory channels-last."""
        x = check_images(x, "AvgPool2d")
        if ctx is not None:
            ctx.input_shape = x.shape
        return avg_pool2d(x, **self._geometry)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Spread each number of ``dy`` (n, c, oh, ow) evenly over its window; returns dx (n, c, h, w)."""
        return avg_pool2d_backward(dy, ctx.input_shape, **self._geometry) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (c, oh, ow), see `pool2d_output_size`."""
        c, h, w = check_image_shape(input_shape, "AvgPool2d")
        return c, *pool2d_output_size((h, w), self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)

    def window(self, input_shape: Shape) -> Window:
        """The window, moved by the stride."""
        return sliding(self.kernel_size, self.stride, self.padding)

    def _settings(self) -> str:
        defaults = {"stride": self.kernel_size, "padding": (0, 0), "ceil_mode": False, "count_include_pad": True}
        return brief("", self._geometry, defaults)


class AdaptiveAvgPool2d(Layer):
    """The mean of each of ``output_size`` windows that cover the map evenly, whatever its size.

    Along an axis of length h with o outputs, window i has the pixels from ``floor(i h / o)`` to ``ceil((i + 1) h /
    o)``: windows side by side where o divides h, else of two sizes, some overlapping by one. A map that has the
    output's size already is returned as it is. One level of the spatial pyramid of He et al. 2014, arXiv:1406.4729.

    Parameters
    ----------
    output_size : int or pair of int
        Size of the output, (vertical, horizontal).

    Raises
    ------
    SettingError
        If a size is no positive integer.

    Notes
    -----
    Saved for backward: the shape of ``x``.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> AdaptiveAvgPool2d((2, 1))(x)[0, 0]
    array([[ 3.5],
           [11.5]], dtype=float32)
    """

    def __init__(self, output_size: IntPair) -> None:
        self.output_size = pair(output_size, f"{type(self).__name__} output_size")

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Pool ``x`` (n, c, h, w); returns (n, c, oh, ow), in memory channels-last."""
        x = check_images(x, type(self).__name__)
        if ctx is not None:
            ctx.input_shape = x.shape
        return x if x.shape[2:] == self.output_size else adaptive_avg_pool2d(x, self.output_size)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Spread each number of ``dy`` (n, c, oh, ow) evenly over its window; returns dx (n, c, h, w)."""
        if not ctx.wants_dx or ctx.input_shape[2:] == self.output_size:
            return dy if ctx.wants_dx else None
        return adaptive_avg_pool2d_backward(dy, ctx.input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> ``(c, *output_size)``."""
        c, _, _ = check_image_shape(input_shape, type(self).__name__)
        return c, *self.output_size

    def window(self, input_shape: Shape) -> Window:
        """The windows that cover the map."""
        return covering((input_shape[1], input_shape[2]), self.output_size)

    def _settings(self) -> str:
        return f"{shortest(self.output_size)}"


class GlobalAvgPool2d(AdaptiveAvgPool2d):
    """The mean of each channel: (n, c, h, w) -> (n, c, 1, 1), as `AdaptiveAvgPool2d` of size 1.

    A `Flatten` behind it makes rows (n, c) for a dense layer. Lin, Chen and Yan, arXiv:1312.4400.

    Examples
    --------
    >>> GlobalAvgPool2d()(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)).shape
    (1, 2, 1, 1)
    """

    def __init__(self) -> None:
        super().__init__(1)

    def _settings(self) -> str:
        return ""


class AdaptiveMaxPool2d(Layer):
    """The largest number of each of ``output_size`` windows that cover the map evenly, whatever its size.

    ``y[n, c, i, j] = max over the window of x[n, c]``, one level of the spatial pyramid of He et al. 2014,
    arXiv:1406.4729. The windows are those of `AdaptiveAvgPool2d`. NaN wins over every number, and of equal numbers the
    first in reading order gets the gradient.

    Parameters
    ----------
    output_size : int or pair of int
        Size of the output, (vertical, horizontal).

    Raises
    ------
    SettingError
        If a size is no positive integer.

    Notes
    -----
    Saved for backward: one byte or a few an output, the place of the maximum in its window; not ``x``.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> AdaptiveMaxPool2d((2, 1))(x)[0, 0]
    array([[ 7.],
           [15.]], dtype=float32)
    """

    def __init__(self, output_size: IntPair) -> None:
        self.output_size = pair(output_size, "AdaptiveMaxPool2d output_size")

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Pool ``x`` (n, c, h, w); returns (n, c, oh, ow), in memory channels-last."""
        x = check_images(x, "AdaptiveMaxPool2d")
        if ctx is None:
            return adaptive_max_pool2d(x, self.output_size)
        y, ctx.codes = adaptive_max_pool2d(x, self.output_size, return_codes=True)
        ctx.input_shape = x.shape
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Send each number of ``dy`` (n, c, oh, ow) to the place of its maximum; returns dx (n, c, h, w)."""
        return adaptive_max_pool2d_backward(dy, ctx.codes, ctx.input_shape) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> ``(c, *output_size)``."""
        c, _, _ = check_image_shape(input_shape, "AdaptiveMaxPool2d")
        return c, *self.output_size

    def window(self, input_shape: Shape) -> Window:
        """The windows that cover the map."""
        return covering((input_shape[1], input_shape[2]), self.output_size)

    def _settings(self) -> str:
        return f"{shortest(self.output_size)}"
