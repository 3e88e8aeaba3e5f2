"""From an ONNX file to layers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convnet.errors import ConvnetError, SettingError, ShapeError, UnsupportedError
from convnet.layers import Graph
from convnet.layers._layer import Shape
from convnet.onnx.importer._build import Builder, Inputs, Map, Value
from convnet.onnx.importer._constants import FOLDED, folded
from convnet.onnx.importer._operators import OPERATORS
from convnet.onnx.importer._read import Network, Operator, read

__all__ = ["load", "operators"]


def load(path: str | os.PathLike[str], input_shape: Shape | None = None, output: str | None = None) -> Graph:
    """Make a model of a network in an ONNX file: opsets 7 to 22, what networks for images consist of.

    The model computes what the file says, and can be trained further: its weights are parameters, batch normalisation
    and dropout do in training what they do here. Shapes are computed when the file is read, and constants folded.

    Parameters
    ----------
    path : str or path
        The file, which may be anything: it is checked before anything is made of it, and nothing in it is executed.
    input_shape : tuple of int, optional
        The shape of one image, (c, h, w), where the file leaves it open; what the file has must be the same.
    output : str, optional
        The name of the output that is wanted, in a file with several.

    Returns
    -------
    Graph
        A `Sequential` or a `Parallel` where the network is one. Layers are called as their weights in the file, so that
        state dictionaries have its names, or as the operator, of which ``_`` replaces what are no letters and digits.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If the file is damaged or contradicts itself.
    UnsupportedError
        If it has what no layer here does; the text names the operator and the opset. If onnx is not installed.
    SettingError, ShapeError
        If ``output`` or ``input_shape`` does not fit.

    Examples
    --------
    >>> from onnx import TensorProto, helper, save
    >>> x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "xy")
    >>> graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", [x], [y])
    >>> save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "small.onnx")
    >>> load("small.onnx")
    Sequential(
      (relu): ReLU()
    )
    """
    try:
        network = read(Path(path))
        shape = _input_shape(network, input_shape)
        build = Builder(network, shape)
        for operator in network.operators:
            _make(build, operator)
        return build.model(_output(build, network, output), shape)
    except ConvnetError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


def operators() -> list[str]:
    """The operators that `load` reads; on arrays that are known only, what computes with shapes.

    Returns
    -------
    list of str
        Sorted.
    """
    return sorted({*OPERATORS, *FOLDED})


def _input_shape(network: Network, given: Shape | None) -> Shape:
    """That of the file; where it leaves something open, that given."""
    wanted = network.shape if given is None else tuple(given)
    fits = len(wanted) == len(network.shape)
    if not fits or any(a not in (b, None) for a, b in zip(network.shape, wanted, strict=True)):
        raise ShapeError(f"input_shape: expected that of the file, {_told(network.shape)}, got {given}")
    if None in wanted:
        raise ShapeError(f"input_shape: expected one for the file, which has {_told(network.shape)}, got none")
    return tuple(int(size) for size in wanted if size is not None)


def _told(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _make(build: Builder, operator: Operator) -> None:
    """Add what an operator computes to the values."""
    inputs: Inputs = [build.values[name] if name else None for name in operator.inputs]
    known = all(value is None or isinstance(value, np.ndarray) for value in inputs)
    try:
        made = _computed(build, operator, inputs, known)
    except (ShapeError, SettingError) as error:
        raise build.unsupported(operator, "what a layer here takes", str(error)) from error
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, ConvnetError):
            raise
        lacking = f"none called {error}" if isinstance(error, KeyError) else f"others: {error}"
        raise build.unsupported(operator, "inputs and attributes as ONNX has them", lacking) from error
    results = made if isinstance(made, tuple) else (made,)
    for name, value in zip(filter(None, operator.outputs), results, strict=False):
        build.values[name] = value
    for name in operator.outputs[len(results) :]:
        if build.is_read(name):
            raise build.unsupported(operator, f"{len(results)} outputs that are read", f"a reader of {name!r}")


def _computed(build: Builder, operator: Operator, inputs: Inputs, known: bool) -> Value | tuple[Map, ...]:
    if known:
        arrays = [value if isinstance(value, np.ndarray) else None for value in inputs]
        return build.known(operator, folded(operator, arrays, build.opset))
    if operator.kind not in OPERATORS:
        raise build.unsupported(operator, f"an operator among {', '.join(OPERATORS)}", "another")
    return OPERATORS[operator.kind](build, operator, inputs)


def _output(build: Builder, network: Network, wanted: str | None) -> Map:
    """The output that is wanted."""
    names = ", ".join(map(repr, network.outputs))
    if wanted is None and len(network.outputs) > 1:
        raise SettingError(f"output: expected one of {names}, got none")
    if wanted is not None and wanted not in network.outputs:
        raise SettingError(f"output: expected one of {names}, got {wanted!r}")
    value = build.values[wanted or network.outputs[0]]
    if not isinstance(value, Map):
        raise UnsupportedError("expected an output that is computed from the images, got one that is the same for all")
    return value
