"""Layers that networks in files have and that no network of our own needs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from convnet.context import Context
from convnet.errors import ShapeError
from convnet.layers import BatchNorm2d, Conv2d, Layer, ReLU6, Sequential
from convnet.layers._layer import Shape
from convnet.parameter import Parameter

__all__ = ["Affine", "Clip", "Margin", "Part", "Permute", "Reshape", "Shuffle"]


class Affine(Layer):
    """``y = x * weight + bias``, a number a channel or one for all: images (n, c, h, w), rows (n, c).

    Parameters
    ----------
    weight, bias : array of shape (c,), or float
        Arrays are trained, single numbers are not.

    Notes
    -----
    Saved for backward: ``x``, if there is an array ``weight``.
    """

    def __init__(self, weight: np.ndarray | float = 1.0, bias: np.ndarray | float = 0.0) -> None:
        self.weight, self.bias = (Parameter(v) if isinstance(v, np.ndarray) else float(v) for v in (weight, bias))

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Scale and shift each channel."""
        self.output_shape(x.shape[1:])
        if ctx is not None:
            ctx.x = x if isinstance(self.weight, Parameter) else None
        y = x if self.weight == 1.0 else x * _along(self.weight, x)
        return y if self.bias == 0.0 else y + _along(self.bias, x)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add to the gradients of both; return that of ``x``."""
        axes = (0, *range(2, dy.ndim))
        if isinstance(self.bias, Parameter):
            self.bias.grad += dy.sum(axis=axes)
        if isinstance(self.weight, Parameter):
            self.weight.grad += (dy * ctx.x).sum(axis=axes)
        return dy * _along(self.weight, dy) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        for each in (self.weight, self.bias):
            if isinstance(each, Parameter) and each.value.shape != tuple(input_shape[:1]):
                raise ShapeError(f"Affine: expected {len(each.value)} channels, got an input of {tuple(input_shape)}")
        return tuple(input_shape)

    def inference_form(self, input_shape: Shape) -> Layer | None:
        """For images a batch normalisation with mean 0 and deviation 1, which folds into what is before it."""
        if len(input_shape) != 3:
            return None
        scale, shift = (each.value if isinstance(each, Parameter) else each for each in (self.weight, self.bias))
        dtype = next((each.dtype for each in (self.weight, self.bias) if isinstance(each, Parameter)), np.float64)
        norm = BatchNorm2d(input_shape[0], eps=0.0, dtype=dtype)
        assert norm.weight is not None
        assert norm.bias is not None
        norm.weight.value[...] = scale
        norm.bias.value[...] = shift
        return norm

    def _settings(self) -> str:
        kinds = ("a channel" if isinstance(each, Parameter) else each for each in (self.weight, self.bias))
        return "weight={}, bias={}".format(*kinds)


def _along(values: Parameter | float, x: np.ndarray) -> Any:
    """What broadcasts along the channels of ``x``."""
    return values.value.reshape(-1, *[1] * (x.ndim - 2)) if isinstance(values, Parameter) else x.dtype.type(values)


class Clip(Layer):
    """``y = min(max(x, low), high)``, of any shape.

    Notes
    -----
    Saved for backward: where ``x`` lies between.
    """

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        self.low, self.high = low, high

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Cut off."""
        if ctx is not None:
            ctx.inside = (x > self.low) & (x < self.high)
        y: np.ndarray = np.clip(x, x.dtype.type(self.low), x.dtype.type(self.high))
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Pass on the gradient of what lies between."""
        return dy * ctx.inside if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        return tuple(input_shape)

    def inference_form(self, input_shape: Shape) -> Layer | None:
        """For images, between two bounds, a rectifier that saturates, with the numbers moved there and back."""
        if len(input_shape) != 3 or not 0 < self.high - self.low < math.inf:
            return None
        slope = 6 / (self.high - self.low)
        return Sequential(Affine(slope, -slope * self.low), ReLU6(), Affine(1 / slope, self.low))

    def _settings(self) -> str:
        return f"{self.low}, {self.high}"


class Reshape(Layer):
    """The same numbers in another shape, the batch apart.

    Notes
    -----
    Saved for backward: the shape of ``x``.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """(n, ...) -> (n, *shape)."""
        self.output_shape(x.shape[1:])
        if ctx is not None:
            ctx.shape = x.shape
        return np.ascontiguousarray(x).reshape(len(x), *self.shape)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Back to the shape of ``x``."""
        return np.ascontiguousarray(dy).reshape(ctx.shape) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """``shape``."""
        if math.prod(input_shape) != math.prod(self.shape):
            raise ShapeError(f"Reshape: expected {math.prod(self.shape)} numbers an image, got {input_shape}")
        return self.shape

    def _settings(self) -> str:
        return str(self.shape)


class Permute(Layer):
    """The axes in another order, the batch stays the first.

    Parameters
    ----------
    axes : sequence of int
        Which axis of ``x`` comes where, counted with the batch, which is 0.
    """

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = tuple(axes)

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return a view."""
        self.output_shape(x.shape[1:])
        return x.transpose(self.axes)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Put them back."""
        return dy.transpose(np.argsort(self.axes))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The sizes in that order."""
        if len(input_shape) + 1 != len(self.axes):
            raise ShapeError(f"Permute: expected {len(self.axes) - 1} axes an image, got {input_shape}")
        return tuple(input_shape[axis - 1] for axis in self.axes[1:])

    def _settings(self) -> str:
        return str(self.axes)


