"""Operators that move numbers and compute none."""

from __future__ import annotations

import math

import numpy as np

from convnet.layers import Flatten
from convnet.onnx.importer._build import Builder, Inputs, Map, Value
from convnet.onnx.importer._constants import BATCH
from convnet.onnx.importer._layers import Part, Permute, Reshape, Shuffle
from convnet.onnx.importer._read import Operator

__all__ = ["flatten", "reshape", "shape", "slice_", "split", "squeeze", "transpose", "unsqueeze"]


def shape(build: Builder, operator: Operator, inputs: Inputs) -> Value:
    """Shape: known, but for the number of images."""
    x = build.map(operator, inputs[0])
    first, last = operator.attributes.get("start", 0), operator.attributes.get("end")
    return np.array((BATCH, *x.shape)[first:last], np.int64)


def flatten(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Flatten, image by image."""
    x = build.map(operator, inputs[0])
    if operator.attributes.get("axis", 1) not in (1, 1 - len(x.shape) - 1):
        raise build.unsupported(operator, "axis 1", operator.attributes["axis"])
    return _shaped(build, operator, x, (math.prod(x.shape),))


def reshape(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Reshape, where the batch stays the first axis."""
    x = build.map(operator, inputs[0])
    given = operator.attributes.get("shape")
    wanted = list(given) if given is not None else build.array(operator, inputs[1], "a shape").ravel().tolist()
    full = (BATCH, *x.shape)
    if not operator.attributes.get("allowzero", 0):
        wanted = [full[i] if size == 0 and i < len(full) else size for i, size in enumerate(wanted)]
    total = math.prod(x.shape)
    first, *rest = wanted or [0]
    if first == -1 and -1 not in rest and math.prod(rest) == total:
        first = BATCH
    if -1 in rest:
        others = math.prod(size for size in rest if size != -1)
        rest[rest.index(-1)] = total // others if others > 0 else 0
    fixed = first == 1 or (first > 1 and first == build.images)
    if (first != BATCH and not fixed) or math.prod(rest) != total or min(rest, default=1) < 1:
        raise build.unsupported(
            operator, f"a shape that begins with the batch and has {total} numbers an image", wanted
        )
    return _shaped(build, operator, x, tuple(rest))


def squeeze(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Squeeze."""
    x = build.map(operator, inputs[0])
    ndim = len(x.shape) + 1
    given = _axes(build, operator, inputs)
    axes = {axis % ndim for axis in given} if given is not None else {i + 1 for i, n in enumerate(x.shape) if n == 1}
    if 0 in axes or any(x.shape[axis - 1] != 1 for axis in axes):
        raise build.unsupported(operator, "axes of size 1 behind the batch", sorted(axes))
    return _shaped(build, operator, x, tuple(n for i, n in enumerate(x.shape, 1) if i not in axes))


def unsqueeze(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Unsqueeze."""
    x = build.map(operator, inputs[0])
    given = _axes(build, operator, inputs) or ()
    ndim = len(x.shape) + 1 + len(given)
    axes = {axis % ndim for axis in given}
    if 0 in axes or len(axes) != len(given):
        raise build.unsupported(operator, "axes behind the batch", given)
    sizes = iter(x.shape)
    return _shaped(build, operator, x, tuple(1 if axis in axes else next(sizes) for axis in range(1, ndim)))


def transpose(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Transpose, where the batch stays the first axis."""
    x = build.map(operator, inputs[0])
    axes = tuple(operator.attributes.get("perm", range(len(x.shape), -1, -1)))
    if sorted(axes) != list(range(len(x.shape) + 1)) or axes[0] != 0:
        raise build.unsupported(operator, "an order of the axes that begins with the batch", axes)
    before = build.layer(x)
    if isinstance(before, Permute) and tuple(before.axes[axis] for axis in axes) == tuple(range(len(axes))):
        return build.read(x)
    return x if axes == tuple(range(len(axes))) else build.put(operator, Permute(axes), x)


def slice_(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Slice, in steps of 1, behind the batch."""
    x = build.map(operator, inputs[0])
    names = ("starts", "ends", "axes", "steps")
    given = [operator.attributes.get(name) for name in names]
    for i, value in enumerate(inputs[1:]):
        if value is not None:
            given[i] = build.array(operator, value, names[i]).ravel().tolist()
    starts, ends, axes, steps = given
    if starts is None or ends is None or set(steps or [1]) != {1}:
        raise build.unsupported(operator, "starts and ends, in steps of 1", f"steps {steps}")
    ranges: list[tuple[int | None, int | None]] = [(None, None)] * len(x.shape)
    for axis, first, last in zip(axes or range(len(starts)), starts, ends, strict=True):
        place = axis % (len(x.shape) + 1)
        if place == 0:
            raise build.unsupported(operator, "all images of the batch", "some of them")
        first, last, _ = slice(first, last).indices(x.shape[place - 1])
        ranges[place - 1] = (first, last)
    return build.put(operator, Part(ranges), x)


def split(build: Builder, operator: Operator, inputs: Inputs) -> tuple[Map, ...]:
    """Split, behind the batch."""
    x = build.map(operator, inputs[0])
    axis, count = operator.attributes.get("axis", 0) % (len(x.shape) + 1), len(operator.outputs)
    if axis == 0:
        raise build.unsupported(operator, "an axis behind the batch", axis)
    n = x.shape[axis - 1]
    given = operator.attributes.get("split")
    if len(inputs) > 1 and inputs[1] is not None:
        given = build.array(operator, inputs[1], "sizes").ravel().tolist()
    each = -(-n // count)
    sizes = given or [min(each, n - i * each) for i in range(count)]
    if len(sizes) != count or sum(sizes) != n or min(sizes) < 1:
        raise build.unsupported(operator, f"{count} parts of {n}", sizes)
    parts, first = [], 0
    for size in sizes:
        ranges: list[tuple[int | None, int | None]] = [(None, None)] * len(x.shape)
        ranges[axis - 1] = (first, first + size)
        parts.append(build.put(operator, Part(ranges), x))
        first += size
    return tuple(parts)


def _axes(build: Builder, operator: Operator, inputs: Inputs) -> list[int] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return [int(axis) for axis in build.array(operator, inputs[1], "axes").ravel()]
    given = operator.attributes.get("axes")
    return None if given is None else list(given)


def _shaped(build: Builder, operator: Operator, x: Map, wanted: tuple[int, ...]) -> Map:
    """The numbers of each image in another shape."""
    if wanted == x.shape:
        return x
    before = build.layer(x)
    if len(wanted) == 1 and len(x.shape) == 3:
        return build.put(operator, Flatten(), x)
    if isinstance(before, Reshape) and build.read(x).shape == wanted:
        return build.read(x)
    groups = _shuffled(build, x, wanted)
    if groups is not None:
        return build.put(operator, Shuffle(groups), build.read(build.read(x)))
    return build.put(operator, Reshape(wanted), x)


def _shuffled(build: Builder, x: Map, wanted: tuple[int, ...]) -> int | None:
    """In how many groups channels were, where their order in and between groups has just been changed over."""
    turned = build.layer(x)
    if not isinstance(turned, Permute) or turned.axes != (0, 2, 1, 3, 4):
        return None
    parted = build.layer(build.read(x))
    if not isinstance(parted, Reshape) or build.read(build.read(x)).shape != wanted:
        return None
    return parted.shape[0] if parted.shape[2:] == wanted[1:] else None
