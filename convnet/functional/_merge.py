"""Several arrays made one, and what that means for gradients."""

from collections.abc import Sequence

import numpy as np

from convnet.functional._arrays import FloatArray, empty, expect_shape, floats, same_dtype, to_nchw, to_nhwc
from convnet.shapes import concat_shape, gated_shape

__all__ = ["concat", "multiply", "multiply_backward"]


def concat(xs: Sequence[FloatArray]) -> FloatArray:
    """Join arrays along their channels.

    Parameters
    ----------
    xs : arrays (n, c_i, h, w) or (n, c_i), float32 or float64

    Returns
    -------
    array (n, c_0 + c_1 + ..., h, w), in memory channels-last, or (n, c_0 + c_1 + ...)

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> concat([np.zeros((1, 1)), np.ones((1, 2))])
    array([[0., 1., 1.]])
    """
    arrays = _all_floats(xs, "concat")
    shape = concat_shape([x.shape for x in arrays], "concat", axis=1)
    y = _empty_maps(shape, arrays[0].dtype)
    np.concatenate([_channels_last(x) for x in arrays], axis=-1, out=_channels_last(y))
    return y


def multiply(xs: Sequence[FloatArray]) -> FloatArray:
    """Multiply arrays element by element; a gate (n, c, 1, 1) serves whole maps.

    Parameters
    ----------
    xs : arrays of one shape (n, c, h, w) or (n, c, 1, 1), or of any other one shape; float32 or float64

    Returns
    -------
    array (n, c, h, w), in memory channels-last, or of the shape of the inputs

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> multiply([np.ones((1, 2, 1, 2)), np.array([[[[2.0]], [[3.0]]]])])[0, :, 0]
    array([[2., 2.],
           [3., 3.]])
    """
    arrays = _all_floats(xs, "multiply")
    return _product(arrays, gated_shape([x.shape for x in arrays], "multiply", axis=2))


def multiply_backward(dy: FloatArray, xs: Sequence[FloatArray]) -> tuple[FloatArray, ...]:
    """Gradients of `multiply`: dy times the other inputs, for a gate summed over each map.

    Parameters
    ----------
    dy : array of the shape of the product
    xs : arrays
        What `multiply` was given.

    Returns
    -------
    tuple of arrays of the shapes of ``xs``

    Raises
    ------
    ShapeError, DTypeError
    """
    who = "multiply_backward"
    arrays = _all_floats(xs, who)
    shape = gated_shape([x.shape for x in arrays], who, axis=2)
    dy = same_dtype(arrays[0], dy, who, "dy")
    expect_shape(dy, shape, who, "dy")
    return tuple(
        (_product if x.shape == shape else _sum_of_product)([dy, *arrays[:i], *arrays[i + 1 :]], shape)
        for i, x in enumerate(arrays)
    )


def _all_floats(xs: Sequence[FloatArray], who: str) -> list[FloatArray]:
    arrays = [floats(x, who, f"xs[{i}]") for i, x in enumerate(xs)]
    for i, x in enumerate(arrays[1:], 1):
        same_dtype(arrays[0], x, who, f"xs[{i}]")
    return arrays


def _channels_last(x: FloatArray) -> FloatArray:
    """View maps in the order of their memory, whether that is without gaps or not."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _empty_maps(shape: tuple[int, ...], dtype: np.dtype) -> FloatArray:
    if len(shape) != 4:
        return empty(shape, dtype)
    n, c, h, w = shape
    return to_nchw(empty((n, h, w, c), dtype))


def _product(factors: Sequence[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    if len(factors) == 1:
        return factors[0].copy()
    y = _empty_maps(shape, factors[0].dtype)
    np.multiply(factors[0], factors[1], out=y)
    for factor in factors[2:]:
        y *= factor
    return y


def _sum_of_product(factors: Sequence[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    """Sum each map (n, c, h, w) of a product to (n, c, 1, 1), pixel by pixel.

    In one pass, without the product: 1.5 ms instead of 7 for (16, 64, 56, 56).
    """
    first = factors[0] if len(factors) == 2 else _product(factors[:-1], shape)
    maps, others = to_nhwc(first), to_nhwc(np.broadcast_to(factors[-1], shape))
    sums: FloatArray = np.einsum("nhwc,nhwc->nc", maps, others)
    return sums[:, :, np.newaxis, np.newaxis]
