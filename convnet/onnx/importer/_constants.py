"""Operators whose inputs are known when a file is read: the arithmetic of shapes, and weights in another form."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.errors import UnsupportedError, WeightsError
from convnet.onnx.importer._read import Operator

__all__ = ["BATCH", "FOLDED", "folded"]

BATCH = 1_000_000_007
"""Stands for the number of images, which is left open, where a shape is computed with; a prime that no shape has."""

_MOST = 1 << 30
"""Bytes of a result: more than any array of weights that is computed with."""

Array = NDArray[Any]


def folded(operator: Operator, inputs: Sequence[Array | None], opset: int) -> Array:
    """What an operator makes of arrays.

    Raises
    ------
    UnsupportedError
        If it is none of those that are computed here, or would make an absurdly large array.
    WeightsError
        If the arrays do not fit it.
    """
    if operator.kind not in FOLDED:
        known = ", ".join(sorted(FOLDED))
        raise UnsupportedError(
            f"{operator}: expected an operator on constants among {known} (opset {opset}), got another"
        )
    try:
        with np.errstate(all="ignore"):
            result = FOLDED[operator.kind](operator.attributes, *inputs)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError, AttributeError) as error:
        raise WeightsError(f"{operator}: expected arrays that fit, got {error}") from error
    return np.asarray(result)


def _constant(attributes: dict[str, Any]) -> Any:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if "value" in attributes:
        return attributes["value"]
    ((name, value),) = attributes.items()
    return np.asarray(value, kinds[name])


def _constant_of_shape(attributes: dict[str, Any], shape: Array) -> Array:
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32))).ravel()
    return np.broadcast_to(value[0], _bounded(shape.tolist(), value.itemsize)).copy()


def _bounded(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    sizes, total = tuple(map(int, shape)), itemsize
    for size in sizes:
        total *= size
    if total > _MOST or min(sizes, default=0) < 0:
        raise ValueError(f"an array of shape {sizes}")
    return sizes


def _binary(function: Callable[[Array, Array], Any]) -> Callable[..., Any]:
    def apply(attributes: dict[str, Any], a: Array, b: Array) -> Any:
        _bounded(np.broadcast_shapes(a.shape, b.shape), 8)
        return np.asarray(function(a, b)).astype(np.result_type(a, b) if a.dtype != b.dtype else a.dtype)

    return apply


def _divided(a: Array, b: Array) -> Array:
    """Integers are cut off, not rounded down."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise ZeroDivisionError("a division by zero")
    return np.asarray(np.sign(a) * np.sign(b) * (abs(a) // abs(b)))


def _axes(attributes: dict[str, Any], given: Array | None) -> tuple[int, ...] | None:
    axes = attributes.get("axes") if given is None else given.ravel().tolist()
    return None if axes is None else tuple(axes)


def _squeezed(attributes: dict[str, Any], x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(attributes, axes))


def _unsqueezed(attributes: dict[str, Any], x: Array, axes: Array | None = None) -> Array:
    chosen = _axes(attributes, axes)
    if chosen is None or len(chosen) > 8:
        raise ValueError("no axes" if chosen is None else f"{len(chosen)} axes")
    return np.expand_dims(x, chosen)


def _reshaped(attributes: dict[str, Any], x: Array, shape: Array | None = None) -> Array:
    wanted = list(attributes["shape"]) if shape is None else shape.ravel().tolist()
    if not attributes.get("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


def _sliced(
    attributes: dict[str, Any],
    x: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    first = list(attributes["starts"]) if starts is None else starts.ravel().tolist()
    last = list(attributes["ends"]) if ends is None else ends.ravel().tolist()
    chosen = attributes.get("axes") if axes is None else axes.ravel().tolist()
    step = [1] * len(first) if steps is None else steps.ravel().tolist()
    cuts = [slice(None)] * x.ndim
    for axis, each in zip(chosen or range(len(first)), zip(first, last, step, strict=True), strict=True):
        cuts[axis] = slice(*each)
    return x[tuple(cuts)]


def _cast(attributes: dict[str, Any], x: Array) -> Array:
    from onnx import helper

    return x.astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _transposed(attributes: dict[str, Any], x: Array) -> Array:
    return x.transpose(attributes.get("perm"))


def _gathered(attributes: dict[str, Any], x: Array, indices: Array) -> Array:
    _bounded((indices.size, *x.shape), x.itemsize)
    return np.take(x, indices.astype(np.int64), attributes.get("axis", 0))


def _joined(attributes: dict[str, Any], *arrays: Array) -> Array:
    return np.concatenate(arrays, attributes["axis"])


FOLDED: dict[str, Callable[..., Any]] = {
    "Add": _binary(np.add),
    "Cast": _cast,
    "Ceil": lambda attributes, x: np.ceil(x),
    "Concat": _joined,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _binary(_divided),
    "Floor": lambda attributes, x: np.floor(x),
    "Gather": _gathered,
    "Identity": lambda attributes, x: x,
    "Mul": _binary(np.multiply),
    "Neg": lambda attributes, x: -x,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Sqrt": lambda attributes, x: np.sqrt(x),
    "Squeeze": _squeezed,
    "Sub": _binary(np.subtract),
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
