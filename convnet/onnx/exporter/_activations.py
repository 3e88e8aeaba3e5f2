"""Activations in operators of ONNX."""

from __future__ import annotations

import math
from typing import Any

from convnet.layers import GELU, HardSwish, Layer, PReLU, SiLU
from convnet.onnx.exporter._draft import Draft, Value, Writer

__all__ = ["clipped", "gelu", "hard_sigmoid", "hard_swish", "plain", "prelu", "silu"]


def plain(kind: str, **attributes: Any) -> Writer:
    """Of a layer that is one operator without settings."""
    return lambda draft, layer, x: draft.emit(kind, x, shape=layer.output_shape(x.shape), **attributes)


def clipped(draft: Draft, x: Value, ceiling: float) -> Value:
    return draft.emit("Clip", x, draft.numbers(0), draft.numbers(ceiling), shape=x.shape)


def prelu(draft: Draft, layer: PReLU, x: Value) -> Value:
    shape = layer.output_shape(x.shape)
    slopes = draft.constant(layer.weight.value, (layer.num_parameters, *(1 for _ in shape[1:])))
    return draft.emit("PRelu", x, slopes, shape=shape)


def silu(draft: Draft, layer: SiLU, x: Value) -> Value:
    return draft.emit("Mul", x, draft.emit("Sigmoid", x, shape=x.shape), shape=x.shape)


def hard_swish(draft: Draft, layer: HardSwish, x: Value) -> Value:
    if draft.opset >= 14:
        return draft.emit("HardSwish", x, shape=x.shape)
    return draft.emit("Mul", x, hard_sigmoid(draft, layer, x), shape=x.shape)


def hard_sigmoid(draft: Draft, layer: Layer, x: Value) -> Value:
    return draft.emit("HardSigmoid", x, shape=x.shape, alpha=1 / 6, beta=0.5)


def gelu(draft: Draft, layer: GELU, x: Value) -> Value:
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
