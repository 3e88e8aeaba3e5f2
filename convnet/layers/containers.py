"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import overload

import numpy as np

from convnet.context import Context
from convnet.errors import DTypeError, ShapeError
from convnet.layers._layer import Layer, Shape

__all__ = ["Sequential"]


class Sequential(Layer):
    """Layers one after another.

    Parameters
    ----------
    *layers : Layer
        The layers, named "0", "1", ...; or one mapping from names to layers.
    input_shape : tuple of int, optional
        The shape, without the batch, of the inputs the model is made for. The layers are then checked to fit together,
        and `summary` needs no shape.

    Raises
    ------
    ShapeError, DTypeError
        In a forward pass, from `output_shape` and, with ``input_shape``, from the constructor: the text starts with the
        place of the layer that complains.

    Notes
    -----
    Saved for backward: nothing but what the layers save in ``ctx.child(name)``. Layers before the first one with
    parameters are skipped on the way back where nobody wants the input's gradient.

    Examples
    --------
    >>> from convnet.layers import Dense, ReLU
    >>> model = Sequential(Dense(4, 8), ReLU(), Dense(8, 2))
    >>> model
    Sequential(
      (0): Dense(4, 8)
      (1): ReLU()
      (2): Dense(8, 2)
    )
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model[-1], len(model[:2])
    (Dense(8, 2), 2)
    """

    def __init__(self, *layers: Layer | Mapping[str, Layer], input_shape: Shape | None = None) -> None:
        self._layers = _named(layers)
        self.input_shape = None if input_shape is None else tuple(input_shape)
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Apply the layers in order."""
        wants_dx = ctx is not None and ctx.wants_dx
        for name, layer in self._layers.items():
            child = None
            if ctx is not None:
                child = ctx.child(name)
                child.wants_dx = wants_dx
                if not wants_dx:
                    wants_dx = any(True for _ in layer.named_parameters())
            try:
                x = layer.forward(x, child)
            except (ShapeError, DTypeError) as error:
                raise type(error)(f"Sequential[{name}] {error}") from error
        return x

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Apply the layers' `backward` in reverse order."""
        gradient: np.ndarray | None = dy
        for name, layer in reversed(self._layers.items()):
            if gradient is None:
                break
            gradient = layer.backward(gradient, ctx.child(name))
        return gradient

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape that leaves the last layer."""
        shapes = [tuple(input_shape), *(after for *_, after in self.walk(input_shape))]
        return shapes[-1]

    def multiply_adds(self, input_shape: Shape) -> int:
        """The sum over the layers."""
        return sum(layer.multiply_adds(before) for _, layer, before, _ in self.walk(input_shape))

    def walk(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape, Shape]]:
        """Yield (name, layer, shape of its input, shape of its output) for each layer, given the model's input."""
        for name, layer in self._layers.items():
            before = input_shape
            try:
                input_shape = layer.output_shape(before)
            except ShapeError as error:
                raise ShapeError(f"Sequential[{name}] {error}") from error
            yield name, layer, before, input_shape

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers in order, by name."""
        yield from self._layers.items()

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers.values())

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """One layer, or a model of some of them that shares their parameters."""
        layers = list(self._layers.values())
        return Sequential(*layers[index]) if isinstance(index, slice) else layers[index]


def _named(layers: tuple[Layer | Mapping[str, Layer], ...]) -> dict[str, Layer]:
    """Name the arguments of `Sequential`."""
    named: dict[str, Layer]
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        named = dict(layers[0])
    else:
        named = {str(i): layer for i, layer in enumerate(layers)}  # type: ignore[misc]
    for name, layer in named.items():
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential[{name}]: expected a Layer, got {layer!r}")
    return named
