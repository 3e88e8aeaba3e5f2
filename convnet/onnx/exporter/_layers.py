"""How each layer is written in operators of ONNX: one function a kind, found in the table at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convnet.errors import UnsupportedError
from convnet.functional import upsample2d
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
from convnet.onnx.exporter._draft import Draft, Value
from convnet.shapes import conv2d_padding, pool2d_output_size

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


def _sides(padding: Sequence[Sequence[int]]) -> list[int]:
    """((top, bottom), (left, right)) in the order of ONNX: the beginnings, then the ends."""
    return [side[end] for end in (0, 1) for side in padding]


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
        pads=_sides(conv2d_padding(layer.padding, (h, w), layer.kernel_size, layer.stride, layer.dilation)),
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


# ---- pooling ---------------------------------------------------------------------------------------------------------


def _ends(layer: MaxPool2d | AvgPool2d, x: Value, dilation: tuple[int, int]) -> list[int]:
    """Padding with which the windows fit exactly, so that nothing depends on how somebody rounds up."""
    geometry = layer.kernel_size, layer.stride, layer.padding, dilation
    counts = pool2d_output_size((x.shape[1], x.shape[2]), *geometry, layer.ceil_mode)
    return [
        max((count - 1) * s + d * (k - 1) + 1 - p - length, 0)
        for count, length, k, s, p, d in zip(counts, x.shape[1:], *geometry, strict=True)
    ]


def _padded(draft: Draft, x: Value, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Value:
    """Pixels around maps; ``pads`` in the order of ONNX."""
    top, left, bottom, right = pads
    c, h, w = x.shape
    given = [draft.integers([0, 0, top, left, 0, 0, bottom, right])]
    if mode == "constant":
        given.append(draft.numbers(value))
    return draft.emit("Pad", x, *given, shape=(c, top + h + bottom, left + w + right), mode=mode)


def _max_pool2d(draft: Draft, layer: MaxPool2d, x: Value) -> Value:
    """Padding as wide as the window, which a dilated one may have, is more than some runtimes take."""
    shape, pads = layer.output_shape(x.shape), [*layer.padding, *_ends(layer, x, layer.dilation)]
    if any(pad >= k for pad, k in zip(pads, layer.kernel_size * 2, strict=True)):
        x, pads = _padded(draft, x, pads, value=-math.inf), [0] * 4
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
    return draft.emit("MaxPool", x, shape=shape, pads=pads, **settings)


def _avg_pool2d(draft: Draft, layer: AvgPool2d, x: Value) -> Value:
    """What hangs over the edge never counts, zeros of the padding do if the layer says so."""
    shape, pads = layer.output_shape(x.shape), [*layer.padding, *_ends(layer, x, (1, 1))]
    if layer.count_include_pad:
        over = [max(end - p, 0) for end, p in zip(pads[2:], layer.padding, strict=True)]
        x, pads = _padded(draft, x, layer.padding * 2) if any(layer.padding) else x, [0, 0, *over]
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    return draft.emit("AveragePool", x, shape=shape, pads=pads, count_include_pad=0, **settings)


def _windows(length: int, out: int) -> list[tuple[int, int]]:
    """Begin and end of the windows of an adaptive pooling along one axis."""
    return [(i * length // out, -(-(i + 1) * length // out)) for i in range(out)]


def _adaptive(every: str, some: str, uneven: Callable[[Draft, Value, int, int], Value]) -> Writer:
    """Of an adaptive pooling: over whole maps, in windows side by side, or along one axis after the other."""

    def writer(draft: Draft, layer: AdaptiveAvgPool2d | AdaptiveMaxPool2d, x: Value) -> Value:
        shape, size = layer.output_shape(x.shape), x.shape[1:]
        if shape == x.shape:
            return x
        if shape[1:] == (1, 1):
            return draft.emit(every, x, shape=shape)
        if not any(length % out for length, out in zip(size, shape[1:], strict=True)):
            window = [length // out for length, out in zip(size, shape[1:], strict=True)]
            return draft.emit(some, x, shape=shape, kernel_shape=window, strides=window)
        for axis in (1, 2):
            if x.shape[axis] != shape[axis]:
                x = uneven(draft, x, axis, shape[axis])
        return x

    return writer


def _uneven_means(draft: Draft, x: Value, axis: int, out: int) -> Value:
    """A product with the matrix that has the shares of the pixels."""
    length = x.shape[axis]
    shares = np.zeros((out, length))
    for row, (begin, end) in zip(shares, _windows(length, out), strict=True):
        row[begin:end] = 1 / (end - begin)
    if axis == 1:
        return draft.emit("MatMul", draft.numbers(shares), x, shape=(x.shape[0], out, x.shape[2]))
    return draft.emit("MatMul", x, draft.numbers(shares.T), shape=(*x.shape[:2], out))


def _uneven_maxima(draft: Draft, x: Value, axis: int, out: int) -> Value:
    """The pixels of each window side by side along a new axis, shorter windows with their last one again."""
    windows = _windows(x.shape[axis], out)
    longest = max(end - begin for begin, end in windows)
    taken = [[min(begin + i, end - 1) for i in range(longest)] for begin, end in windows]
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    y = draft.emit("Gather", x, draft.integers(taken), shape=(*before, out, longest, *after), axis=axis + 1)
    shape = (*before, out, *after)
    if draft.opset >= 18:
        return draft.emit("ReduceMax", y, draft.integers([axis + 2]), shape=shape, keepdims=0)
    return draft.emit("ReduceMax", y, shape=shape, axes=[axis + 2], keepdims=0)


# ---- rearranging -----------------------------------------------------------------------------------------------------


def _flatten(draft: Draft, layer: Flatten, x: Value) -> Value:
    return draft.emit("Flatten", x, shape=layer.output_shape(x.shape), axis=1)


def _pad2d(draft: Draft, layer: Pad2d, x: Value) -> Value:
    layer.output_shape(x.shape)
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}
    return _padded(draft, x, _sides(layer.padding), modes[layer.mode])


def _pad_channels(draft: Draft, layer: PadChannels, x: Value) -> Value:
    pads = draft.integers([0, layer.before, 0, 0, 0, layer.after, 0, 0])
    return draft.emit("Pad", x, pads, draft.numbers(0), shape=layer.output_shape(x.shape), mode="constant")


def _upsample2d(draft: Draft, layer: Upsample2d, x: Value) -> Value:
    shape = layer.output_shape(x.shape)
    if layer.mode == "nearest":
        return _nearest(draft, layer, x)
    settings = {"coordinate_transformation_mode": "align_corners" if layer.align_corners else "half_pixel"}
    if layer.scale_factor is None or layer.align_corners:  # corners keep their places whatever the factor
        return _resized(draft, x, shape, mode="linear", **settings)
    factors = layer.scale_factor if isinstance(layer.scale_factor, tuple) else (layer.scale_factor,) * 2
    scales = [_scale(*numbers) for numbers in zip(x.shape[1:], shape[1:], factors, strict=True)]
    return draft.emit("Resize", x, "", _scales(draft, scales), shape=shape, mode="linear", **settings)


def _scales(draft: Draft, factors: Sequence[float]) -> str:
    """Those of batch and channels too; float32 in models of any dtype."""
    return draft.constant(np.array([1, 1, *factors], np.float32))


def _scale(length: int, out: int, factor: float) -> float:
    """The factor in float32, or the next that still gives ``out`` pixels, which runtimes find with it."""
    scale = np.float32(factor)
    while int(scale * np.float32(length)) < out:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)


def _resized(draft: Draft, x: Value, shape: tuple[int, ...], **settings: Any) -> Value:
    """Maps of a given size; before opset 18 the sizes must have the batch too, which only the input knows."""
    if draft.opset >= 18:
        return draft.emit("Resize", x, "", "", draft.integers(shape[1:]), shape=shape, axes=[2, 3], **settings)
    sizes = draft.emit("Shape", x, shape=())
    batch = draft.emit("Slice", sizes, draft.integers([0]), draft.integers([1]), shape=())
    sizes = draft.emit("Concat", batch, draft.integers(shape), shape=(), axis=0)
    return draft.emit("Resize", x, "", "", sizes, shape=shape, **settings)


def _nearest(draft: Draft, layer: Upsample2d, x: Value) -> Value:
    """By whole factors a Resize; else the pixels are named, as in float32 some places fall a pixel short."""
    c, h, w = x.shape
    shape = layer.output_shape(x.shape)
    factors = [out // length for out, length in zip(shape[1:], (h, w), strict=True)]
    pixels = np.arange(h * w, dtype=np.float64).reshape(1, 1, h, w)
    taken = upsample2d(pixels, **layer._interpolation)[0, 0].astype(np.int64)
    if np.array_equal(taken, np.kron(pixels[0, 0], np.ones(factors))):
        settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
        return draft.emit("Resize", x, "", _scales(draft, factors), shape=shape, **settings)
    y = draft.emit("Gather", x, draft.integers(taken[:, 0] // w), shape=(c, shape[1], w), axis=2)
    return draft.emit("Gather", y, draft.integers(taken[0] % w), shape=shape, axis=3)


# ---- activations -----------------------------------------------------------------------------------------------------


def _plain(kind: str, **attributes: Any) -> Writer:
    """Of a layer that is one operator without settings."""
    return lambda draft, layer, x: draft.emit(kind, x, shape=layer.output_shape(x.shape), **attributes)


def _clipped(draft: Draft, x: Value, ceiling: float) -> Value:
    return draft.emit("Clip", x, draft.numbers(0), draft.numbers(ceiling), shape=x.shape)


def _prelu(draft: Draft, layer: PReLU, x: Value) -> Value:
    shape = layer.output_shape(x.shape)
    slopes = draft.constant(layer.weight.value, (layer.num_parameters, *(1 for _ in shape[1:])))
    return draft.emit("PRelu", x, slopes, shape=shape)


def _silu(draft: Draft, layer: SiLU, x: Value) -> Value:
    return draft.emit("Mul", x, draft.emit("Sigmoid", x, shape=x.shape), shape=x.shape)


def _hard_swish(draft: Draft, layer: HardSwish, x: Value) -> Value:
    if draft.opset >= 14:
        return draft.emit("HardSwish", x, shape=x.shape)
    return draft.emit("Mul", x, _hard_sigmoid(draft, layer, x), shape=x.shape)


def _hard_sigmoid(draft: Draft, layer: Layer, x: Value) -> Value:
    return draft.emit("HardSigmoid", x, shape=x.shape, alpha=1 / 6, beta=0.5)


def _gelu(draft: Draft, layer: GELU, x: Value) -> Value:
    if draft.opset >= 20:
        return draft.emit("Gelu", x, shape=x.shape, approximate=layer.approximate)
    inner = x
    if layer.approximate == "tanh":
        cube = draft.emit("Mul", x, draft.emit("Mul", x, x, shape=x.shape), shape=x.shape)
        inner = draft.emit("Add", x, draft.emit("Mul", cube, draft.numbers(0.044715), shape=x.shape), shape=x.shape)
    factor = math.sqrt(2 / math.pi) if layer.approximate == "tanh" else math.sqrt(0.5)
    inner = draft.emit("Mul", inner, draft.numbers(factor), shape=x.shape)
    share = draft.emit("Tanh" if layer.approximate == "tanh" else "Erf", inner, shape=x.shape)
    share = draft.emit("Add", share, draft.numbers(1), shape=x.shape)
    half = draft.emit("Mul", x, draft.numbers(0.5), shape=x.shape)
    return draft.emit("Mul", half, share, shape=x.shape)


# ---- fused layers ----------------------------------------------------------------------------------------------------


def _followed(first: str) -> Writer:
    """Of a layer that rectifies, and maybe pools, what the one under the name ``first`` gives."""

    def writer(draft: Draft, layer: Any, x: Value) -> Value:
        with draft.inside(first):
            y = write(draft, getattr(layer, first), x)
        ceiling, pool = getattr(layer, "ceiling", None), getattr(layer, "pool", None)
        y = draft.emit("Relu", y, shape=y.shape) if ceiling is None else _clipped(draft, y, ceiling)
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


Writer = Callable[..., Value]

LAYERS: dict[type[Layer], Writer] = {
    AdaptiveAvgPool2d: _adaptive("GlobalAveragePool", "AveragePool", _uneven_means),
    AdaptiveMaxPool2d: _adaptive("GlobalMaxPool", "MaxPool", _uneven_maxima),
    Add: _pairs("Add"),
    AddReLU: _add_relu,
    AuxiliaryHead: _nothing,
    AvgPool2d: _avg_pool2d,
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
    GELU: _gelu,
    GlobalAvgPool2d: _adaptive("GlobalAveragePool", "AveragePool", _uneven_means),
    Graph: _graph,
    GroupNorm: _group_norm,
    HardSigmoid: _hard_sigmoid,
    HardSwish: _hard_swish,
    Identity: _nothing,
    LeakyReLU: lambda draft, layer, x: draft.emit("LeakyRelu", x, shape=x.shape, alpha=layer.negative_slope),
    LocalResponseNorm: _local_response_norm,
    MaxPool2d: _max_pool2d,
    Multiply: _pairs("Mul"),
    PReLU: _prelu,
    Pad2d: _pad2d,
    PadChannels: _pad_channels,
    Parallel: _graph,
    ReLU: _plain("Relu"),
    ReLU6: lambda draft, layer, x: _clipped(draft, x, layer._ceiling),
    Sequential: _graph,
    SiLU: _silu,
    Sigmoid: _plain("Sigmoid"),
    Softmax: _plain("Softmax", axis=1),
    Tanh: _plain("Tanh"),
    Upsample2d: _upsample2d,
}
