"""Layers that do the work of two or three in one pass over memory; `convnet.fuse` puts them in."""

# Merges take and return tuples where other layers take and return one array.
# mypy: disable-error-code="override"

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError
from convnet.functional import (
    add,
    add_relu,
    conv2d_relu,
    conv2d_relu_backward,
    dense,
    dense_backward,
    relu,
    relu_backward,
)
from convnet.layers._checks import check_features, check_images
from convnet.layers._layer import Layer, Shape
from convnet.layers.conv import Conv2d
from convnet.layers.dense import Dense
from convnet.layers.merge import Gradients, Merge, merged
from convnet.layers.norm import BatchNorm2d
from convnet.layers.pool import MaxPool2d
from convnet.settings import real
from convnet.shapes import one_shape
from convnet.windows import Window

__all__ = ["AddReLU", "BatchNormAddReLU", "BatchNormReLU", "ConvReLU", "DenseReLU", "lies_side_by_side"]


def lies_side_by_side(pool: MaxPool2d) -> bool:
    """Whether the windows neither overlap nor leave gaps, and are small enough for codes of one byte."""
    small = 1 < pool.kernel_size[0] * pool.kernel_size[1] <= 255
    plain = pool.padding == (0, 0) and pool.dilation == (1, 1) and not pool.ceil_mode
    return small and plain and pool.stride == pool.kernel_size


class ConvReLU(Layer):
    """``conv``, ReLU and, if given, ``pool``: the same numbers, without the maps in between.

    Parameters
    ----------
    conv : Conv2d
        Its parameters are shared, not copied.
    pool : MaxPool2d, optional
        Windows side by side: stride equal to the kernel size, no padding, dilation or ceil mode.

    Raises
    ------
    SettingError
        If the windows of ``pool`` do not lie side by side.

    Notes
    -----
    Saved for backward: ``x`` and, with ``pool``, one byte an output, else the output. Same cost as ``conv``, less the
    traffic of two maps.

    Examples
    --------
    >>> layer = ConvReLU(Conv2d(1, 8, 3, padding=1, rng=0), MaxPool2d(2))
    >>> layer.output_shape((1, 28, 28))
    (8, 14, 14)
    >>> layer
    ConvReLU(
      (conv): Conv2d(1, 8, kernel_size=3, padding=1)
      (pool): MaxPool2d(kernel_size=2)
    )
    """

    def __init__(self, conv: Conv2d, pool: MaxPool2d | None = None) -> None:
        if pool is not None and not lies_side_by_side(pool):
            raise SettingError(f"ConvReLU pool: expected windows that lie side by side, got {pool!r}")
        self.conv, self.pool = conv, pool
        self._windows = None if pool is None else pool.kernel_size

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Convolve ``x`` (n, c, h, w), rectify and pool; returns (n, out_channels, oh, ow), in memory channels-last."""
        conv = self.conv
        x = check_images(x, "Conv2d", conv.in_channels, conv.weight.dtype)
        w, b = conv.weight.value, None if conv.bias is None else conv.bias.value
        y: np.ndarray
        if ctx is None:
            y = conv2d_relu(x, w, b, pool=self._windows, **conv._geometry)
        elif self._windows is None:
            ctx.x = x
            y = ctx.saved = conv2d_relu(x, w, b, **conv._geometry)
        else:
            ctx.x = x
            y, ctx.saved = conv2d_relu(x, w, b, pool=self._windows, return_codes=True, **conv._geometry)
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of ``conv``; return dx (n, c, h, w), or None if nobody wants it."""
        w, b = self.conv.weight, self.conv.bias
        dx, _, _ = conv2d_relu_backward(
            dy,
            ctx.saved,
            ctx.x,
            w.value,
            pool=self._windows,
            dx=ctx.wants_dx,
            dw=w.grad,
            db=False if b is None else b.grad,
            **self.conv._geometry,
        )
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of ``pool`` after ``conv``."""
        shape = self.conv.output_shape(input_shape)
        return shape if self.pool is None else self.pool.output_shape(shape)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Those of ``conv``."""
        return self.conv.multiply_adds(input_shape)

    def window(self, input_shape: Shape) -> Window:
        """That of ``pool`` after ``conv``."""
        window = self.conv.window(input_shape)
        return window if self.pool is None else window.then(self.pool.window(self.conv.output_shape(input_shape)))

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield ``conv`` and, if there is one, ``pool``."""
        yield "conv", self.conv
        if self.pool is not None:
            yield "pool", self.pool


class DenseReLU(Layer):
    """``dense`` and ReLU: the same numbers, in one pass.

    Parameters
    ----------
    dense : Dense
        Its parameters are shared, not copied.

    Notes
    -----
    Saved for backward: ``x`` and the output.

    Examples
    --------
    >>> DenseReLU(Dense(4, 2, rng=0))(np.ones((1, 4), np.float32)).shape
    (1, 2)
    """

    def __init__(self, dense: Dense) -> None:
        self.dense = dense

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Map ``x`` (n, in_features) to (n, out_features), rectified."""
        layer = self.dense
        x = check_features(x, "Dense", layer.in_features, layer.weight.dtype)
        y = dense(x, layer.weight.value, None if layer.bias is None else layer.bias.value, relu=True)
        if ctx is not None:
            ctx.x, ctx.y = x, y
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of ``dense``; return dx (n, in_features), or None if nobody wants it."""
        w, b = self.dense.weight, self.dense.bias
        db = False if b is None else b.grad
        dx, _, _ = dense_backward(dy, ctx.x, w.value, relu_output=ctx.y, dx=ctx.wants_dx, dw=w.grad, db=db)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_features,) -> (out_features,)."""
        return self.dense.output_shape(input_shape)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Those of ``dense``."""
        return self.dense.multiply_adds(input_shape)


class BatchNormReLU(Layer):
    """``norm``, ReLU or ReLU6 and, if given, ``pool``: the same numbers, in one pass.

    Parameters
    ----------
    norm : BatchNorm2d
        Its parameters and running averages are shared, not copied: training this layer moves them.
    pool : MaxPool2d, optional
        Windows side by side: stride equal to the kernel size, no padding, dilation or ceil mode.
    ceiling : float, optional
        Where the rectifier ends: 6 makes it a ReLU6. Not with ``pool``.

    Raises
    ------
    SettingError
        If the windows of ``pool`` do not lie side by side, or ``ceiling`` is not a finite number of at least 0.

    Notes
    -----
    Saved for backward: what ``norm`` saves and, with ``pool``, one byte an output; without it what was rectified
    follows from ``x``. Same cost as ``norm``, with ``pool`` less the traffic of four maps.

    Examples
    --------
    >>> BatchNormReLU(BatchNorm2d(1, eps=0))(np.array([-1, 1], np.float32).reshape(1, 1, 1, 2))
    array([[[[0., 1.]]]], dtype=float32)
    """

    def __init__(self, norm: BatchNorm2d, pool: MaxPool2d | None = None, *, ceiling: float | None = None) -> None:
        if pool is not None and not lies_side_by_side(pool):
            raise SettingError(f"BatchNormReLU pool: expected windows that lie side by side, got {pool!r}")
        if pool is not None and ceiling is not None:
            raise SettingError(f"BatchNormReLU ceiling: expected None with a pool, got {ceiling!r}")
        self.norm, self.pool = norm, pool
        self.ceiling = None if ceiling is None else real(ceiling, "BatchNormReLU ceiling")

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Normalise ``x`` (n, c, h, w), rectify and pool; returns (n, c, oh, ow), in memory channels-last."""
        if self.pool is not None:
            return self.norm._normalize_pool(x, ctx, self.pool.kernel_size)
        return self.norm._normalize(x, ctx, relu=True, ceiling=self.ceiling)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of ``norm``; return dx (n, c, h, w), or None if nobody wants it."""
        if self.pool is not None:
            return self.norm._pool_backward(dy, ctx, self.pool.kernel_size)
        dx, _ = self.norm._normalize_backward(dy, ctx, relu=True, ceiling=self.ceiling)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of ``pool`` after ``norm``."""
        shape = self.norm.output_shape(input_shape)
        return shape if self.pool is None else self.pool.output_shape(shape)

    def check_training(self, images: int, input_shape: Shape) -> None:
        """That of ``norm``."""
        self.norm.check_training(images, input_shape)

    def _settings(self) -> str:
        return "" if self.ceiling is None else f"ceiling={self.ceiling:g}"


