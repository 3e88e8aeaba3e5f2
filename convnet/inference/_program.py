"""A model as a list of operations on numbered values: what a Predictor simplifies, places and plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from convnet.errors import ShapeError, UnsupportedError
from convnet.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Frozen,
    GlobalAvgPool2d,
    Graph,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Identity,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2d,
    Merge,
    Multiply,
    Pad2d,
    PadChannels,
    Parallel,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample2d,
)
from convnet.layers.elementwise import Elementwise

Shape = tuple[int, ...]
Value = TypeVar("Value")


@dataclass
class Operation:
    """``output = name(*inputs, **settings)``; the name is a method of `convnet.functional.Plan`."""

    name: str
    inputs: tuple[int, ...]
    output: int
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Program:
    """Operations in an order in which they can run. Value 0 is the input; ``shapes`` are those of one image."""

    shapes: list[Shape]
    operations: list[Operation] = field(default_factory=list)
    output: int = 0

    def emit(self, name: str, *inputs: int, shape: Shape, **settings: Any) -> int:
        """Append an operation; returns its value."""
        self.shapes.append(shape)
        value = len(self.shapes) - 1
        self.operations.append(Operation(name, inputs, value, settings))
        return value

    def consumers(self, value: int) -> list[Operation]:
        """The operations that read ``value``."""
        return [operation for operation in self.operations if value in operation.inputs]


def lower(model: Layer, input_shape: Shape) -> Program:
    """Write ``model`` as a program.

    Raises
    ------
    UnsupportedError
        If there is a layer that has no operation.
    ShapeError
        If the model cannot take this shape.
    """
    program = Program([tuple(input_shape)])
    program.output = _lower(program, model, 0)
    return program


def _lower(program: Program, layer: Layer, *inputs: int) -> int:
    lowering = _LOWERINGS.get(type(layer))  # not a subclass, which may do anything
    form = layer.inference_form(program.shapes[inputs[0]]) if lowering is None else None
    if form is not None:
        return _lower(program, form, *inputs)
    if lowering is None:
        known = ", ".join(sorted(kind.__name__ for kind in _LOWERINGS))
        raise UnsupportedError(f"Predictor: expected layers among {known}, got {type(layer).__name__}")
    return lowering(program, layer, *inputs)


def through(graph: Graph, x: Value, apply: Callable[..., Value]) -> Value:
    """What ``apply(name, layer, *values)`` makes of ``x``, node by node; errors get the place in front."""
    values: dict[str, Value] = {}
    for name, node in graph.nodes.items():
        inputs = [values.get(source, x) for source in node.sources]  # what is no node is the input
        try:
            values[name] = apply(name, node.layer, *inputs)
        except (ShapeError, UnsupportedError) as error:
            raise type(error)(f"{type(graph).__name__}[{name}] {error}") from None
    return values.get(graph.output, x)


def _graph(program: Program, graph: Graph, x: int) -> int:
    return through(graph, x, lambda name, layer, *inputs: _lower(program, layer, *inputs))


def _conv2d(program: Program, layer: Conv2d, x: int) -> int:
    bias = None if layer.bias is None else layer.bias.value
    settings = {"w": layer.weight.value, "b": bias, **layer._geometry}
    return program.emit("conv2d", x, shape=layer.output_shape(program.shapes[x]), **settings)


def _conv_transpose2d(program: Program, layer: ConvTranspose2d, x: int) -> int:
    """Without a stride a convolution with flipped weights, which Winograd's algorithm may serve."""
    shape = layer.output_shape(program.shapes[x])
    weight, groups = layer.weight.value, layer.groups
    bias = None if layer.bias is None else layer.bias.value
    reach = [d * (k - 1) - p for k, d, p in zip(layer.kernel_size, layer.dilation, layer.padding, strict=True)]
    if layer.stride != (1, 1) or min(reach) < 0:
        return program.emit("conv_transpose2d", x, shape=shape, w=weight, b=bias, **layer._geometry)
    sides = tuple((side, side + more) for side, more in zip(reach, layer.output_padding, strict=True))
    blocks = weight.reshape(groups, -1, *weight.shape[1:]).transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    settings = {
        "w": np.ascontiguousarray(blocks).reshape(layer.out_channels, -1, *layer.kernel_size),
        "b": bias,
        "stride": (1, 1),
        "padding": sides,
        "dilation": layer.dilation,
        "groups": groups,
    }
    return program.emit("conv2d", x, shape=shape, **settings)


def _dense(program: Program, layer: Dense, x: int) -> int:
    bias = None if layer.bias is None else layer.bias.value
    shape = layer.output_shape(program.shapes[x])
    return program.emit("dense", x, shape=shape, w=layer.weight.value, b=bias)


def _batch_norm(program: Program, layer: BatchNorm2d, x: int) -> int:
    shape = layer.output_shape(program.shapes[x])
    scale = 1 / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight.value
    shift = np.zeros_like(scale) if layer.bias is None else layer.bias.value.astype(np.float64)
    mean = layer.running_mean.astype(np.float64)
    return program.emit("batch_norm", x, shape=shape, mean=mean, scale=scale, shift=shift)


