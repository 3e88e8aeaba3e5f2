"""An ONNX file, which may be anything, as checked plain data."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convnet.errors import UnsupportedError, WeightsError

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

__all__ = ["Network", "Operator", "read"]

OPSETS = range(6, 23)

Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Operator:
    """A node of the file."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    """Names of arrays; one that is left out is the empty text."""
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    """Numbers, texts, tuples of them, and arrays."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else f"{self.kind} (-> {self.outputs[0]!r})"


@dataclass(frozen=True)
class Network:
    """What is in a file: operators in an order in which they can run."""

    opset: int
    input: str
    shape: Dims
    """That of the input, without the batch; None where the file leaves it open."""
    images: int | None
    """Images of a batch, where the file has a number for it; other numbers work as well."""
    dtype: np.dtype[Any]
    outputs: tuple[str, ...]
    constants: dict[str, NDArray[Any]]
    operators: tuple[Operator, ...]


def read(path: Path) -> Network:
    """Read and check a file; nothing in it is executed, and no array is made larger than the bytes it comes from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If it is damaged or contradicts itself.
    UnsupportedError
        If it is of another opset, or has what is neither an operator of ONNX nor an array of numbers; if the package
        onnx is not installed.
    """
    model = _parsed(path)
    opset = _opset(model)
    graph = model.graph
    if model.functions:
        raise UnsupportedError(f"expected operators of ONNX, got the function {model.functions[0].name!r}")
    if graph.sparse_initializer:
        raise UnsupportedError("expected dense arrays, got a sparse one")
    constants = {tensor.name: _array(tensor, path.parent) for tensor in graph.initializer}
    if len(constants) != len(graph.initializer):
        raise WeightsError("expected a name for each array, got one for two")
    name, (images, *shape), dtype = _input(graph, constants)
    operators = tuple(_operator(node, opset, path.parent) for node in graph.node)
    outputs = tuple(output.name for output in graph.output)
    _check_order(operators, {name, *constants}, outputs)
    return Network(opset, name, tuple(shape), images, dtype, outputs, constants, operators)


def _parsed(path: Path) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise UnsupportedError(
            'expected the package onnx, got none; to install it: pip install "convnet-cpu[onnx]"'
        ) from None
    content = path.read_bytes()
    try:
        model: ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WeightsError(f"expected a whole ONNX file, got {error}") from error
    if not model.HasField("graph"):
        raise WeightsError("expected a whole ONNX file, got one without a graph")
    return model


def _opset(model: ModelProto) -> int:
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise UnsupportedError(f"expected one opset of ONNX, got {versions or 'none'}")
    if versions[0] not in OPSETS:
        raise UnsupportedError(f"expected an opset from {OPSETS[0]} to {OPSETS[-1]}, got {versions[0]}")
    return int(versions[0])


def _input(graph: GraphProto, constants: dict[str, NDArray[Any]]) -> tuple[str, Dims, np.dtype[Any]]:
    from onnx import TensorProto

    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedError(f"expected one input, got {[each.name for each in inputs]}")
    (given,) = inputs
    tensor = given.type.tensor_type
    kinds = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT16: np.float32}
    if tensor.elem_type not in kinds:
        raise UnsupportedError(f"expected an input of floats, got {given.name!r} of type {tensor.elem_type}")
    if not tensor.HasField("shape") or not 2 <= len(tensor.shape.dim) <= 4:
        raise UnsupportedError(f"expected an input of images or rows, got {given.name!r} of another shape")
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    return given.name, tuple(dim if dim > 0 else None for dim in dims), np.dtype(kinds[tensor.elem_type])


