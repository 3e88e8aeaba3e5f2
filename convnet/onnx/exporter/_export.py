"""Writing ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnet.errors import SettingError, UnsupportedError
from convnet.layers import Graph, Layer
from convnet.onnx.exporter._draft import Draft, Shape, Value
from convnet.onnx.exporter._fold import fold
from convnet.onnx.exporter._layers import write
from convnet.serialization import replace
from convnet.settings import flag, integer
from convnet.versions import __version__

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

__all__ = ["OPSETS", "export"]

OPSETS = range(13, 23)
"""Versions of ONNX's operators that can be written."""

LIMIT = 2**31 - 2**20  # what protobuf can hold, less room for everything but the weights


def export(
    model: Layer,
    path: str | os.PathLike[str],
    input_shape: Shape | None = None,
    *,
    opset: int = 17,
    classes: Sequence[str] | None = None,
    input_name: str = "input",
    output_name: str = "output",
    fold_batch_norm: bool = False,
) -> None:
    """Write a model, as it is in inference, into an ONNX file.

    The file takes batches of any size of inputs (n, ``*input_shape``), of the dtype of the model, and computes the same
    within rounding. Weights are called what they are called in the state dictionary, operators after the layer that
    they belong to. Dropout and auxiliary heads are left out, as inference does. Layers that `fuse` has put in
    are written as those that they stand for.

    The file is written beside ``path`` and renamed when it is whole: whatever happens, ``path`` is either the old file
    or the new one.

    Parameters
    ----------
    model : Layer
        A network or a single layer, of layers of this package.
    path : str or path
        By custom, ``something.onnx``.
    input_shape : tuple of int, optional
        Shape of one input without the batch, (c, h, w) or (features,); None means the ``input_shape`` of the model.
    opset : int
        Version of ONNX's operators, from 13 to 22; older runtimes and converters want a lower one. The file says the
        lowest version of the format that belongs to it.
    classes : sequence of str, optional
        Names of the outputs of a classifier, written as a JSON list under the key "classes" of the metadata.
    input_name, output_name : str
        What a runtime calls the batch and the result.
    fold_batch_norm : bool
        Whether to multiply batch normalisations into the convolutions before them. Most runtimes do that themselves
        when they load a file; a file in which it is not done can be trained on.

    Raises
    ------
    UnsupportedError
        If there is a layer that ONNX has no form for, of a type of your own say; if the package onnx is not installed;
        or if the weights take 2 GiB. Nothing is written.
    ShapeError
        If the layers do not fit the input or each other.
    SettingError
        If a setting is out of range, there are not as many classes as outputs, or neither the caller nor the model
        gives an input shape.
    OSError
        If the file cannot be written; no partial file is left.

    Notes
    -----
    Open Neural Network Exchange, https://onnx.ai. Three forms depend on the input's height and width, as ONNX has no
    words for them: pooling that rounds up, adaptive pooling to several windows, and interpolation to a given size.

    Examples
    --------
    >>> import convnet.onnx
    >>> from convnet.models import lenet
    >>> convnet.onnx.export(lenet(rng=0), "lenet.onnx", classes=list("0123456789"))

    >>> import onnx
    >>> file = onnx.load("lenet.onnx")
    >>> [node.op_type for node in file.graph.node][:3], file.graph.initializer[0].name
    (['Conv', 'Relu', 'MaxPool'], '0.weight')
    """
    settings = {"input_name": input_name, "output_name": output_name}
    content = _proto(model, input_shape, opset, classes, flag(fold_batch_norm, "onnx.export fold_batch_norm"), settings)
    replace(Path(path).resolve(), content.SerializeToString())


def _proto(
    model: Layer,
    input_shape: Shape | None,
    opset: int,
    classes: Sequence[str] | None,
    folded: bool,
    names: dict[str, str],
) -> ModelProto:
    """The content of the file."""
    helper = _onnx().helper
    version = _opset(opset)
    for setting, name in names.items():
        if not isinstance(name, str) or not name or len(set(names.values())) < len(names):
            raise SettingError(f"onnx.export {setting}: expected a name that nothing else has, got {name!r}")
    x = Value(names["input_name"], _shape(model, input_shape))
    draft = Draft(model, version, *names.values())
    y = write(draft, model, x)
    if y.name == x.name:
        y = draft.emit("Identity", x, shape=x.shape)
    if folded:
        fold(draft)
    draft.rename(y.name, names["output_name"])
    _check_size(draft)
    identifier = helper.make_opsetid("", version)
    proto: ModelProto = helper.make_model(
        _graph(draft, type(model).__name__, x, Value(names["output_name"], y.shape)),
        opset_imports=[identifier],
        ir_version=helper.find_min_ir_version_for([identifier]),
        producer_name="convnet",
        producer_version=__version__,
    )
    if classes is not None:
        helper.set_model_props(proto, {"classes": json.dumps(_classes(classes, y.shape), ensure_ascii=False)})
    return proto


def _graph(draft: Draft, name: str, x: Value, y: Value) -> GraphProto:
    onnx = _onnx()
    kind = onnx.helper.np_dtype_to_tensor_dtype(draft.dtype)
    nodes = [
        onnx.helper.make_node(operator.kind, operator.inputs, [operator.output], operator.name, **operator.attributes)
        for operator in draft.operators
    ]
    ends = [onnx.helper.make_tensor_value_info(end.name, kind, ["batch", *end.shape]) for end in (x, y)]
    weights = [onnx.numpy_helper.from_array(array, weight) for weight, array in draft.constants.items()]
    graph: GraphProto = onnx.helper.make_graph(nodes, name, ends[:1], ends[1:], weights)
    return graph


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(
            'onnx.export: expected the package onnx, got none; to install it: pip install "convnet-cpu[onnx]"'
        ) from error
    return onnx


def _opset(opset: int) -> int:
    version = integer(opset, "onnx.export opset")
    if version not in OPSETS:
        raise SettingError(f"onnx.export opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {version}")
    return version


def _shape(model: Layer, input_shape: Shape | None) -> Shape:
    if input_shape is None and isinstance(model, Graph):
        input_shape = model.input_shape
    if input_shape is None:
        raise SettingError("onnx.export: expected an input_shape, as the model states none, got None")
    shape = tuple(integer(length, "onnx.export input_shape") for length in input_shape)
    model.output_shape(shape)
    return shape


def _classes(classes: Sequence[str], shape: Shape) -> list[str]:
    names = [str(name) for name in classes]
    if len(names) != shape[0]:
        raise SettingError(f"onnx.export classes: expected {shape[0]} names, one an output, got {len(names)}")
    return names


def _check_size(draft: Draft) -> None:
    size = sum(array.nbytes for array in draft.constants.values())
    if size > LIMIT:
        raise UnsupportedError(
            f"onnx.export: expected weights of less than 2 GiB, which a file can hold, got {size} bytes"
        )
