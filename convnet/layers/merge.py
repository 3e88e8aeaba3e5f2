"""Layers that make one array of several: the joints of `Parallel` and `Graph`."""

# Merges take and return tuples where other layers take and return one array.
# mypy: disable-error-code="override"

from __future__ import annotations

import functools
import itertools
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from convnet.context import Context
from convnet.functional import add, concat, multiply, multiply_backward
from convnet.layers._checks import as_array, check_dtype
from convnet.layers._layer import Layer, Shape
from convnet.shapes import concat_shape, gated_shape, one_shape

__all__ = ["Add", "Concat", "Gradients", "Merge", "Multiply", "merged"]

Gradients = tuple[np.ndarray | None, ...]


def merged(xs: Sequence[np.ndarray], who: str) -> tuple[np.ndarray, ...]:
    """Return what a merge was given as arrays, which must have one dtype."""
    arrays = tuple(map(as_array, xs))
    for x in arrays:
        check_dtype(x, who)
        check_dtype(x, who, arrays[0].dtype)
    return arrays


class Merge(Layer):
    """A layer of several inputs; it takes a sequence of arrays and gives back a gradient for each.

    `output_shape` and `multiply_adds` take a sequence of shapes.
    """

    @abstractmethod
    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Return the output for the batches ``xs``."""

    @abstractmethod
    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Return the gradient with respect to each of ``xs``; they may be None where ``ctx.wants_dx`` is False."""

    @abstractmethod
    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return the shape of one output for one input of each of ``input_shapes``, all without the batch."""

    def __call__(self, xs: Sequence[np.ndarray]) -> np.ndarray:
        """Inference: ``forward(xs)``."""
        return self.forward(xs)


class Add(Merge):
    """``y = xs[0] + xs[1] + ...``, arrays of one shape.

    The joint of a residual connection: He et al. 2015, arXiv:1512.03385.

    Notes
    -----
    Saved for backward: the number of inputs. The gradients are ``dy`` itself, no copies.

    Examples
    --------
    >>> Add()([np.ones((1, 2)), np.ones((1, 2))])
    array([[2., 2.]])
    """

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Add ``xs``; returns an array of their shape."""
        arrays = merged(xs, "Add")
        one_shape([x.shape for x in arrays], "Add")
        if ctx is not None:
            ctx.count = len(arrays)
        return functools.reduce(add, arrays)

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Return ``dy`` for each input."""
        return (dy,) * int(ctx.count)

    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The shape of each input."""
        return one_shape(input_shapes, "Add")


class Concat(Merge):
    """The channels of ``xs[0]``, then those of ``xs[1]``, ...: images of one size, or rows.

    The joint of an Inception module: Szegedy et al. 2014, arXiv:1409.4842.

    Notes
    -----
    Saved for backward: the numbers of channels. Cost: one copy forwards; the gradients are parts of ``dy``, no copies.

    Examples
    --------
    >>> Concat().output_shape([(16, 7, 7), (8, 7, 7)])
    (24, 7, 7)
    """

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Join ``xs`` (n, c_i, h, w) to (n, c_0 + c_1 + ..., h, w), in memory channels-last; or rows likewise."""
        arrays = merged(xs, "Concat")
        concat_shape([x.shape for x in arrays], "Concat", axis=1)
        if ctx is not None:
            ctx.ends = list(itertools.accumulate(x.shape[1] for x in arrays))
        return concat(arrays)

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Return the channels of ``dy`` that belong to each input."""
        return tuple(dy[:, begin:end] for begin, end in zip([0, *ctx.ends], ctx.ends, strict=False))

    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """(c_i, h, w) -> (c_0 + c_1 + ..., h, w)."""
        return concat_shape(input_shapes, "Concat", axis=0)


class Multiply(Merge):
    """``y = xs[0] * xs[1] * ...``, images of one shape or gates (n, c, 1, 1), each of which serves a whole channel.

    The joint of a squeeze-and-excitation block: Hu et al. 2017, arXiv:1709.01507.

    Notes
    -----
    Saved for backward: ``xs`` themselves, no copies.

    Examples
    --------
    >>> Multiply().output_shape([(16, 7, 7), (16, 1, 1)])
    (16, 7, 7)
    """

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Multiply ``xs``; returns an array of the shape of the largest."""
        arrays = merged(xs, "Multiply")
        gated_shape([x.shape for x in arrays], "Multiply", axis=2)
        if ctx is not None:
            ctx.xs = arrays
        return multiply(arrays)

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Return ``dy`` times the other inputs, summed over each channel for a gate."""
        if not ctx.wants_dx:
            return (None,) * len(ctx.xs)
        return multiply_backward(dy, ctx.xs)

    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The shape of the largest input."""
        return gated_shape(input_shapes, "Multiply", axis=1)
