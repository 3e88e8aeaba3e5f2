"""Convolution and its transpose."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from convnet.context import Context
from convnet.errors import SettingError
from convnet.functional import conv2d, conv2d_backward, conv_transpose2d, conv_transpose2d_backward
from convnet.initializers import he_normal, zeros
from convnet.layers._checks import check_image_shape, check_images, float_dtype
from convnet.layers._geometry import brief, canonical_padding
from convnet.layers._layer import Layer, Shape
from convnet.parameter import Parameter
from convnet.settings import Seed, generator, integer
from convnet.shapes import IntPair, Padding, conv2d_output_size, conv2d_padding, pair
from convnet.upsampling import conv_transpose2d_output_size
from convnet.windows import Window, dilated, sliding, spreading

__all__ = ["Conv2d", "ConvTranspose2d"]


class Conv2d(Layer):
    """Cross-correlation of images with learned filters, as every deep-learning library calls convolution.

    ``y[n, o, i, j] = bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, c, i * s + u * d, j * s + v * d]`` with
    stride s and dilation d, where ``x`` is zero in the padding and, with groups, ``c`` runs over the channels of the
    group of ``o`` only.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of ``x`` and ``y``.
    kernel_size, stride, dilation : int or pair of int
        One number for both axes or (vertical, horizontal).
    padding : int, pair, "same", "valid" or ((top, bottom), (left, right))
        Zeros around the map; "same" gives outputs of size ``ceil(size / stride)``.
    groups : int
        Independent blocks of channels; ``groups=in_channels`` is a depthwise convolution.
    bias : bool
        Whether to add one number an output channel.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from: `he_normal` (arXiv:1502.01852), made for the rectifier that usually
        follows; biases start at zero.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, kh, kw)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    SettingError
        If a setting is out of range, or ``groups`` does not divide both channel counts.

    Notes
    -----
    Saved for backward: ``x`` itself, no copy. Cost: ``out_channels * oh * ow * in_channels / groups * kh * kw``
    multiply-adds an image forwards, twice that backwards (once without the input's gradient).

    Examples
    --------
    >>> layer = Conv2d(3, 6, kernel_size=3, rng=0)
    >>> layer.output_shape((3, 144, 144))
    (6, 142, 142)
    >>> sum(p.size for p in layer.parameters())
    168
    >>> Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
    Conv2d(8, 8, kernel_size=3, padding='same', groups=8, bias=False)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_channels = integer(in_channels, "Conv2d in_channels")
        self.out_channels = integer(out_channels, "Conv2d out_channels")
        self.kernel_size = pair(kernel_size, "Conv2d kernel_size")
        self.stride = pair(stride, "Conv2d stride")
        self.padding = canonical_padding(padding, "Conv2d")
        self.dilation = pair(dilation, "Conv2d dilation")
        self.groups = integer(groups, "Conv2d groups")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise SettingError(
                f"Conv2d groups: expected a divisor of in_channels={in_channels} and out_channels={out_channels}, "
                f"got {groups}"
            )
        kind = float_dtype(dtype, "Conv2d")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(he_normal(shape, generator(rng, "Conv2d"), kind))
        self.bias = Parameter(zeros((self.out_channels,), kind)) if bias else None

    @property
    def _geometry(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Convolve ``x`` (n, in_channels, h, w); returns (n, out_channels, oh, ow), in memory channels-last."""
        x = check_images(x, "Conv2d", self.in_channels, self.weight.dtype)
        if ctx is not None:
            ctx.x = x
        bias = None if self.bias is None else self.bias.value
        return conv2d(x, self.weight.value, bias, **self._geometry)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into ``weight.grad`` and ``bias.grad``; return dx (n, in_channels, h, w), or None if nobody wants it."""
        w, dw = self.weight.value, self.weight.grad
        db = False if self.bias is None else self.bias.grad
        dx, _, _ = conv2d_backward(dy, ctx.x, w, dx=ctx.wants_dx, dw=dw, db=db, **self._geometry)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_channels, h, w) -> (out_channels, oh, ow), see `conv2d_output_size`."""
        _, h, w = check_image_shape(input_shape, "Conv2d", self.in_channels)
        size = conv2d_output_size((h, w), self.kernel_size, self.stride, self.padding, self.dilation)
        return self.out_channels, *size

    def multiply_adds(self, input_shape: Shape) -> int:
        """``oh * ow`` times the number of weights."""
        _, oh, ow = self.output_shape(input_shape)
        return oh * ow * self.weight.size

    def window(self, input_shape: Shape) -> Window:
        """The dilated kernel, moved by the stride."""
        _, h, w = input_shape
        (top, _), (left, _) = conv2d_padding(self.padding, (h, w), self.kernel_size, self.stride, self.dilation)
        return sliding(dilated(self.kernel_size, self.dilation), self.stride, (top, left))

    def _settings(self) -> str:
        return brief(
            f"{self.in_channels}, {self.out_channels}",
            {"kernel_size": self.kernel_size, **self._geometry, "bias": self.bias is not None},
            {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "bias": True},
        )


class ConvTranspose2d(Layer):
    """Transposed convolution: each pixel spread over a window of a map that is larger by the stride.

    ``y[n, o, p * s + u * d, q * s + v * d]`` is ``bias[o]`` plus the sum of ``x[n, c, p, q] * weight[c, o, u, v]`` over
    all that lead there, without ``padding`` pixels at each side: what the gradient of a `Conv2d` with respect to its
    input is. Zeiler, Krishnan, Taylor and Fergus 2010, Deconvolutional networks (CVPR); Dumoulin and Visin 2016,
    arXiv:1603.07285, chapter 4.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of ``x`` and ``y``.
    kernel_size, stride, dilation : int or pair of int
        One number for both axes or (vertical, horizontal).
    padding : int or pair of int
        Pixels that the output lacks at each side.
    output_padding : int or pair of int
        Pixels more at the bottom and the right, less than the stride or the dilation: a convolution with a stride makes
        the same of several sizes.
    groups : int
        Independent blocks of channels.
    bias : bool
        Whether to add one number an output channel.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from: normal, with a variance of 2 over the number of products in an output
        (arXiv:1502.01852); biases start at zero.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, kh, kw)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    SettingError
        If a setting is out of range, or ``groups`` does not divide both channel counts.

    Notes
    -----
    Saved for backward: ``x`` itself, no copy. Cost: ``in_channels * h * w * out_channels / groups * kh * kw``
    multiply-adds an image forwards, twice that backwards.

    Examples
    --------
    >>> ConvTranspose2d(8, 4, kernel_size=2, stride=2, rng=0).output_shape((8, 7, 7))
    (4, 14, 14)
    >>> ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
    ConvTranspose2d(8, 4, kernel_size=3, stride=2, padding=1, output_padding=1)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        output_padding: IntPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntPair = 1,
        *,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_channels = integer(in_channels, "ConvTranspose2d in_channels")
        self.out_channels = integer(out_channels, "ConvTranspose2d out_channels")
        self.kernel_size = pair(kernel_size, "ConvTranspose2d kernel_size")
        self.stride = pair(stride, "ConvTranspose2d stride")
        self.padding = pair(padding, "ConvTranspose2d padding", least=0)
        self.output_padding = pair(output_padding, "ConvTranspose2d output_padding", least=0)
        self.dilation = pair(dilation, "ConvTranspose2d dilation")
        self.groups = integer(groups, "ConvTranspose2d groups")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise SettingError(
                f"ConvTranspose2d groups: expected a divisor of in_channels={in_channels} and "
                f"out_channels={out_channels}, got {groups}"
            )
        if any(p >= max(sizes) for p, *sizes in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise SettingError(
                f"ConvTranspose2d output_padding: expected less than stride={self.stride} or dilation={self.dilation}, "
                f"got {self.output_padding}"
            )
        kind = float_dtype(dtype, "ConvTranspose2d")
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(he_normal(shape, generator(rng, "ConvTranspose2d"), kind))
        self.weight.value *= math.sqrt(self.out_channels * math.prod(self.stride) / self.in_channels)
        self.bias = Parameter(zeros((self.out_channels,), kind)) if bias else None

    @property
    def _geometry(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "groups": self.groups,
            "dilation": self.dilation,
        }

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Spread ``x`` (n, in_channels, h, w); returns (n, out_channels, oh, ow), in memory channels-last."""
        x = check_images(x, "ConvTranspose2d", self.in_channels, self.weight.dtype)
        if ctx is not None:
            ctx.x = x
        bias = None if self.bias is None else self.bias.value
        return conv_transpose2d(x, self.weight.value, bias, **self._geometry)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into ``weight.grad`` and ``bias.grad``; return dx (n, in_channels, h, w), or None if nobody wants it."""
        w, dw = self.weight.value, self.weight.grad
        db = False if self.bias is None else self.bias.grad
        dx, _, _ = conv_transpose2d_backward(dy, ctx.x, w, dx=ctx.wants_dx, dw=dw, db=db, **self._geometry)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_channels, h, w) -> (out_channels, oh, ow), see `conv_transpose2d_output_size`."""
        _, h, w = check_image_shape(input_shape, "ConvTranspose2d", self.in_channels)
        sizes = self.stride, self.padding, self.output_padding, self.dilation
        return self.out_channels, *conv_transpose2d_output_size((h, w), self.kernel_size, *sizes)

    def multiply_adds(self, input_shape: Shape) -> int:
        """``h * w`` times the number of weights."""
        _, h, w = check_image_shape(input_shape, "ConvTranspose2d", self.in_channels)
        return h * w * self.weight.size

    def window(self, input_shape: Shape) -> Window:
        """The pixels spread over one of the output."""
        return spreading(self.kernel_size, self.stride, self.padding, self.dilation)

    def _settings(self) -> str:
        return brief(
            f"{self.in_channels}, {self.out_channels}",
            {"kernel_size": self.kernel_size, **self._geometry, "bias": self.bias is not None},
            {
                "stride": (1, 1),
                "padding": (0, 0),
                "output_padding": (0, 0),
                "dilation": (1, 1),
                "groups": 1,
                "bias": True,
            },
        )