class AddReLU(Merge):
    """``relu(xs[0] + xs[1] + ...)``: the same numbers as `Add` and ReLU give, in one pass over memory for two arrays.

    Notes
    -----
    Saved for backward: the output. One gradient serves all inputs.

    Examples
    --------
    >>> AddReLU()([np.array([[-2.0, 1.0]]), np.array([[1.0, 1.0]])])
    array([[0., 2.]])
    """

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Add and rectify ``xs``; returns an array of their shape."""
        arrays = merged(xs, "Add")
        one_shape([x.shape for x in arrays], "Add")
        *rest, last = arrays
        y = add_relu(functools.reduce(add, rest), last) if rest else relu(last)
        if ctx is not None:
            ctx.y, ctx.count = y, len(arrays)
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Return ``dy`` where ``y > 0``, else 0, for each input."""
        return (relu_backward(dy, ctx.y) if ctx.wants_dx else None,) * int(ctx.count)

    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The shape of each input."""
        return one_shape(input_shapes, "Add")


class BatchNormAddReLU(Merge):
    """``relu(norm(xs[0]) + xs[1])``: the end of a residual block, in one pass.

    Parameters
    ----------
    norm : BatchNorm2d
        Its parameters and running averages are shared, not copied: training this layer moves them.

    Notes
    -----
    Saved for backward: what ``norm`` saves, and the output. Same cost as ``norm`` and one pass over ``xs[1]``.

    Examples
    --------
    >>> x = np.array([-1, 1], np.float32).reshape(1, 1, 1, 2)
    >>> BatchNormAddReLU(BatchNorm2d(1, eps=0))([x, 3 * x])
    array([[[[0., 4.]]]], dtype=float32)
    """

    def __init__(self, norm: BatchNorm2d) -> None:
        self.norm = norm

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        """Normalise, add and rectify two arrays (n, c, h, w); returns (n, c, h, w), in memory channels-last."""
        x, added = merged(xs, "Add")
        one_shape([x.shape, added.shape], "Add")
        y = self.norm._normalize(x, ctx, relu=True, add=added)
        if ctx is not None:
            ctx.y = y
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        """Add into the gradients of ``norm``; return the gradients of both arrays."""
        return self.norm._normalize_backward(dy, ctx, relu=True, output=ctx.y)

    def output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The shape of both inputs."""
        return one_shape([self.norm.output_shape(input_shapes[0]), *input_shapes[1:]], "Add")

    def check_training(self, images: int, input_shapes: Sequence[Shape]) -> None:
        """That of ``norm``."""
        self.norm.check_training(images, input_shapes[0])