def _operator(node: NodeProto, opset: int, folder: Path) -> Operator:
    bare = Operator(node.name, node.op_type, tuple(node.input), tuple(node.output), {})
    if node.domain not in ("", "ai.onnx"):
        raise UnsupportedError(f"{bare}: expected an operator of ONNX, opset {opset}, got one of {node.domain!r}")
    if not node.output:
        raise WeightsError(f"{node.op_type} {node.name!r}: expected an output, got none")
    attributes = {each.name: _attribute(each, bare, folder) for each in node.attribute}
    return Operator(node.name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _attribute(attribute: AttributeProto, owner: Operator, folder: Path) -> Any:
    from onnx import AttributeProto

    kinds: dict[int, Any] = {
        AttributeProto.INT: lambda: attribute.i,
        AttributeProto.FLOAT: lambda: float(str(np.float32(attribute.f))),  # 1e-5, as it was meant, not 9.99999975e-6
        AttributeProto.STRING: lambda: attribute.s.decode("utf-8", "replace"),
        AttributeProto.TENSOR: lambda: _array(attribute.t, folder),
        AttributeProto.INTS: lambda: tuple(attribute.ints),
        AttributeProto.FLOATS: lambda: tuple(attribute.floats),
        AttributeProto.STRINGS: lambda: tuple(text.decode("utf-8", "replace") for text in attribute.strings),
    }
    if attribute.type not in kinds:
        raise UnsupportedError(f"{owner}: expected numbers, texts and arrays, got {attribute.name!r} of another kind")
    return kinds[attribute.type]()


def _check_order(operators: tuple[Operator, ...], known: set[str], outputs: tuple[str, ...]) -> None:
    """Every array comes from one operator, before those that read it: there is no cycle."""
    for operator in operators:
        for name in operator.inputs:
            if name and name not in known:
                raise WeightsError(f"{operator}: expected inputs that come before it, got {name!r}")
        for name in filter(None, operator.outputs):
            if name in known:
                raise WeightsError(f"{operator}: expected a new name for its output, got {name!r} again")
            known.add(name)
    missing = [name for name in outputs if name not in known]
    if missing or not outputs:
        raise WeightsError(f"expected outputs that an operator gives, got {missing or 'none'}")


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _array(tensor: TensorProto, folder: Path) -> NDArray[Any]:
    """The numbers of a tensor, whose shape must be what its bytes hold."""
    from onnx import TensorProto, helper, numpy_helper

    who = f"array {tensor.name!r}"
    if tensor.HasField("segment") or tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise UnsupportedError(f"{who}: expected numbers, got another kind")
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError):
        raise UnsupportedError(f"{who}: expected numbers, got type {tensor.data_type}") from None
    if dtype.kind not in "fiub":
        raise UnsupportedError(f"{who}: expected numbers that NumPy has, got {dtype}")
    dims = tuple(tensor.dims)
    if any(dim < 0 for dim in dims):
        raise WeightsError(f"{who}: expected a shape, got {dims}")
    number = math.prod(dims)
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, folder, who, dtype, dims)
    held = _held(tensor, dtype)
    if held != number:
        raise WeightsError(f"{who}: expected {number} numbers of shape {dims}, got {held}")
    return np.array(numpy_helper.to_array(tensor))


def _held(tensor: TensorProto, dtype: np.dtype[Any]) -> int | float:
    """How many numbers a tensor holds."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) / dtype.itemsize
    fields = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
    return sum(map(len, fields))


def _external(tensor: TensorProto, folder: Path, who: str, dtype: np.dtype[Any], dims: tuple[int, ...]) -> NDArray[Any]:
    """Numbers in a file of their own, which lies in the folder of the network and is no link out of it."""
    about = {entry.key: entry.value for entry in tensor.external_data}
    location = about.get("location", "")
    root, file = folder.resolve(), (folder / location).resolve()
    if not location or os.path.isabs(location) or not file.is_relative_to(root) or not file.is_file():
        raise WeightsError(f"{who}: expected a file in the folder of the network, got {location!r}")
    try:
        offset, length = int(about.get("offset", 0)), int(about.get("length", math.prod(dims) * dtype.itemsize))
    except ValueError:
        raise WeightsError(f"{who}: expected a place in {location!r}, got {about}") from None
    if length != math.prod(dims) * dtype.itemsize or not 0 <= offset <= file.stat().st_size - length:
        got = f"{length} bytes from {offset} on in {location!r} of {file.stat().st_size}"
        raise WeightsError(f"{who}: expected {dtype} of shape {dims}, got {got}")
    values = np.fromfile(file, dtype.newbyteorder("<"), math.prod(dims), offset=offset)
    return values.astype(dtype).reshape(dims)
