"""Operators with several inputs, of which one at least is computed from the images."""

from __future__ import annotations

import numpy as np

from convnet.layers import (
    Add,
    Conv2d,
    ConvTranspose2d,
    Dense,
    HardSigmoid,
    HardSwish,
    Multiply,
    Sigmoid,
    SiLU,
)
from convnet.onnx.importer._build import Builder, Inputs, Map
from convnet.onnx.importer._layers import Affine
from convnet.onnx.importer._read import Operator
from convnet.parameter import Parameter

__all__ = ["difference", "negative", "product", "quotient", "total"]


def total(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Add and Sum: of maps of one shape, and of numbers."""
    maps = [value for value in inputs if isinstance(value, Map)]
    numbers = [value for value in inputs if isinstance(value, np.ndarray)]
    if len({each.shape for each in maps}) > 1 or not maps:
        raise build.unsupported(operator, "inputs of one shape", [each.shape for each in maps])
    joint = maps[0] if len(maps) == 1 else build.put(operator, Add(), *maps)
    for each in numbers:
        joint = _shifted(build, operator, joint, each, 1.0)
    return joint


def difference(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Sub."""
    a, b = inputs
    if isinstance(b, np.ndarray):
        return _shifted(build, operator, build.map(operator, a), b, -1.0)
    minus = _scaled(build, operator, build.map(operator, b), np.array(-1.0))
    return total(build, operator, [a, minus])


def product(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Mul: of maps, or of one and numbers; Swish where it is one."""
    a, b = inputs
    for x, factor in ((a, b), (b, a)):
        if isinstance(factor, np.ndarray):
            return _scaled(build, operator, build.map(operator, x), factor)
    x, gate = (build.map(operator, value) for value in inputs)
    for value, other in ((x, gate), (gate, x)):
        swish = _swish(build, operator, value, other)
        if swish is not None:
            return swish
    if len(x.shape) not in (1, 3):
        raise build.unsupported(operator, "images or rows", f"an input of shape {x.shape}")
    return build.put(operator, Multiply(), x, gate)


def _swish(build: Builder, operator: Operator, x: Map, gate: Map) -> Map | None:
    """What x times a function of x is, where that has a name."""
    before, scale = gate, 1.0
    layer = build.layer(gate)
    if isinstance(layer, Affine) and isinstance(layer.weight, float) and layer.bias == 0.0:
        before, scale = build.read(gate), layer.weight
    function = build.layer(before)
    if not isinstance(function, HardSigmoid | Sigmoid) or build.read(before) != x:
        return None
    swish = build.put(operator, HardSwish() if isinstance(function, HardSigmoid) else SiLU(), x)
    return swish if scale == 1 else build.put(operator, Affine(scale), swish)


def quotient(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Div, by numbers."""
    divisor = build.array(operator, inputs[1], "a divisor")
    if not np.all(divisor):
        raise build.unsupported(operator, "a divisor that is not 0", 0)
    return _scaled(build, operator, build.map(operator, inputs[0]), 1 / divisor.astype(np.float64))


def negative(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Neg."""
    return _scaled(build, operator, build.map(operator, inputs[0]), np.array(-1.0))


def _scaled(build: Builder, operator: Operator, x: Map, factor: np.ndarray) -> Map:
    numbers = _by_channel(build, operator, x, factor)
    layer = build.layer(x)
    if (
        isinstance(layer, Affine)
        and isinstance(layer.weight, float)
        and layer.bias == 0.0
        and isinstance(numbers, float)
    ):
        whole = layer.weight * numbers
        before = build.read(x)
        return before if abs(whole - 1) < 1e-6 else build.put(operator, Affine(whole), before)
    return build.put(operator, Affine(weight=numbers), x)


def _shifted(build: Builder, operator: Operator, x: Map, number: np.ndarray, sign: float) -> Map:
    """Where a layer without a bias is before it, and nobody else reads that, it becomes its bias."""
    numbers = _by_channel(build, operator, x, sign * number.astype(np.float64))
    layer = build.layer(x)
    if isinstance(numbers, float):
        return x if numbers == 0 else build.put(operator, Affine(bias=numbers), x)
    if isinstance(layer, Conv2d | ConvTranspose2d | Dense) and layer.bias is None and build.alone(x):
        layer.bias = Parameter(numbers)
        return x
    if isinstance(layer, Affine) and layer.bias == 0.0 and build.alone(x):
        return build.put(operator, Affine(_values(layer.weight), numbers), build.read(x))
    return build.put(operator, Affine(bias=numbers), x)


def _values(given: Parameter | float) -> np.ndarray | float:
    return given.value if isinstance(given, Parameter) else given


def _by_channel(build: Builder, operator: Operator, x: Map, values: np.ndarray) -> np.ndarray | float:
    """One number, or one a channel."""
    if values.size == 1:
        return float(values.item())
    axes = len(x.shape)
    place = operator.attributes.get("axis")  # before opset 7 arrays are laid along axes from this one on
    shape = values.shape if place is None else values.shape + (1,) * (axes + 1 - int(place) - values.ndim)
    full = (1,) * (axes + 1 - len(shape)) + shape
    if full != (1, x.shape[0], *[1] * (axes - 1)):
        expected = f"one number, or one for each of {x.shape[0]} channels"
        raise build.unsupported(operator, expected, f"an array of shape {values.shape}")
    return np.array(values.ravel(), build.dtype)
