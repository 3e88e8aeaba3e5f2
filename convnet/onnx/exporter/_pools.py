"""Pooling in operators of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from convnet.layers import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from convnet.onnx.exporter._draft import Draft, Value, Writer
from convnet.onnx.exporter._resample import padded
from convnet.shapes import pool2d_output_size

__all__ = ["adaptive", "avg_pool2d", "max_pool2d", "shares", "uneven_maxima", "uneven_means"]


def _ends(layer: MaxPool2d | AvgPool2d, x: Value, dilation: tuple[int, int]) -> list[int]:
    """Padding with which the windows fit exactly, so that nothing depends on how somebody rounds up."""
    geometry = layer.kernel_size, layer.stride, layer.padding, dilation
    counts = pool2d_output_size((x.shape[1], x.shape[2]), *geometry, layer.ceil_mode)
    return [
        max((count - 1) * s + d * (k - 1) + 1 - p - length, 0)
        for count, length, k, s, p, d in zip(counts, x.shape[1:], *geometry, strict=True)
    ]


def max_pool2d(draft: Draft, layer: MaxPool2d, x: Value) -> Value:
    """Padding as wide as the window, which a dilated one may have, is more than some runtimes take."""
    shape, pads = layer.output_shape(x.shape), [*layer.padding, *_ends(layer, x, layer.dilation)]
    if any(pad >= k for pad, k in zip(pads, layer.kernel_size * 2, strict=True)):
        x, pads = padded(draft, x, pads, value=-math.inf), [0] * 4
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
    return draft.emit("MaxPool", x, shape=shape, pads=pads, **settings)


def avg_pool2d(draft: Draft, layer: AvgPool2d, x: Value) -> Value:
    """What hangs over the edge never counts, zeros of the padding do if the layer says so."""
    shape, pads = layer.output_shape(x.shape), [*layer.padding, *_ends(layer, x, (1, 1))]
    if layer.count_include_pad:
        over = [max(end - p, 0) for end, p in zip(pads[2:], layer.padding, strict=True)]
        x, pads = padded(draft, x, layer.padding * 2) if any(layer.padding) else x, [0, 0, *over]
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    return draft.emit("AveragePool", x, shape=shape, pads=pads, count_include_pad=0, **settings)


def _windows(length: int, out: int) -> list[tuple[int, int]]:
    """Begin and end of the windows of an adaptive pooling along one axis."""
    return [(i * length // out, -(-(i + 1) * length // out)) for i in range(out)]


def adaptive(every: str, some: str, uneven: Callable[[Draft, Value, int, int], Value]) -> Writer:
    """Of an adaptive pooling: over whole maps, in windows side by side, or along one axis after the other."""

    def writer(draft: Draft, layer: AdaptiveAvgPool2d | AdaptiveMaxPool2d, x: Value) -> Value:
        shape, size = layer.output_shape(x.shape), x.shape[1:]
        if shape == x.shape:
            return x
        if shape[1:] == (1, 1):
            return draft.emit(every, x, shape=shape)
        if not any(length % out for length, out in zip(size, shape[1:], strict=True)):
            window = [length // out for length, out in zip(size, shape[1:], strict=True)]
            return draft.emit(some, x, shape=shape, kernel_shape=window, strides=window)
        for axis in (1, 2):
            if x.shape[axis] != shape[axis]:
                x = uneven(draft, x, axis, shape[axis])
        return x

    return writer


def shares(length: int, out: int) -> np.ndarray:
    """What each pixel gives to each mean of an adaptive pooling along one axis, (out, length)."""
    result = np.zeros((out, length))
    for row, (begin, end) in zip(result, _windows(length, out), strict=True):
        row[begin:end] = 1 / (end - begin)
    return result


def uneven_means(draft: Draft, x: Value, axis: int, out: int) -> Value:
    """A product with the matrix that has the shares of the pixels."""
    matrix = shares(x.shape[axis], out)
    if axis == 1:
        return draft.emit("MatMul", draft.numbers(matrix), x, shape=(x.shape[0], out, x.shape[2]))
    return draft.emit("MatMul", x, draft.numbers(matrix.T), shape=(*x.shape[:2], out))


def uneven_maxima(draft: Draft, x: Value, axis: int, out: int) -> Value:
    """The pixels of each window side by side along a new axis, shorter windows with their last one again."""
    windows = _windows(x.shape[axis], out)
    longest = max(end - begin for begin, end in windows)
    taken = [[min(begin + i, end - 1) for i in range(longest)] for begin, end in windows]
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    y = draft.emit("Gather", x, draft.integers(taken), shape=(*before, out, longest, *after), axis=axis + 1)
    shape = (*before, out, *after)
    if draft.opset >= 18:
        return draft.emit("ReduceMax", y, draft.integers([axis + 2]), shape=shape, keepdims=0)
    return draft.emit("ReduceMax", y, shape=shape, axes=[axis + 2], keepdims=0)
