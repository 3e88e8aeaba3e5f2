"""Batch normalisation and its gradient, with the addition and the ReLU that often follow it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    empty,
    expect_shape,
    feature_maps,
    gradient_target,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.kernels import norm as kernels

Moments = NDArray[np.float64]


def _pixels(x: FloatArray) -> FloatArray:
    """View maps (n, c, h, w) as a matrix of pixels and channels."""
    n, c, h, w = x.shape
    return to_nhwc(x).reshape(n * h * w, c)


def _pixels_like(x: FloatArray, other: object, who: str, name: str) -> FloatArray:
    array = same_dtype(x, other, who, name)
    expect_shape(array, x.shape, who, name)
    return _pixels(array)


def channel_parameter(x: FloatArray, values: object, who: str, name: str) -> FloatArray | None:
    """Return one number a channel, in the type of ``x``, or None."""
    if values is None:
        return None
    array = same_dtype(x, values, who, name)
    expect_shape(array, (x.shape[1],), who, name)
    return contiguous(array)


def channel_moments(x: FloatArray, values: Any, who: str, name: str) -> Moments:
    """Return one number a channel, as float64."""
    array: Moments = np.ascontiguousarray(values, np.float64)
    expect_shape(array, (x.shape[1],), who, name)
    return array


def moments(x: FloatArray) -> tuple[Moments, Moments]:
    """Return the mean of each channel and the mean squared deviation from it; 0 for an empty batch."""
    mean, var = np.zeros((2, x.shape[1]))
    kernels.moments(_pixels(x), mean, var)
    return mean, var


def batch_norm(
    x: FloatArray,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    *,
    eps: float = 1e-5,
    relu: bool = False,
    ceiling: float | None = None,
    add: FloatArray | None = None,
) -> tuple[FloatArray, Moments, Moments]:
    """Normalise each channel by its mean and variance over the batch and the map.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, then ``+ add``, then the positive part if ``relu``.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    weight, bias : array of shape (c,), of x's type, optional
        Default: 1 and 0.
    eps : float
    relu : bool
        Whether to rectify the result, in the same pass over memory.
    ceiling : float, optional
        What it is cut off at then: 6 makes it a ReLU6.
    add : array of x's shape and type, optional
        Maps to add, in the same pass: the other branch of a residual block.

    Returns
    -------
    y : array of shape (n, c, h, w), channels-last in memory
    mean, var : array of shape (c,), float64
        Mean and mean squared deviation of each channel, for `batch_norm_backward`; 0 for an empty batch.

    Raises
    ------
    ShapeError, DTypeError

    Notes
    -----
    The variance is taken from deviations, in pieces of the batch that stay in the cache: it loses nothing to a mean
    that is large beside it. Cost: two passes over x, one over each other map. Ioffe and Szegedy, arXiv:1502.03167.

    Examples
    --------
    >>> y, mean, var = batch_norm(np.array([1.0, 3, 5, 7]).reshape(4, 1, 1, 1), eps=0)
    >>> mean, var
    (array([4.]), array([5.]))
    """
    x = to_nchw(to_nhwc(feature_maps(x, "batch_norm")))
    mean, var = moments(x)
    return _normalize(x, mean, var, weight, bias, eps, relu, ceiling, add, "batch_norm"), mean, var


def batch_norm_inference(
    x: FloatArray,
    mean: FloatArray,
    var: FloatArray,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    *,
    eps: float = 1e-5,
    relu: bool = False,
    ceiling: float | None = None,
    add: FloatArray | None = None,
) -> FloatArray:
    """Normalise each channel by a mean and a variance that are given.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    mean, var : array of shape (c,)
    weight, bias, eps, relu, ceiling, add
        As for `batch_norm`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError
    """
    who = "batch_norm_inference"
    x = feature_maps(x, who)
    mean, var = channel_moments(x, mean, who, "mean"), channel_moments(x, var, who, "var")
    return _normalize(x, mean, var, weight, bias, eps, relu, ceiling, add, who)


def _normalize(
    x: FloatArray,
    mean: Moments,
    var: Moments,
    weight: FloatArray | None,
    bias: FloatArray | None,
    eps: float,
    relu: bool,
    ceiling: float | None,
    add: FloatArray | None,
    who: str,
) -> FloatArray:
    n, c, h, w = x.shape
    weight, bias = channel_parameter(x, weight, who, "weight"), channel_parameter(x, bias, who, "bias")
    added = None if add is None else _pixels_like(x, add, who, "add")
    y = empty((n, h, w, c), x.dtype)
    kernels.normalize(_pixels(x), added, weight, bias, mean, var, eps, relu, _end(ceiling), y.reshape(-1, c))
    return to_nchw(y)


def batch_norm_backward(
    dy: FloatArray,
    x: FloatArray,
    mean: Moments,
    var: Moments,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    *,
    eps: float = 1e-5,
    relu: bool = False,
    ceiling: float | None = None,
    output: FloatArray | None = None,
    dx: bool = True,
    dweight: bool | FloatArray = True,
    dbias: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradient of `batch_norm`.

    With g = dy, or with ``relu`` dy where the output lies between 0 and ``ceiling`` and else 0, and d = x - mean:
    ``dbias = sum of g``, ``dweight = (sum of g d) / sqrt(var + eps)`` and ``dx = weight / sqrt(var + eps) * (g - mean
    of g - d * (mean of g d) / (var + eps))``, sums and means over the batch and the map.

    Parameters
    ----------
    dy : array of shape (n, c, h, w), float32 or float64
    x, weight, bias, eps, relu, ceiling
        As given to `batch_norm`.
    mean, var : array of shape (c,)
        What it returned.
    output : array of shape (n, c, h, w), optional
        What it returned as y: needed with ``relu`` where ``add`` was given. Without ``add``, x tells as fast what was
        rectified.
    dx : bool
        Whether that gradient is wanted.
    dweight, dbias : bool or array
        Whether these gradients are wanted; an array of the right shape and type is added to.

    Returns
    -------
    dx : array of shape (n, c, h, w), channels-last in memory, or None
    dweight, dbias : array of shape (c,), or None
    dadd : array of shape (n, c, h, w), channels-last in memory, or None
        g, the gradient with respect to ``add``; None without ``relu`` or without ``output``. Without ``relu`` it is dy.

    Raises
    ------
    ShapeError, DTypeError

    Notes
    -----
    Cost: two passes over x and dy and one over each other map.
    """
    who = "batch_norm_backward"
    x = feature_maps(x, who)
    n, c, h, w = x.shape
    pixels, gradient = _pixels(x), _pixels_like(x, dy, who, "dy")
    mean, var = channel_moments(x, mean, who, "mean"), channel_moments(x, var, who, "var")
    weight, bias = channel_parameter(x, weight, who, "weight"), channel_parameter(x, bias, who, "bias")
    adds = relu and output is not None
    y = _pixels_like(x, output, who, "output") if adds else None
    to_weight = gradient_target(dweight, (c,), x.dtype, who, "dweight")
    to_bias = gradient_target(dbias, (c,), x.dtype, who, "dbias")
    to_x = empty((n, h, w, c), x.dtype).reshape(-1, c) if dx else None
    to_add = empty((n, h, w, c), x.dtype).reshape(-1, c) if adds else None
    constants = (weight, bias, mean, var, eps, relu, _end(ceiling))
    kernels.batch_norm_gradient(gradient, pixels, y, *constants, to_x, to_weight, to_bias, to_add)
    return _maps(to_x, x.shape), to_weight, to_bias, _maps(to_add, x.shape)


def _end(ceiling: float | None) -> float:
    """As the kernels want it: NaN for none."""
    return math.nan if ceiling is None else ceiling


def _maps(pixels: FloatArray | None, shape: tuple[int, ...]) -> FloatArray | None:
    """View a matrix of pixels and channels as maps (n, c, h, w)."""
    n, c, h, w = shape
    return None if pixels is None else to_nchw(pixels.reshape(n, h, w, c))
