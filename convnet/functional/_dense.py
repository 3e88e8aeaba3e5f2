"""Dense (fully connected) layers and the step from maps to vectors."""

import math

import numpy as np

from convnet.errors import ShapeError
from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    empty,
    expect_shape,
    feature_maps,
    floats,
    gradient_target,
    maps_shape,
    same_dtype,
    to_nchw,
)
from convnet.kernels import dense as kernels
from convnet.kernels.elementwise import relu_gradient, transpose


def _matrices(x: object, w: object, who: str) -> tuple[FloatArray, FloatArray]:
    x = floats(x, who, "x")
    w = same_dtype(x, w, who, "w")
    if w.ndim != 2:
        raise ShapeError(f"{who}: expected w of shape (out, in), got {w.shape}")
    if x.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"{who}: expected x of shape (n, {w.shape[1]}) for w of shape {w.shape}, got {x.shape}")
    return contiguous(x), contiguous(w)


def dense(x: FloatArray, w: FloatArray, b: FloatArray | None = None, *, relu: bool = False) -> FloatArray:
    """Multiply vectors with a matrix: ``y[n, o] = b[o] + sum over k of x[n, k] * w[o, k]``.

    Parameters
    ----------
    x : array of shape (n, in), float32 or float64
    w : array of shape (out, in)
    b : array of shape (out,), optional
    relu : bool
        Whether to return ``max(y, 0)``, the very numbers of `relu` after `dense`, without a second pass over y.

    Returns
    -------
    array of shape (n, out)

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> dense(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0]]), np.array([0.5, 0.0]))
    array([[3.5, 6. ]])
    """
    x, w = _matrices(x, w, "dense")
    if b is not None:
        b = contiguous(same_dtype(x, b, "dense", "b"))
        expect_shape(b, (w.shape[0],), "dense", "b")
    y = empty((x.shape[0], w.shape[0]), x.dtype)
    kernels.dense_forward(x, w, b, y, relu)
    return y


def _rectified(dy: FloatArray, y: FloatArray, who: str) -> FloatArray:
    """Return dy where y > 0 (or NaN), else 0."""
    y = contiguous(same_dtype(dy, y, who, "relu_output"))
    expect_shape(y, dy.shape, who, "relu_output")
    masked = empty(dy.shape, dy.dtype)
    relu_gradient(dy.reshape(-1), y.reshape(-1), masked.reshape(-1), math.nan)
    return masked


def dense_backward(
    dy: FloatArray,
    x: FloatArray,
    w: FloatArray,
    *,
    relu_output: FloatArray | None = None,
    dx: bool = True,
    dw: bool | FloatArray = True,
    db: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradients of `dense`: ``dx = dy @ w``, ``dw = dy.T @ x``, ``db = dy.sum(0)``.

    Parameters
    ----------
    dy : array of shape (n, out)
    x, w
        As given to `dense`.
    relu_output : array of shape (n, out), optional
        What `dense` returned with ``relu=True``: dy then counts only where that is above 0 (or NaN).
    dx : bool
        Whether to compute the gradient with respect to x.
    dw, db : bool or array
        True returns a new array, False computes nothing, an array has the gradient added into it.

    Returns
    -------
    dx : array of shape (n, in) or None
    dw : array of shape (out, in) or None
    db : array of shape (out,) or None

    Raises
    ------
    ShapeError, DTypeError
    """
    who = "dense_backward"
    x, w = _matrices(x, w, who)
    dy = contiguous(same_dtype(x, dy, who, "dy"))
    expect_shape(dy, (x.shape[0], w.shape[0]), who, "dy")
    if relu_output is not None:
        dy = _rectified(dy, relu_output, who)
    dw_out = gradient_target(dw, w.shape, x.dtype, who, "dw")
    db_out = gradient_target(db, w.shape[:1], x.dtype, who, "db")
    dx_out = None
    if dx:
        dx_out = empty(x.shape, x.dtype)
        kernels.dense_data_gradient(dy, w, dx_out)
    if dw_out is not None or db_out is not None:
        kernels.dense_weight_gradient(dy, x, dw_out, db_out)
    return dx_out, dw_out, db_out


def flatten(x: FloatArray) -> FloatArray:
    """Lay out maps as vectors in the logical order channel, row, column.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64

    Returns
    -------
    array of shape (n, c * h * w)
        A view where x is C-contiguous in its logical shape, else a copy.

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> flatten(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[0., 1., 2., 3., 4., 5., 6., 7.]])
    """
    x = feature_maps(x, "flatten")
    n, c, h, w = x.shape
    if x.flags.c_contiguous:
        return x.reshape(n, c * h * w)
    y = empty((n, c * h * w), x.dtype)
    nhwc = x.transpose(0, 2, 3, 1)
    if nhwc.flags.c_contiguous:
        transpose(nhwc.reshape(n, h * w, c), y.reshape(n, c, h * w))
    else:
        np.copyto(y.reshape(x.shape), x)
    return y


def unflatten(dy: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Undo `flatten`: vectors back to maps, channels-last in memory.

    Parameters
    ----------
    dy : array of shape (n, c * h * w), float32 or float64
    shape : (n, c, h, w)

    Returns
    -------
    array of shape (n, c, h, w)

    Raises
    ------
    ShapeError, DTypeError
    """
    dy = contiguous(floats(dy, "unflatten", "dy"))
    n, c, h, w = maps_shape(shape, "unflatten", "shape")
    expect_shape(dy, (n, c * h * w), "unflatten", "dy")
    if c == 1 or h * w == 1:
        return dy.reshape(n, c, h, w)
    maps = empty((n, h, w, c), dy.dtype)
    transpose(dy.reshape(n, c, h * w), maps.reshape(n, h * w, c))
    return to_nchw(maps)
