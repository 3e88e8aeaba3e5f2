"""The libraries that are compared, each in each of its modes, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sides.base import NotOfferedError, Side, UnavailableError, Work
from sides.graph_runtimes import OnnxRuntime, OpenVino
from sides.ours import Convnet, ThroughOnnx
from sides.pytorch import Torch
from sides.xla import Jax

__all__ = ["OURS", "SIDES", "THROUGH_ONNX", "NotOfferedError", "Side", "UnavailableError", "Work", "reference"]

OURS, THROUGH_ONNX = "convnet", "convnet through ONNX"

SIDES: dict[str, Callable[[int], Side]] = {
    OURS: Convnet,
    THROUGH_ONNX: ThroughOnnx,
    "torch NCHW": Torch,
    "torch channels_last": partial(Torch, channels_last=True),
    "torch compile": partial(Torch, channels_last=True, compiled=True),
    "onnxruntime": OnnxRuntime,
    "OpenVINO": OpenVino,
    "JAX": Jax,
}
"""What makes each side, given the number of threads; raises `UnavailableError` where it is not installed."""


def reference(threads: int) -> Side:
    """PyTorch in float64: what all sides are measured against before they are timed."""
    return Torch(threads, double=True)
