"""A graph of ONNX while it is being written: operators and constants under unique names, before any protobuf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from convnet.layers import Layer

__all__ = ["Draft", "Operator", "Shape", "Value", "Writer"]

Shape = tuple[int, ...]


class Value(NamedTuple):
    """What an operator gives: its name, and its shape without the batch."""

    name: str
    shape: Shape


Writer = Callable[..., Value]
"""What writes a layer on some values, given the draft, and returns what it gives."""


@dataclass
class Operator:
    """``output = kind(*inputs, **attributes)``; an input that is left out is called "", as in ONNX."""

    name: str
    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class Draft:
    """What has been written of a model.

    Parameters
    ----------
    model : Layer
        Its parameters and buffers keep the names of the state dictionary.
    opset : int
    reserved : str
        Names that nothing else may have.
    """

    def __init__(self, model: Layer, opset: int, *reserved: str) -> None:
        state = model._state()
        self.opset = opset
        self.dtype = next((array.dtype for array in state.values() if array.dtype.kind == "f"), np.dtype(np.float32))
        self.operators: list[Operator] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names = {id(array): name for name, array in reversed(state.items())}  # of those shared the first
        self._taken = {*reserved, *state}
        self._place: list[str] = []

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """What is written meanwhile belongs to the layer of that name."""
        self._place.append(name)
        try:
            yield
        finally:
            self._place.pop()

    def emit(self, kind: str, *inputs: Value | str, shape: Shape, **attributes: Any) -> Value:
        """Append an operator; returns its value."""
        names = [value if isinstance(value, str) else value.name for value in inputs]
        name = self._fresh(kind)
        self.operators.append(Operator(name, kind, names, name, attributes))
        return Value(name, tuple(shape))

    def constant(self, array: npt.ArrayLike, shape: Shape | None = None) -> str:
        """Take in an array of the model, under its name there, or any other; returns the name.

        With ``shape`` it is written in that shape.
        """
        given = np.asarray(array)
        wanted = given if shape is None else given.reshape(shape)
        name = self._names.get(id(array), "")
        if not name or (name in self.constants and self.constants[name].shape != wanted.shape):
            name = self._fresh("Constant")
        self.constants[name] = wanted
        return name

    def numbers(self, values: npt.ArrayLike) -> str:
        """Take in numbers of the dtype of the model."""
        return self.constant(np.array(values, self.dtype))

    def integers(self, values: npt.ArrayLike) -> str:
        """Take in integers, as shapes and axes are."""
        return self.constant(np.array(values, np.int64))

    def readers(self, name: str) -> list[Operator]:
        """The operators that read a value or a constant."""
        return [operator for operator in self.operators if name in operator.inputs]

    def rename(self, old: str, new: str) -> None:
        """Give a value another name."""
        for operator in self.operators:
            operator.inputs = [new if name == old else name for name in operator.inputs]
            operator.output = new if operator.output == old else operator.output

    def _fresh(self, kind: str) -> str:
        place = ".".join(self._place)
        wanted = name = f"{place}/{kind}" if place else kind
        count = 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name
