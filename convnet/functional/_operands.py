"""The arrays of a convolution and of its gradients, checked: the same for the transposed one."""

from typing import NamedTuple

from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    expect_shape,
    feature_maps,
    gradient_target,
    same_dtype,
    to_nhwc,
)


def operands(x: FloatArray, w: FloatArray, who: str) -> tuple[FloatArray, FloatArray]:
    """Return maps and contiguous weights of one type; their shapes are not compared."""
    x = feature_maps(x, who)
    return x, contiguous(same_dtype(x, w, who, "w"))


def bias(x: FloatArray, b: object, outputs: int, who: str) -> FloatArray | None:
    """Return one number an output, in the type of ``x``, or None."""
    if b is None:
        return None
    array = contiguous(same_dtype(x, b, who, "b"))
    expect_shape(array, (outputs,), who, "b")
    return array


class Gradients(NamedTuple):
    """The gradient of the output, channels-last, and what those of w and b are added into, if they are wanted."""

    dy: FloatArray
    dw: FloatArray | None
    db: FloatArray | None


def gradients(
    dy: FloatArray,
    shape: tuple[int, ...],
    x: FloatArray,
    w: FloatArray,
    dw: bool | FloatArray,
    db: bool | FloatArray,
    who: str,
) -> Gradients:
    """Check ``dy``, which is to have ``shape``, and the targets that a backward pass was given."""
    dy = same_dtype(x, feature_maps(dy, who, "dy"), who, "dy")
    expect_shape(dy, shape, who, "dy")
    to_w = gradient_target(dw, w.shape, x.dtype, who, "dw")
    return Gradients(to_nhwc(dy), to_w, gradient_target(db, shape[1:2], x.dtype, who, "db"))
