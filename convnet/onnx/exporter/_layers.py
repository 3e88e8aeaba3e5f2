"""How each layer is written in operators of ONNX: one function a kind, found in the table at the end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convnet.errors import UnsupportedError
from convnet.inference._program import through
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
from convnet.layers.fused import AddReLU, BatchNormAddReLU, BatchNormReLU, ConvReLU, DenseReLU
from convnet.onnx.exporter._activations import clipped, gelu, hard_sigmoid, hard_swish, plain, prelu, silu
from convnet.onnx.exporter._draft import Draft, Value, Writer
from convnet.onnx.exporter._pools import adaptive, avg_pool2d, max_pool2d, uneven_maxima, uneven_means
from convnet.onnx.exporter._resample import pad2d, pad_channels, sides, upsample2d
from convnet.shapes import conv2d_padding

__all__ = ["LAYERS", "write"]


def write(draft: Draft, layer: Layer, *inputs: Value) -> Value:
    """Write ``layer`` on ``inputs``; returns what it gives.

    Raises
    ------
    UnsupportedError
        If it has no form in ONNX.
    ShapeError
        If it cannot take such inputs.
    """
    writer = LAYERS.get(type(layer))  # not a subclass, which may do anything
    if writer is None:
        known = ", ".join(sorted(kind.__name__ for kind in LAYERS))
        raise UnsupportedError(
            f"onnx.export: expected layers that ONNX has a form for at opset {draft.opset}, {known}, "
            f"got {type(layer).__name__}"
        )
    return writer(draft, layer, *inputs)


# ---- containers and merges -------------------------------------------------------------------------------------------


def _graph(draft: Draft, graph: Graph, x: Value) -> Value:
    def apply(name: str, layer: Layer, *inputs: Value) -> Value:
        with draft.inside(name):
            return write(draft, layer, *inputs)

    return through(graph, x, apply)


def _nothing(draft: Draft, layer: Layer, x: Value) -> Value:
    layer.output_shape(x.shape)
    return x


def _pairs(kind: str) -> Writer:
    """Of a merge: two at a time, in order, as the layer does."""

    def writer(draft: Draft, layer: Merge, first: Value, *others: Value) -> Value:
        layer.output_shape([value.shape for value in (first, *others)])
        for other in others:
            first = draft.emit(kind, first, other, shape=layer.output_shape([first.shape, other.shape]))
        return first

    return writer


def _concat(draft: Draft, layer: Concat, *inputs: Value) -> Value:
    return draft.emit("Concat", *inputs, shape=layer.output_shape([value.shape for value in inputs]), axis=1)


# ---- weights ---------------------------------------------------------------------------------------------------------


def _weights(draft: Draft, layer: Conv2d | ConvTranspose2d | Dense) -> list[str]:
    arrays = [layer.weight.value] if layer.bias is None else [layer.weight.value, layer.bias.value]
    return [draft.constant(array) for array in arrays]


def _conv2d(draft: Draft, layer: Conv2d, x: Value) -> Value:
    shape = layer.output_shape(x.shape)
    _, h, w = x.shape
    return draft.emit(
        "Conv",
        x,
        *_weights(draft, layer),
        shape=shape,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=sides(conv2d_padding(layer.padding, (h, w), layer.kernel_size, layer.stride, layer.dilation)),
        dilations=layer.dilation,
        group=layer.groups,
    )


def _conv_transpose2d(draft: Draft, layer: ConvTranspose2d, x: Value) -> Value:
    return draft.emit(
        "ConvTranspose",
        x,
        *_weights(draft, layer),
        shape=layer.output_shape(x.shape),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=[*layer.padding, *layer.padding],
        output_padding=layer.output_padding,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _dense(draft: Draft, layer: Dense, x: Value) -> Value:
    return draft.emit("Gemm", x, *_weights(draft, layer), shape=layer.output_shape(x.shape), transB=1)


# ---- normalisation ---------------------------------------------------------------------------------------------------


def _scale_and_shift(draft: Draft, layer: BatchNorm2d | GroupNorm, channels: int) -> list[str]:
    scale = draft.numbers(np.ones(channels)) if layer.weight is None else draft.constant(layer.weight.value)
    return [scale, draft.numbers(np.zeros(channels)) if layer.bias is None else draft.constant(layer.bias.value)]


def _batch_norm(draft: Draft, layer: BatchNorm2d, x: Value) -> Value:
    shape = layer.output_shape(x.shape)
    averages = [draft.constant(layer.running_mean), draft.constant(layer.running_var)]
    affine = _scale_and_shift(draft, layer, layer.num_features)
    return draft.emit("BatchNormalization", x, *affine, *averages, shape=shape, epsilon=layer.eps)


def _group_norm(draft: Draft, layer: GroupNorm, x: Value) -> Value:
    """Before opset 21, which has it, an instance normalisation of as many channels as there are groups."""
    shape, groups = layer.output_shape(x.shape), layer.num_groups
    if draft.opset >= 21:
        affine = _scale_and_shift(draft, layer, layer.num_channels)
        settings = {"epsilon": layer.eps, "num_groups": groups}
        return draft.emit("GroupNormalization", x, *affine, shape=shape, **settings)
    joined = (groups, math.prod(shape) // groups)
    y = draft.emit("Reshape", x, draft.integers([0, groups, -1]), shape=joined)
    plain = draft.numbers(np.ones(groups)), draft.numbers(np.zeros(groups))
    y = draft.emit("InstanceNormalization", y, *plain, shape=joined, epsilon=layer.eps)
    y = draft.emit("Reshape", y, draft.integers([0, *shape]), shape=shape)
    for kind, parameter in ("Mul", layer.weight), ("Add", layer.bias):
        if parameter is not None:
            y = draft.emit(kind, y, draft.constant(parameter.value, (layer.num_channels, 1, 1)), shape=shape)
    return y


def _local_response_norm(draft: Draft, layer: LocalResponseNorm, x: Value) -> Value:
    """Windows of an even size reach further down here and further up in ONNX: a mean over rows of channels then."""
    shape, size = layer.output_shape(x.shape), layer.size
    if size % 2:
        settings = {"size": size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
        return draft.emit("LRN", x, shape=shape, **settings)
    rows = (1, shape[0], shape[1] * shape[2])
    y = draft.emit("Mul", x, x, shape=shape)
    y = draft.emit("Reshape", y, draft.integers([0, *rows]), shape=rows)
    pads = [size // 2, 0, (size - 1) // 2, 0]
    y = draft.emit("AveragePool", y, shape=rows, kernel_shape=[size, 1], pads=pads, count_include_pad=1)
    y = draft.emit("Reshape", y, draft.integers([0, *shape]), shape=shape)
    for kind, number in ("Mul", layer.alpha), ("Add", layer.k), ("Pow", layer.beta):
        y = draft.emit(kind, y, draft.numbers(number), shape=shape)
    return draft.emit("Div", x, y, shape=shape)


# ---- rearranging -----------------------------------------------------------------------------------------------------


def _flatten(draft: Draft, layer: Flatten, x: Value) -> Value:
    return draft.emit("Flatten", x, shape=layer.output_shape(x.shape), axis=1)


# ---- fused layers ----------------------------------------------------------------------------------------------------


def _followed(first: str) -> Writer:
    """Of a layer that rectifies, and maybe pools, what the one under the name ``first`` gives."""

    def writer(draft: Draft, layer: Any, x: Value) -> Value:
        with draft.inside(first):
            y = write(draft, getattr(layer, first), x)
        ceiling, pool = getattr(layer, "ceiling", None), getattr(layer, "pool", None)
        y = draft.emit("Relu", y, shape=y.shape) if ceiling is None else clipped(draft, y, ceiling)
        return y if pool is None else write(draft, pool, y)

    return writer


def _add_relu(draft: Draft, layer: AddReLU, *inputs: Value) -> Value:
    y = write(draft, Add(), *inputs)
    return draft.emit("Relu", y, shape=y.shape)


def _batch_norm_add_relu(draft: Draft, layer: BatchNormAddReLU, x: Value, added: Value) -> Value:
    with draft.inside("norm"):
        y = write(draft, layer.norm, x)
    y = write(draft, Add(), y, added)
    return draft.emit("Relu", y, shape=y.shape)


LAYERS: dict[type[Layer], Writer] = {
    AdaptiveAvgPool2d: adaptive("GlobalAveragePool", "AveragePool", uneven_means),
    AdaptiveMaxPool2d: adaptive("GlobalMaxPool", "MaxPool", uneven_maxima),
    Add: _pairs("Add"),
    AddReLU: _add_relu,
    AuxiliaryHead: _nothing,
    AvgPool2d: avg_pool2d,
    BatchNorm2d: _batch_norm,
    BatchNormAddReLU: _batch_norm_add_relu,
    BatchNormReLU: _followed("norm"),
    Concat: _concat,
    Conv2d: _conv2d,
    ConvReLU: _followed("conv"),
    ConvTranspose2d: _conv_transpose2d,
    Dense: _dense,
    DenseReLU: _followed("dense"),
    Dropout: _nothing,
    ELU: lambda draft, layer, x: draft.emit("Elu", x, shape=x.shape, alpha=layer.alpha),
    Flatten: _flatten,
    Frozen: lambda draft, frozen, x: write(draft, frozen.layer, x),
    GELU: gelu,
    GlobalAvgPool2d: adaptive("GlobalAveragePool", "AveragePool", uneven_means),
    Graph: _graph,
    GroupNorm: _group_norm,
    HardSigmoid: hard_sigmoid,
    HardSwish: hard_swish,
    Identity: _nothing,
    LeakyReLU: lambda draft, layer, x: draft.emit("LeakyRelu", x, shape=x.shape, alpha=layer.negative_slope),
    LocalResponseNorm: _local_response_norm,
    MaxPool2d: max_pool2d,
    Multiply: _pairs("Mul"),
    PReLU: prelu,
    Pad2d: pad2d,
    PadChannels: pad_channels,
    Parallel: _graph,
    ReLU: plain("Relu"),
    ReLU6: lambda draft, layer, x: clipped(draft, x, layer._ceiling),
    Sequential: _graph,
    SiLU: silu,
    Sigmoid: plain("Sigmoid"),
    Softmax: plain("Softmax", axis=1),
    Tanh: plain("Tanh"),
    Upsample2d: upsample2d,
}
