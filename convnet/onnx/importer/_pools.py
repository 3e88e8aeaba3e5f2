"""Pooling, whose windows here have as many pixels around them on both sides of a map, and fewer than half of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable

from convnet.errors import ShapeError
from convnet.layers import AvgPool2d, Layer, MaxPool2d, Pad2d
from convnet.layers._layer import Shape
from convnet.onnx.importer._build import Builder, Inputs, Map
from convnet.onnx.importer._layers import Affine, Margin
from convnet.onnx.importer._read import Operator
from convnet.onnx.importer._sides import Sides, pair, sides

__all__ = ["avg_pool", "max_pool"]

NONE: Sides = ((0, 0), (0, 0))


def max_pool(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """MaxPool."""
    x = build.map(operator, inputs[0], 3)
    dilation = pair(build, operator, "dilations")
    windows = _Windows(build, operator, x.shape, dilation)

    def made(around: Sides, ceil_mode: bool) -> Layer:
        padding = (around[0][0], around[1][0])
        return MaxPool2d(windows.kernel, windows.stride, padding, dilation, ceil_mode)

    layer = windows.fitting(made)
    if layer is None:
        x = build.put(operator, Margin(((0, 0), *windows.around), -math.inf), x)
        layer = made(NONE, windows.ceil_mode)
    return build.put(operator, layer, x)


def avg_pool(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """AveragePool."""
    x = build.map(operator, inputs[0], 3)
    counts = bool(operator.attributes.get("count_include_pad", 0))
    windows = _Windows(build, operator, x.shape, (1, 1))
    if pair(build, operator, "dilations") != (1, 1):
        raise build.unsupported(operator, "dilations of 1", operator.attributes["dilations"])

    def made(around: Sides, ceil_mode: bool) -> Layer:
        return AvgPool2d(windows.kernel, windows.stride, (around[0][0], around[1][0]), ceil_mode, counts)

    uneven = any(before != after for before, after in windows.around)
    layer = None if counts and uneven else windows.fitting(made)
    if layer is None and counts and not windows.ceil_mode:
        x = build.put(operator, Pad2d(windows.around), x)
        layer = made(NONE, False)
    if layer is not None:
        return build.put(operator, layer, x)
    share = windows.share()
    if share is None or windows.ceil_mode:
        raise build.unsupported(operator, "as many pixels on both sides, at most half a window", windows.around)
    counts = True  # zeros around, and all means are of so many times too many pixels
    padded = build.put(operator, Pad2d(windows.around), x)
    return build.put(operator, Affine(1 / share), build.put(operator, made(NONE, False), padded))


class _Windows:
    """What the windows of an operator are."""

    def __init__(self, build: Builder, operator: Operator, shape: Shape, dilation: tuple[int, int]) -> None:
        self.kernel, self.stride = pair(build, operator, "kernel_shape"), pair(build, operator, "strides")
        self.around = sides(build, operator, shape[1:], self.kernel)
        self.ceil_mode = bool(operator.attributes.get("ceil_mode", 0))
        self._shape, self._dilation = shape, dilation

    def fitting(self, made: Callable[[Sides, bool], Layer]) -> Layer | None:
        """A layer with the pixels above and on the left; what is more below hangs over the edge, if it comes out so."""
        spans = (d * (k - 1) + 1 for k, d in zip(self.kernel, self._dilation, strict=True))
        if any(2 * before > span for (before, _), span in zip(self.around, spans, strict=True)):
            return None
        uneven = any(before != after for before, after in self.around)
        for ceil_mode in (self.ceil_mode, True) if uneven else (self.ceil_mode,):
            layer = made(self.around, ceil_mode)
            try:
                if layer.output_shape(self._shape)[1:] == self._size():
                    return layer
            except ShapeError:  # a map that is smaller than a window but for the pixels below
                continue
        return None

    def share(self) -> float | None:
        """How much of each window lies on the map, where that is the same for all."""
        product = 1.0
        for n, k, step, (before, after) in zip(self._shape[1:], self.kernel, self.stride, self.around, strict=True):
            firsts = range(-before, n + after - k + 1, step)
            shares = {(min(first + k, n) - max(first, 0)) / k for first in firsts}
            if len(shares) != 1:
                return None
            product *= shares.pop()
        return product if product > 0 else None

    def _size(self) -> Shape:
        """As ONNX has it: with ceil_mode a last window begins inside of the map or before it."""
        numbers = zip(self._shape[1:], self.kernel, self.stride, self._dilation, self.around, strict=True)
        sizes = []
        for n, k, step, d, (before, after) in numbers:
            room = n + before + after - d * (k - 1) - 1
            size = (room + (step - 1 if self.ceil_mode else 0)) // step + 1
            sizes.append(size - (self.ceil_mode and (size - 1) * step >= n + before))
        return tuple(sizes)