def _elementwise(program: Program, layer: Elementwise, x: int) -> int:
    shape = layer.output_shape(program.shapes[x])
    return program.emit("activation", x, shape=shape, function=layer._function, a=layer._a)


def _prelu(program: Program, layer: PReLU, x: int) -> int:
    return program.emit("prelu", x, shape=layer.output_shape(program.shapes[x]), weight=layer.weight.value)


def _group_norm(program: Program, layer: GroupNorm, x: int) -> int:
    weight, bias = (None if p is None else p.value for p in (layer.weight, layer.bias))
    settings = {"groups": layer.num_groups, "eps": layer.eps, "weight": weight, "bias": bias}
    return program.emit("group_norm", x, shape=layer.output_shape(program.shapes[x]), **settings)


def _local_response_norm(program: Program, layer: LocalResponseNorm, x: int) -> int:
    shape = layer.output_shape(program.shapes[x])
    return program.emit("local_response_norm", x, shape=shape, size=layer.size, **layer._constants)


def _adaptive_pool2d(name: str) -> Lowering:
    def lowering(program: Program, layer: AdaptiveAvgPool2d | AdaptiveMaxPool2d, x: int) -> int:
        shape = layer.output_shape(program.shapes[x])
        if shape == program.shapes[x]:
            return x
        return program.emit(name, x, shape=shape, output_size=shape[1:])

    return lowering


def _pairs(name: str) -> Lowering:
    """Of a merge: two at a time, in order."""

    def lowering(program: Program, layer: Merge, first: int, *others: int) -> int:
        layer.output_shape([program.shapes[value] for value in (first, *others)])
        for other in others:
            shape = layer.output_shape([program.shapes[first], program.shapes[other]])
            first = program.emit(name, first, other, shape=shape)
        return first

    return lowering


def _concat(program: Program, layer: Concat, *inputs: int) -> int:
    return program.emit("concat", *inputs, shape=layer.output_shape([program.shapes[value] for value in inputs]))


def _pad2d(program: Program, layer: Pad2d, x: int) -> int:
    shape = layer.output_shape(program.shapes[x])
    return program.emit("pad2d", x, shape=shape, padding=layer.padding, mode=layer.mode)


def _upsample2d(program: Program, layer: Upsample2d, x: int) -> int:
    return program.emit("upsample2d", x, shape=layer.output_shape(program.shapes[x]), **layer._interpolation)


def _pad_channels(program: Program, layer: PadChannels, x: int) -> int:
    shape = layer.output_shape(program.shapes[x])
    return program.emit("place", x, shape=shape, first=layer.before, channels=shape[0], zero=True)


def _pool2d(name: str) -> Lowering:
    def lowering(program: Program, layer: MaxPool2d | AvgPool2d, x: int) -> int:
        return program.emit(name, x, shape=layer.output_shape(program.shapes[x]), **layer._geometry)

    return lowering


def _plain(name: str) -> Lowering:
    """Of a layer without settings."""

    def lowering(program: Program, layer: Layer, x: int) -> int:
        return program.emit(name, x, shape=layer.output_shape(program.shapes[x]))

    return lowering


def _relu6(program: Program, layer: ReLU6, x: int) -> int:
    return program.emit("relu", x, shape=layer.output_shape(program.shapes[x]), ceiling=layer._ceiling)


def _nothing(program: Program, layer: Layer, x: int) -> int:
    return x


Lowering = Callable[..., int]

_LOWERINGS: dict[type[Layer], Lowering] = {
    AdaptiveAvgPool2d: _adaptive_pool2d("adaptive_avg_pool2d"),
    AdaptiveMaxPool2d: _adaptive_pool2d("adaptive_max_pool2d"),
    Add: _pairs("add"),
    AuxiliaryHead: _nothing,
    AvgPool2d: _pool2d("avg_pool2d"),
    BatchNorm2d: _batch_norm,
    Concat: _concat,
    Conv2d: _conv2d,
    ConvTranspose2d: _conv_transpose2d,
    Dense: _dense,
    Dropout: _nothing,
    **dict.fromkeys((ELU, GELU, HardSigmoid, HardSwish, LeakyReLU, SiLU, Sigmoid, Tanh), _elementwise),
    PReLU: _prelu,
    Softmax: _plain("softmax"),
    Flatten: _plain("flatten"),
    Frozen: lambda program, frozen, x: _lower(program, frozen.layer, x),
    GlobalAvgPool2d: _adaptive_pool2d("adaptive_avg_pool2d"),
    Graph: _graph,
    GroupNorm: _group_norm,
    Identity: _nothing,
    LocalResponseNorm: _local_response_norm,
    MaxPool2d: _pool2d("max_pool2d"),
    Multiply: _pairs("multiply"),
    Pad2d: _pad2d,
    PadChannels: _pad_channels,
    Parallel: _graph,
    ReLU: _plain("relu"),
    ReLU6: _relu6,
    Sequential: _graph,
    Upsample2d: _upsample2d,
}
