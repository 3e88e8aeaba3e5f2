"""Padding and interpolation in operators of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convnet.functional import upsample2d as interpolated
from convnet.layers import Pad2d, PadChannels, Upsample2d
from convnet.onnx.exporter._draft import Draft, Value

__all__ = ["pad2d", "pad_channels", "padded", "sides", "upsample2d"]


def sides(padding: Sequence[Sequence[int]]) -> list[int]:
    """((top, bottom), (left, right)) in the order of ONNX: the beginnings, then the ends."""
    return [side[end] for end in (0, 1) for side in padding]


def padded(draft: Draft, x: Value, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Value:
    """Pixels around maps; ``pads`` in the order of ONNX."""
    top, left, bottom, right = pads
    c, h, w = x.shape
    given = [draft.integers([0, 0, top, left, 0, 0, bottom, right])]
    if mode == "constant":
        given.append(draft.numbers(value))
    return draft.emit("Pad", x, *given, shape=(c, top + h + bottom, left + w + right), mode=mode)


def pad2d(draft: Draft, layer: Pad2d, x: Value) -> Value:
    layer.output_shape(x.shape)
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}
    return padded(draft, x, sides(layer.padding), modes[layer.mode])


def pad_channels(draft: Draft, layer: PadChannels, x: Value) -> Value:
    pads = draft.integers([0, layer.before, 0, 0, 0, layer.after, 0, 0])
    return draft.emit("Pad", x, pads, draft.numbers(0), shape=layer.output_shape(x.shape), mode="constant")


def upsample2d(draft: Draft, layer: Upsample2d, x: Value) -> Value:
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
    taken = interpolated(pixels, **layer._interpolation)[0, 0].astype(np.int64)
    if np.array_equal(taken, np.kron(pixels[0, 0], np.ones(factors))):
        settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
        return draft.emit("Resize", x, "", _scales(draft, factors), shape=shape, **settings)
    y = draft.emit("Gather", x, draft.integers(taken[:, 0] // w), shape=(c, shape[1], w), axis=2)
    return draft.emit("Gather", y, draft.integers(taken[0] % w), shape=shape, axis=3)
