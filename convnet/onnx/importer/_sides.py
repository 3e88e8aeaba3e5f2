"""Pixels around a map, as operators with windows tell them."""

from collections.abc import Sequence

from convnet.layers._layer import Shape
from convnet.onnx.importer._build import Builder
from convnet.onnx.importer._read import Operator

__all__ = ["Sides", "pair", "sides"]

Sides = tuple[tuple[int, int], tuple[int, int]]
"""(top, bottom), (left, right)."""


def sides(build: Builder, operator: Operator, size: Shape, kernel: Sequence[int]) -> Sides:
    """How many pixels an operator adds, by its ``pads`` or ``auto_pad``, around a map of ``size`` (h, w)."""
    auto = operator.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return (0, 0), (0, 0)
    if auto == "NOTSET":
        pads = tuple(operator.attributes.get("pads", (0, 0, 0, 0)))
        if len(pads) != 4 or min(pads) < 0:
            raise build.unsupported(operator, "pads for two axes of at least 0", pads)
        return (pads[0], pads[2]), (pads[1], pads[3])
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise build.unsupported(operator, "an auto_pad of ONNX", repr(auto))
    strides, dilations = pair(build, operator, "strides"), pair(build, operator, "dilations")
    both = []
    for n, k, step, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // step) - 1) * step + d * (k - 1) + 1 - n, 0)
        less, more = total // 2, total - total // 2
        both.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return both[0], both[1]


def pair(build: Builder, operator: Operator, name: str) -> tuple[int, int]:
    """An attribute of two numbers of at least 1, each 1 by default."""
    values = tuple(operator.attributes.get(name, (1, 1)))
    if len(values) != 2 or min(values) < 1:
        raise build.unsupported(operator, f"{name} for two axes of at least 1", values)
    return int(values[0]), int(values[1])
