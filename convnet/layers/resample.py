"""Layers that change the size of maps without weights: padding and interpolation."""

from fractions import Fraction
from typing import Any, Literal

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError
from convnet.functional import pad2d, pad2d_backward, upsample2d, upsample2d_backward
from convnet.layers._checks import check_image_shape, check_images
from convnet.layers._geometry import brief
from convnet.layers._layer import Layer, Shape
from convnet.shapes import IntPair, Padding, conv2d_padding, pair
from convnet.upsampling import pad2d_output_size, upsample2d_output_size
from convnet.windows import Window, interpolating, sliding

__all__ = ["Pad2d", "Upsample2d"]


class Pad2d(Layer):
    """Pixels around maps: zeros, the map mirrored at its outermost pixels, or these repeated.

    `Conv2d` and pooling pad with zeros themselves, for nothing; this is for the other two, which leave no dark frame.

    ``y[n, c, i, j] = x[n, c, p(i - top, h), p(j - left, w)]``, with ``p(i, h)`` the place itself inside the map;
    outside, "replicate" has the nearest place, "reflect" ``-i`` before it and ``2 (h - 1) - i`` behind it; "zeros" has
    y = 0 there.

    Parameters
    ----------
    padding : int, pair or ((top, bottom), (left, right))
        How many.
    mode : {"zeros", "reflect", "replicate"}

    Raises
    ------
    SettingError
        If a setting is none of these.

    Notes
    -----
    Saved for backward: the size of the map. Cost: one copy.

    Examples
    --------
    >>> Pad2d(((0, 0), (2, 1)), "reflect")(np.array([1.0, 2, 3]).reshape(1, 1, 1, 3))[0, 0]
    array([[3., 2., 1., 2., 3., 2.]])
    >>> Pad2d(1)
    Pad2d(padding=1)
    """

    def __init__(self, padding: Padding, mode: Literal["zeros", "reflect", "replicate"] = "zeros") -> None:
        pad2d_output_size((2**31, 2**31), padding, mode, "Pad2d")
        self.padding = conv2d_padding(padding, (1, 1), 1, who="Pad2d")
        self.mode = mode

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x`` (n, c, h, w) with its frame, in memory channels-last."""
        x = check_images(x, "Pad2d")
        if ctx is not None:
            ctx.size = x.shape[2:]
        return pad2d(x, self.padding, mode=self.mode)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return for each pixel the sum over those that were made of it."""
        return pad2d_backward(dy, ctx.size, self.padding, mode=self.mode) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (c, top + h + bottom, left + w + right)."""
        c, h, w = check_image_shape(input_shape, "Pad2d")
        return c, *pad2d_output_size((h, w), self.padding, self.mode, "Pad2d")

    def window(self, input_shape: Shape) -> Window:
        """The pixel in its place, as in the middle of the map."""
        (top, _), (left, _) = self.padding
        return sliding((1, 1), before=(top, left))

    def _settings(self) -> str:
        return brief("", {"padding": self.padding, "mode": self.mode}, {"mode": "zeros"})


class Upsample2d(Layer):
    """Maps of another size, by interpolation.

    "bilinear" mixes the four pixels around a position, "nearest" takes one; see `convnet.functional.upsample2d`.
    Followed by a convolution it makes larger maps without the checkerboard of a transposed one (Odena, Dumoulin and
    Olah 2016, doi:10.23915/distill.00003).

    Parameters
    ----------
    size : int or pair of int, optional
        Height and width of the result.
    scale_factor : float or pair of float, optional
        Instead: the result has ``floor(h * scale_factor)`` rows.
    mode : {"nearest", "bilinear"}
    align_corners : bool
        Whether the outermost pixels keep their places; only for "bilinear".

    Raises
    ------
    SettingError
        If a setting is none of these.

    Notes
    -----
    Saved for backward: the size of the map. Cost: two multiply-adds a pixel along each axis, in both directions.

    Examples
    --------
    >>> Upsample2d(scale_factor=2)(np.array([0.0, 4.0]).reshape(1, 1, 1, 2))[0, 0]
    array([[0., 0., 4., 4.],
           [0., 0., 4., 4.]])
    >>> Upsample2d(scale_factor=2, mode="bilinear").output_shape((3, 5, 6))
    (3, 10, 12)
    """

    def __init__(
        self,
        size: IntPair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: Literal["nearest", "bilinear"] = "nearest",
        align_corners: bool = False,
    ) -> None:
        upsample2d_output_size((2**31, 2**31), size, scale_factor, "Upsample2d")
        if mode not in ("nearest", "bilinear"):
            raise SettingError(f"Upsample2d mode: expected 'nearest' or 'bilinear', got {mode!r}")
        if align_corners and mode == "nearest":
            raise SettingError(f"Upsample2d align_corners: expected False for mode='nearest', got {align_corners!r}")
        self.size = None if size is None else pair(size, "Upsample2d size")
        self.scale_factor = scale_factor
        self.mode, self.align_corners = mode, bool(align_corners)

    @property
    def _interpolation(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "scale_factor": self.scale_factor,
            "mode": self.mode,
            "align_corners": self.align_corners,
        }

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Interpolate ``x`` (n, c, h, w), in memory channels-last."""
        x = check_images(x, "Upsample2d")
        if ctx is not None:
            ctx.size = x.shape[2:]
        return upsample2d(x, **self._interpolation)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return for each pixel the sum over those it went into, with the same weights."""
        return upsample2d_backward(dy, ctx.size, **self._interpolation) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c, h, w) -> (c, oh, ow)."""
        c, h, w = check_image_shape(input_shape, "Upsample2d")
        return c, *upsample2d_output_size((h, w), self.size, self.scale_factor, "Upsample2d")

    def window(self, input_shape: Shape) -> Window:
        """The pixels that one of the output is mixed from."""
        _, *sizes = self.output_shape(input_shape)
        factors = self.scale_factor if isinstance(self.scale_factor, tuple) else (self.scale_factor,) * 2
        along = (
            interpolating(self._ratio(length, out, factor), self.mode == "bilinear", self.align_corners)
            for length, out, factor in zip(input_shape[1:], sizes, factors, strict=True)
        )
        return Window(*along)

    def _ratio(self, length: int, out: int, factor: float | None) -> Fraction:
        """Pixels of the input a pixel of the output, as `convnet.functional.upsample2d` has it."""
        if self.align_corners:
            return Fraction(length - 1, max(out - 1, 1))
        return Fraction(length, out) if factor is None else 1 / Fraction(factor).limit_denominator(256)

    def _settings(self) -> str:
        defaults = {"size": None, "scale_factor": None, "mode": "nearest", "align_corners": False}
        return brief("", self._interpolation, defaults)
