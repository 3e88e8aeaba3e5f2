"""A model as a list of operations on numbered values: what a Predictor simplifies, places and plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from convnet.errors import ShapeError, UnsupportedError
from convnet.layers import AvgPool2d, Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d, ReLU, Sequential

Shape = tuple[int, ...]


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


def _lower(program: Program, layer: Layer, x: int) -> int:
    lowering = _LOWERINGS.get(type(layer))  # not a subclass, which may do anything
    if lowering is None:
        known = ", ".join(sorted(kind.__name__ for kind in _LOWERINGS))
        raise UnsupportedError(f"Predictor: expected layers among {known}, got {type(layer).__name__}")
    return lowering(program, layer, x)


def _sequential(program: Program, model: Sequential, x: int) -> int:
    for name, layer in model.named_children():
        try:
            x = _lower(program, layer, x)
        except (ShapeError, UnsupportedError) as error:
            raise type(error)(f"Sequential[{name}] {error}") from None
    return x


def _conv2d(program: Program, layer: Conv2d, x: int) -> int:
    bias = None if layer.bias is None else layer.bias.value
    settings = {"w": layer.weight.value, "b": bias, **layer._geometry}
    return program.emit("conv2d", x, shape=layer.output_shape(program.shapes[x]), **settings)


def _dense(program: Program, layer: Dense, x: int) -> int:
    bias = None if layer.bias is None else layer.bias.value
    shape = layer.output_shape(program.shapes[x])
    return program.emit("dense", x, shape=shape, w=layer.weight.value, b=bias)


def _pool2d(name: str) -> Lowering:
    def lowering(program: Program, layer: MaxPool2d | AvgPool2d, x: int) -> int:
        return program.emit(name, x, shape=layer.output_shape(program.shapes[x]), **layer._geometry)

    return lowering


def _plain(name: str) -> Lowering:
    """Of a layer without settings."""

    def lowering(program: Program, layer: Layer, x: int) -> int:
        return program.emit(name, x, shape=layer.output_shape(program.shapes[x]))

    return lowering


def _nothing(program: Program, layer: Layer, x: int) -> int:
    return x


Lowering = Callable[[Program, Any, int], int]

_LOWERINGS: dict[type[Layer], Lowering] = {
    AvgPool2d: _pool2d("avg_pool2d"),
    Conv2d: _conv2d,
    Dense: _dense,
    Dropout: _nothing,
    Flatten: _plain("flatten"),
    MaxPool2d: _pool2d("max_pool2d"),
    ReLU: _plain("relu"),
    Sequential: _sequential,
}