class Margin(Layer):
    """The same number around maps, in each axis.

    Parameters
    ----------
    sides : ((before, after), ...)
        For channels, rows and columns.
    value : float

    Notes
    -----
    Saved for backward: nothing.
    """

    def __init__(self, sides: Sequence[tuple[int, int]], value: float) -> None:
        self.sides, self.value = tuple(sides), value

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Write the number around."""
        self.output_shape(x.shape[1:])
        return np.pad(x, ((0, 0), *self.sides), constant_values=self.value)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """What is inside."""
        ends = (size - after for size, (_, after) in zip(dy.shape[1:], self.sides, strict=True))
        return dy[(slice(None), *(slice(side[0], end) for side, end in zip(self.sides, ends, strict=True)))]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The sizes with what is around."""
        if len(input_shape) != len(self.sides):
            raise ShapeError(f"Margin: expected {len(self.sides)} axes an image, got {input_shape}")
        return tuple(size + sum(side) for size, side in zip(input_shape, self.sides, strict=True))

    def _settings(self) -> str:
        return f"{self.sides}, {self.value}"


class Shuffle(Layer):
    """Channels in another order: the first of each group, then the second of each (ShuffleNet, arXiv:1707.01083).

    Parameters
    ----------
    groups : int
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def _order(self, channels: int) -> np.ndarray:
        return np.arange(channels).reshape(self.groups, -1).T.ravel()

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Put the channels in order."""
        self.output_shape(x.shape[1:])
        return x[:, self._order(x.shape[1])]

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Put them back."""
        return dy[:, np.argsort(self._order(dy.shape[1]))]

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        if len(input_shape) != 3 or input_shape[0] % self.groups:
            raise ShapeError(f"Shuffle: expected channels in {self.groups} groups, got {tuple(input_shape)}")
        return tuple(input_shape)

    def inference_form(self, input_shape: Shape) -> Layer | None:
        """A convolution with filters of one pixel that hand the channels on."""
        return _handed_on(self._order(input_shape[0]), input_shape[0])

    def _settings(self) -> str:
        return str(self.groups)


def _handed_on(order: np.ndarray, channels: int) -> Conv2d:
    conv = Conv2d(channels, len(order), 1, bias=False, rng=0)
    conv.weight.value[...] = np.eye(channels, dtype=np.float32)[order, :, np.newaxis, np.newaxis]
    return conv


class Part(Layer):
    """Some channels, rows or columns.

    Parameters
    ----------
    ranges : sequence of (first, last)
        For each axis but the batch, as in slices; None for all of it.

    Notes
    -----
    Saved for backward: the shape of ``x``.
    """

    def __init__(self, ranges: Sequence[tuple[int | None, int | None]]) -> None:
        self.ranges = tuple(ranges)
        self._cut = (slice(None), *(slice(first, last) for first, last in self.ranges))

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return a view."""
        self.output_shape(x.shape[1:])
        if ctx is not None:
            ctx.shape = x.shape
        return x[self._cut]

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Zeros around ``dy``."""
        if not ctx.wants_dx:
            return None
        dx = np.zeros(ctx.shape, dy.dtype)
        dx[self._cut] = dy
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """The sizes of what is cut out."""
        if len(input_shape) != len(self.ranges):
            raise ShapeError(f"Part: expected {len(self.ranges)} axes an image, got {input_shape}")
        cuts = zip(input_shape, self._cut[1:], strict=True)
        return tuple(len(range(size)[cut]) for size, cut in cuts)

    def inference_form(self, input_shape: Shape) -> Layer | None:
        """For channels of images a convolution with filters of one pixel that hands them on."""
        if len(input_shape) != 3 or self.output_shape(input_shape)[1:] != tuple(input_shape[1:]):
            return None
        return _handed_on(np.arange(input_shape[0])[self._cut[1]], input_shape[0])

    def _settings(self) -> str:
        return ", ".join("all" if part == (None, None) else f"{part[0] or 0}:{part[1]}" for part in self.ranges)
