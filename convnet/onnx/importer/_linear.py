"""Operators with learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convnet.layers import AdaptiveAvgPool2d, Conv2d, ConvTranspose2d, Dense
from convnet.onnx.exporter._pools import shares
from convnet.onnx.importer._build import Builder, Inputs, Map, Value
from convnet.onnx.importer._read import Operator
from convnet.onnx.importer._sides import pair, sides
from convnet.parameter import Parameter

__all__ = ["conv", "conv_transpose", "gemm", "matmul"]


def conv(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Conv."""
    x = build.map(operator, inputs[0], 3)
    weight = _filters(build, operator, inputs[1])
    layer = Conv2d(
        weight.shape[1] * _groups(build, operator, weight.shape[0]),
        weight.shape[0],
        weight.shape[2:],
        pair(build, operator, "strides"),
        sides(build, operator, x.shape[1:], weight.shape[2:]),
        pair(build, operator, "dilations"),
        _groups(build, operator, weight.shape[0]),
        bias=False,
        rng=0,
        dtype=build.dtype,
    )
    return _weighted(build, operator, layer, x, weight, inputs)


def _filters(build: Builder, operator: Operator, value: Value) -> np.ndarray:
    weight = build.weights(operator, value, "filters")
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise build.unsupported(operator, "filters for two axes", f"an array of shape {weight.shape}")
    told = tuple(operator.attributes.get("kernel_shape", weight.shape[2:]))
    if told != weight.shape[2:]:
        raise build.unsupported(operator, f"filters of the kernel_shape {told}", f"an array of shape {weight.shape}")
    return weight


def _groups(build: Builder, operator: Operator, channels: int) -> int:
    groups = int(operator.attributes.get("group", 1))
    if groups < 1 or channels % groups:
        raise build.unsupported(operator, f"a number of groups that divides {channels}", groups)
    return groups


def _weighted(build: Builder, operator: Operator, layer: Any, x: Map, weight: np.ndarray, inputs: Inputs) -> Map:
    layer.weight.value = weight
    if len(inputs) > 2 and inputs[2] is not None:
        _set_bias(build, operator, layer, inputs[2])
    return build.put(operator, layer, x, weight=inputs[1])


def _set_bias(build: Builder, operator: Operator, layer: Any, value: Value) -> None:
    bias = build.weights(operator, value, "a bias").ravel()
    channels = layer.out_features if isinstance(layer, Dense) else layer.out_channels
    if bias.size not in (1, channels):
        raise build.unsupported(operator, f"a bias of {channels} numbers", bias.size)
    layer.bias = Parameter(np.broadcast_to(bias, channels).copy())


def conv_transpose(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """ConvTranspose."""
    x = build.map(operator, inputs[0], 3)
    weight = _filters(build, operator, inputs[1])
    around, more = _uncovered(build, operator, x, weight.shape[2:])
    groups = _groups(build, operator, weight.shape[0])
    layer = ConvTranspose2d(
        weight.shape[0],
        weight.shape[1] * groups,
        weight.shape[2:],
        pair(build, operator, "strides"),
        around,
        more,
        groups,
        bias=False,
        dilation=pair(build, operator, "dilations"),
        rng=0,
        dtype=build.dtype,
    )
    return _weighted(build, operator, layer, x, weight, inputs)


def _uncovered(
    build: Builder, operator: Operator, x: Map, kernel: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding and output padding."""
    attributes = operator.attributes
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in attributes:
        raise build.unsupported(operator, "pads", "auto_pad or output_shape")
    (top, bottom), (left, right) = sides(build, operator, x.shape[1:], kernel)
    more = [int(value) for value in attributes.get("output_padding", (0, 0))]
    # Fewer pixels below or on the right than above is the same as so many more of output padding.
    more = [more[0] + top - bottom, more[1] + left - right]
    steps = map(max, pair(build, operator, "strides"), pair(build, operator, "dilations"))
    if len(more) != 2 or min(more) < 0 or any(a >= b for a, b in zip(more, steps, strict=True)):
        raise build.unsupported(operator, "as many pads on both sides", attributes.get("pads"))
    return (top, left), (more[0], more[1])


def gemm(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Gemm."""
    x = build.map(operator, inputs[0], 1)
    if operator.attributes.get("transA", 0):
        raise build.unsupported(operator, "transA 0", 1)
    weight = build.weights(operator, inputs[1], "weights")
    alpha, beta = (float(operator.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    rows = weight if operator.attributes.get("transB", 0) else weight.T
    scaled = rows if alpha == 1 else rows * build.dtype.type(alpha)
    bias = inputs[2] if len(inputs) > 2 else None
    if bias is not None and beta != 1:
        bias = build.weights(operator, bias, "a bias") * build.dtype.type(beta)
    return _dense(build, operator, x, scaled, [None, inputs[1], bias])


def matmul(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """MatMul, of rows; or of images and the shares of pixels in the means of an adaptive pooling."""
    means = _means(build, operator, inputs)
    if means is not None:
        return means
    x = build.map(operator, inputs[0], 1)
    return _dense(build, operator, x, build.weights(operator, inputs[1], "weights").T, [None, inputs[1]])


def _means(build: Builder, operator: Operator, inputs: Inputs) -> Map | None:
    """As `export` writes them: along the columns in front of the images, along the rows behind them."""
    before = isinstance(inputs[0], np.ndarray)
    matrix, x = inputs if before else inputs[::-1]
    if not isinstance(x, Map) or len(x.shape) != 3 or not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        return None
    rows = matrix if before else matrix.T
    _, h, w = x.shape
    if rows.shape[1] != (h if before else w) or not len(rows):
        return None
    if not np.allclose(rows, shares(rows.shape[1], len(rows)), rtol=1e-6, atol=0):
        return None
    return build.put(operator, AdaptiveAvgPool2d((len(rows), w) if before else (h, len(rows))), x)


def _dense(build: Builder, operator: Operator, x: Map, weight: np.ndarray, inputs: Inputs) -> Map:
    if weight.ndim != 2 or weight.shape[1] != x.shape[0] or not weight.size:
        raise build.unsupported(operator, f"weights for {x.shape[0]} features", f"an array of shape {weight.T.shape}")
    layer = Dense(weight.shape[1], weight.shape[0], bias=False, rng=0, dtype=build.dtype)
    return _weighted(build, operator, layer, x, np.ascontiguousarray(weight), inputs)
