"""What each operator of ONNX becomes here: one function an operator, in `OPERATORS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from convnet.layers import (
    ELU,
    AdaptiveMaxPool2d,
    Concat,
    Flatten,
    GlobalAvgPool2d,
    HardSwish,
    LeakyReLU,
    Pad2d,
    PadChannels,
    ReLU,
    Sigmoid,
    Tanh,
)
from convnet.onnx.importer._arithmetic import difference, negative, product, quotient, total
from convnet.onnx.importer._build import Builder, Inputs, Map, Value
from convnet.onnx.importer._functions import (
    cast,
    clip,
    dropout,
    gelu,
    hard_sigmoid,
    plain,
    prelu,
    softmax,
    unchanged,
    with_number,
)
from convnet.onnx.importer._layers import Margin
from convnet.onnx.importer._linear import conv, conv_transpose, gemm, matmul
from convnet.onnx.importer._normalize import batch_norm, group_norm, instance_norm, local_response_norm
from convnet.onnx.importer._pools import avg_pool, max_pool
from convnet.onnx.importer._read import Operator
from convnet.onnx.importer._resize import resize, upsample
from convnet.onnx.importer._shapes import flatten, reshape, shape, slice_, split, squeeze, transpose, unsqueeze

__all__ = ["OPERATORS"]

Made: TypeAlias = "Value | tuple[Map, ...]"


def _concat(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    maps = [build.map(operator, value, 3, 1) for value in inputs]
    if operator.attributes["axis"] % (len(maps[0].shape) + 1) != 1:
        raise build.unsupported(operator, "the axis of the channels", operator.attributes["axis"])
    return maps[0] if len(maps) == 1 else build.put(operator, Concat(), *maps)


_MODES = {"constant": "zeros", "reflect": "reflect", "edge": "replicate"}


def _pad(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    x, pads = build.map(operator, inputs[0], 3), _pads(build, operator, inputs)
    told = operator.attributes.get("mode", "constant")
    mode, (top, left, bottom, right) = _MODES.get(told), (pads[2], pads[3], pads[6], pads[7])
    if mode is None or min(pads) < 0 or pads[0] + pads[4] or (mode != "zeros" and pads[1] + pads[5]):
        raise build.unsupported(operator, "zeros, reflect or edge around images", (told, pads))
    value = operator.attributes.get("value", 0.0)
    if len(inputs) > 2 and inputs[2] is not None:
        value = build.array(operator, inputs[2], "a value").item()
    if mode == "zeros" and value != 0:
        return build.put(operator, Margin(tuple(zip(pads[1:4], pads[5:], strict=True)), float(value)), x)
    if pads[1] or pads[5]:
        x = build.put(operator, PadChannels(pads[1], pads[5]), x)
    around = ((top, bottom), (left, right))
    return build.put(operator, Pad2d(around, mode), x) if any(map(any, around)) else x  # type: ignore[arg-type]


def _pads(build: Builder, operator: Operator, inputs: Inputs) -> list[int]:
    """How much is added before each of the four axes, then behind each."""
    given = operator.attributes.get("pads", operator.attributes.get("paddings"))
    pads = list(given) if given is not None else build.array(operator, inputs[1], "pads").ravel().tolist()
    axes: Sequence[int] = range(4)
    if len(inputs) > 3 and inputs[3] is not None:
        axes = [int(axis) % 4 for axis in build.array(operator, inputs[3], "axes").ravel()]
    if len(pads) != 2 * len(axes):
        raise build.unsupported(operator, f"two pads for each of {len(axes)} axes", pads)
    spread = [0] * 8
    for i, axis in enumerate(axes):
        spread[axis], spread[axis + 4] = pads[i], pads[i + len(axes)]
    return spread


def _mean(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    x = build.map(operator, inputs[0], 3)
    axes = operator.attributes.get("axes")
    if len(inputs) > 1 and inputs[1] is not None:
        axes = build.array(operator, inputs[1], "axes").ravel().tolist()
    if axes is None or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        raise build.unsupported(operator, "the axes of height and width", axes)
    mean = build.put(operator, GlobalAvgPool2d(), x)
    return mean if operator.attributes.get("keepdims", 1) else build.put(operator, Flatten(), mean)


OPERATORS: dict[str, Callable[[Builder, Operator, Inputs], Made]] = {
    "Add": total,
    "AveragePool": avg_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": _concat,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Div": quotient,
    "Dropout": dropout,
    "Elu": with_number(ELU, "alpha", 1.0),
    "Flatten": flatten,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": plain(GlobalAvgPool2d, 3),
    "GlobalMaxPool": plain(lambda: AdaptiveMaxPool2d(1), 3),
    "GroupNormalization": group_norm,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": plain(HardSwish),
    "Identity": unchanged,
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    "LeakyRelu": with_number(LeakyReLU, "alpha", 0.01),
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": product,
    "Neg": negative,
    "PRelu": prelu,
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": plain(ReLU),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape,
    "Sigmoid": plain(Sigmoid),
    "Slice": slice_,
    "Softmax": softmax,
    "Split": split,
    "Squeeze": squeeze,
    "Sub": difference,
    "Sum": total,
    "Tanh": plain(Tanh),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Upsample": upsample,
}
