"""Batch normalisation, ReLU and max pooling in one pass, and their gradient."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DTypeError
from convnet.functional._arrays import (
    FloatArray,
    empty,
    expect_shape,
    feature_maps,
    gradient_target,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.functional._conv import pool_windows
from convnet.functional._norm import Moments, channel_moments, channel_parameter, moments
from convnet.kernels import norm as kernels
from convnet.shapes import IntPair


def batch_norm_relu_pool(
    x: FloatArray,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    *,
    pool: IntPair,
    eps: float = 1e-5,
    mean: FloatArray | None = None,
    var: FloatArray | None = None,
) -> tuple[FloatArray, NDArray[np.uint8], Moments, Moments]:
    """Normalise, rectify and take the maxima of windows side by side: one pass over memory.

    The same numbers as ``max_pool2d(y, pool)`` with the ``y`` of `batch_norm` with ``relu``, which is never written.

    Parameters
    ----------
    x, weight, bias, eps
        As for `batch_norm`.
    pool : int or pair of int
        Size, and stride, of the windows: 2 to 255 elements.
    mean, var : array of shape (c,), optional
        Moments to normalise by, as in `batch_norm_inference`. Default: those of x.

    Returns
    -------
    y : array of shape (n, c, h // pool, w // pool)
        Channels-last in memory.
    codes : array of the shape of y, uint8
        Position of each maximum in its window, counted row by row; 255 where y is 0.
    mean, var : array of shape (c,), float64
        As given, or as `batch_norm` returns them.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Cost: two passes over x, one if the moments are given, and one over the smaller y.

    Examples
    --------
    >>> x = np.array([[1.0, 3], [5, 7]]).reshape(1, 1, 2, 2)
    >>> y, codes, mean, var = batch_norm_relu_pool(x, pool=2, eps=0)
    >>> (y * np.sqrt(var)).round(6).item(), codes.item()
    (3.0, 3)
    """
    who = "batch_norm_relu_pool"
    x = to_nchw(to_nhwc(feature_maps(x, who)))
    n, c, h, w = x.shape
    windows = pool_windows(pool, (h, w), who)
    weight, bias = channel_parameter(x, weight, who, "weight"), channel_parameter(x, bias, who, "bias")
    if mean is None or var is None:
        mean, var = moments(x)
    else:
        mean, var = channel_moments(x, mean, who, "mean"), channel_moments(x, var, who, "var")
    y = empty((n, h // windows[0], w // windows[1], c), x.dtype)
    codes = empty(y.shape, np.dtype(np.uint8))
    kernels.normalize_pool(to_nhwc(x), weight, bias, mean, var, eps, y, codes, *windows)
    return to_nchw(y), to_nchw(codes), mean, var


def batch_norm_relu_pool_backward(
    dy: FloatArray,
    codes: NDArray[Any],
    x: FloatArray,
    mean: Moments,
    var: Moments,
    weight: FloatArray | None = None,
    *,
    pool: IntPair,
    eps: float = 1e-5,
    dx: bool = True,
    dweight: bool | FloatArray = True,
    dbias: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradient of `batch_norm_relu_pool` where it took the moments of x.

    That of `batch_norm` for a g that is dy at the element each code names, and else 0.

    Parameters
    ----------
    dy : array of shape (n, c, h // pool, w // pool), float32 or float64
    codes, mean, var
        What `batch_norm_relu_pool` returned.
    x, weight, pool, eps
        As given to it.
    dx, dweight, dbias
        As for `batch_norm_backward`.

    Returns
    -------
    dx : array of shape (n, c, h, w), channels-last in memory, or None
    dweight, dbias : array of shape (c,), or None

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Cost: two passes over x and over the smaller dy and codes, one over dx.
    """
    who = "batch_norm_relu_pool_backward"
    x = feature_maps(x, who)
    n, c, h, w = x.shape
    windows = pool_windows(pool, (h, w), who)
    dy = same_dtype(x, dy, who, "dy")
    expect_shape(dy, (n, c, h // windows[0], w // windows[1]), who, "dy")
    if codes.dtype != np.uint8:
        raise DTypeError(f"{who}: expected codes of dtype uint8, got {codes.dtype}")
    expect_shape(codes, dy.shape, who, "codes")
    mean, var = channel_moments(x, mean, who, "mean"), channel_moments(x, var, who, "var")
    weight = channel_parameter(x, weight, who, "weight")
    to_weight = gradient_target(dweight, (c,), x.dtype, who, "dweight")
    to_bias = gradient_target(dbias, (c,), x.dtype, who, "dbias")
    to_x = empty((n, h, w, c), x.dtype) if dx else None
    codes = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    kernels.batch_norm_pool_gradient(
        to_nhwc(dy), codes, to_nhwc(x), weight, mean, var, eps, to_x, to_weight, to_bias, *windows
    )
    return None if to_x is None else to_nchw(to_x), to_weight, to_bias
