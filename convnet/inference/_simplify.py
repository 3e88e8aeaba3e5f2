"""Merging neighbouring operations of a program into one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from convnet.inference._program import Operation, Program

Merged = tuple[str, dict[str, Any]] | None
"""Name and settings of the operation that does the work of two, if there is one."""

Merge = Callable[[Program, Operation, Operation], Merged]
"""What becomes of two operations of which the second is the only reader of the first."""


def simplify(program: Program) -> None:
    """Merge operations until nothing can be merged; the values stay the same, but for rounding."""
    while _merge_one(program):
        pass


def _merge_one(program: Program) -> bool:
    writers = {operation.output: operation for operation in program.operations}
    for second in program.operations:
        first = writers.get(second.inputs[0])
        if first is None or len(second.inputs) > 1 or first.output == program.output:
            continue
        merge = _MERGES.get((first.name, second.name))
        if merge is None or len(program.consumers(first.output)) > 1:
            continue
        merged = merge(program, first, second)
        if merged is not None:
            second.name, second.settings = merged
            second.inputs = first.inputs
            program.operations.remove(first)
            return True
    return False


def _relu(program: Program, first: Operation, second: Operation) -> Merged:
    """Of ceilings the lower one; behind sums and pools there is none."""
    ceilings = [operation.settings["ceiling"] for operation in (first, second) if "ceiling" in operation.settings]
    if ceilings and (first.name == "add" or "pool" in first.settings):
        return None
    end = {"ceiling": min(ceilings)} if ceilings else {}
    return first.name, {**first.settings, "relu": True, **end}


def _normalized(program: Program, conv: Operation, norm: Operation) -> Merged:
    """Since ``(w x + b - mean) scale + shift = (w scale) x + (b - mean) scale + shift``."""
    if conv.settings.get("relu"):
        return None
    groups = conv.settings["groups"] if conv.name == "conv_transpose2d" else None
    w, b = conv.settings["w"], conv.settings["b"]
    mean, scale, shift = (norm.settings[name] for name in ("mean", "scale", "shift"))
    weights, bias = absorbed(w, b, mean, scale, shift, groups)
    return conv.name, {**conv.settings, "w": weights, "b": bias}


def absorbed(
    w: np.ndarray,
    b: np.ndarray | None,
    mean: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    transposed_groups: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a convolution that takes in the normalisation behind it; in float64, then rounded.

    The weights of a transposed one, whose groups are given, are (in, out / groups, kh, kw).
    """
    factors = scale[:, None, None, None]
    if transposed_groups is not None:
        factors = scale.reshape(transposed_groups, -1).repeat(len(w) // transposed_groups, axis=0)[:, :, None, None]
    bias = ((0 if b is None else b.astype(np.float64)) - mean) * scale + shift
    return (w.astype(np.float64) * factors).astype(w.dtype), bias.astype(w.dtype)


def _max_pool2d(program: Program, conv: Operation, pool: Operation) -> Merged:
    """A max pool whose windows lie side by side, behind a ReLU."""
    settings = pool.settings
    side_by_side = settings["stride"] == settings["kernel_size"] and settings["padding"] == (0, 0)
    plain = settings["dilation"] == (1, 1) and not settings["ceil_mode"]
    rectified = conv.settings.get("relu") and "ceiling" not in conv.settings
    if not (side_by_side and plain and rectified) or "pool" in conv.settings:
        return None
    return "conv2d", {**conv.settings, "pool": settings["kernel_size"]}


def _dense_of_flattened(program: Program, flatten: Operation, dense: Operation) -> Merged:
    """The columns of the weights in the order of the pixels in memory, (h, w, c)."""
    c, h, w = program.shapes[flatten.inputs[0]]
    weights = dense.settings["w"].reshape(-1, c, h, w).transpose(0, 2, 3, 1)
    return "dense", {**dense.settings, "w": np.ascontiguousarray(weights.reshape(len(weights), -1))}


_MERGES: dict[tuple[str, str], Merge] = {
    ("add", "relu"): _relu,
    ("batch_norm", "relu"): _relu,
    ("conv2d", "batch_norm"): _normalized,
    ("conv2d", "relu"): _relu,
    ("conv_transpose2d", "batch_norm"): _normalized,
    ("conv_transpose2d", "relu"): _relu,
    ("dense", "relu"): _relu,
    ("conv2d", "max_pool2d"): _max_pool2d,
    ("flatten", "dense"): _dense_of_flattened,
}
