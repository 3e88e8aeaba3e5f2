"""Operators that are functions of each number, or of few."""

from __future__ import annotations

import math
from collections.abc import Callable

from convnet.layers import (
    GELU,
    Dropout,
    HardSigmoid,
    Layer,
    PReLU,
    ReLU,
    ReLU6,
    Softmax,
)
from convnet.onnx.importer._build import Builder, Inputs, Map
from convnet.onnx.importer._layers import Affine, Clip
from convnet.onnx.importer._read import Operator

__all__ = ["cast", "clip", "dropout", "gelu", "hard_sigmoid", "plain", "prelu", "softmax", "unchanged", "with_number"]


def plain(kind: Callable[[], Layer], *axes: int) -> Callable[..., Map]:
    """A layer without settings."""

    def made(build: Builder, operator: Operator, inputs: Inputs) -> Map:
        return build.put(operator, kind(), build.map(operator, inputs[0], *axes))

    return made


def with_number(kind: Callable[[float], Layer], name: str, default: float) -> Callable[..., Map]:
    """A layer with one setting."""

    def made(build: Builder, operator: Operator, inputs: Inputs) -> Map:
        return build.put(operator, kind(float(operator.attributes.get(name, default))), build.map(operator, inputs[0]))

    return made


def clip(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Clip; with 0 and 6, or 0 alone, a rectifier."""
    x = build.map(operator, inputs[0])
    bounds = [operator.attributes.get("min", -math.inf), operator.attributes.get("max", math.inf)]
    for i, value in enumerate(inputs[1:3]):
        if value is not None:
            bounds[i] = build.array(operator, value, "a bound").item()
    low, high = map(float, bounds)
    before = build.layer(x)
    if (low, high) == (0, 6) and _is(before, Affine, 1.0, 3.0) and build.alone(x):
        gate = build.put(operator, HardSigmoid(), build.read(x))
        return build.put(operator, Affine(6.0), gate)
    if low == 0 and high in (6, math.inf):
        return build.put(operator, ReLU6() if high == 6 else ReLU(), x)
    return build.put(operator, Clip(low, high), x)


def _is(layer: Layer | None, kind: type[Layer], weight: float, bias: float) -> bool:
    return isinstance(layer, kind) and (getattr(layer, "weight", None), getattr(layer, "bias", None)) == (weight, bias)


def hard_sigmoid(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """HardSigmoid."""
    x = build.map(operator, inputs[0])
    alpha, beta = float(operator.attributes.get("alpha", 0.2)), float(operator.attributes.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return build.put(operator, HardSigmoid(), x)
    return build.put(operator, Clip(0.0, 1.0), build.put(operator, Affine(alpha, beta), x))


def prelu(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """PRelu."""
    x = build.map(operator, inputs[0], 3, 1)
    slopes = build.weights(operator, inputs[1], "slopes")
    channels = (x.shape[0], *[1] * (len(x.shape) - 1))
    fits = slopes.shape in (channels, (1, *channels)) or (build.opset < 7 and slopes.shape == x.shape[:1])
    if slopes.size != 1 and not fits:
        raise build.unsupported(operator, "one slope, or one a channel", f"an array of shape {slopes.shape}")
    layer = PReLU(slopes.size, dtype=build.dtype)
    layer.weight.value = slopes.ravel()
    return build.put(operator, layer, x, weight=inputs[1])


def gelu(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Gelu."""
    return build.put(operator, GELU(operator.attributes.get("approximate", "none")), build.map(operator, inputs[0]))


def softmax(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Softmax, over the channels."""
    x = build.map(operator, inputs[0], 3, 1)
    axis = operator.attributes.get("axis", 1 if build.opset < 13 else -1) % (len(x.shape) + 1)
    if axis != 1 or (build.opset < 13 and math.prod(x.shape[1:]) > 1):
        raise build.unsupported(operator, "the axis of the channels", axis)
    return build.put(operator, Softmax(), x)


def dropout(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Dropout."""
    rate = float(operator.attributes.get("ratio", 0.5))
    if len(inputs) > 1 and inputs[1] is not None:
        rate = float(build.array(operator, inputs[1], "a rate").item())
    if len(inputs) > 2 and inputs[2] is not None and bool(build.array(operator, inputs[2], "a mode").item()):
        raise build.unsupported(operator, "the form for inference", "training_mode")
    return build.put(operator, Dropout(rate), build.map(operator, inputs[0]))


def cast(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Cast, to what the numbers are already."""
    from onnx import helper

    x, kind = build.map(operator, inputs[0]), helper.tensor_dtype_to_np_dtype(operator.attributes["to"])
    if kind != build.dtype:
        raise build.unsupported(operator, f"a cast to {build.dtype}", kind)
    return x


def unchanged(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Identity."""
    return build.map(operator, inputs[0])
