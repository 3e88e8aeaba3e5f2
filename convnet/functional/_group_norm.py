"""Group normalisation and its gradient."""

import numpy as np
from numpy.typing import NDArray

from convnet.errors import ShapeError
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
from convnet.kernels import group_norm as kernels
from convnet.settings import integer, real

Moments = NDArray[np.float64]


def _parameter(x: FloatArray, values: object, who: str, name: str) -> FloatArray | None:
    if values is None:
        return None
    array = contiguous(same_dtype(x, values, who, name))
    expect_shape(array, (x.shape[1],), who, name)
    return array


def _operation(
    x: FloatArray, num_groups: int, eps: float, weight: FloatArray | None, bias: FloatArray | None, who: str
) -> kernels.GroupNorm:
    _, c, h, w = x.shape
    num_groups = integer(num_groups, f"{who} num_groups")
    if c % num_groups:
        raise ShapeError(
            f"{who}: expected channels that are a multiple of num_groups={num_groups}, got x of shape {x.shape}"
        )
    return kernels.GroupNorm(x.dtype.itemsize, h * w, c, num_groups, real(eps, f"{who} eps"), weight, bias)


def group_norm(
    x: FloatArray,
    num_groups: int,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[FloatArray, Moments, Moments]:
    """Normalise each image's groups of channels by their mean and variance.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, mean and (biased) variance over the channels of a group and
    the map.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    num_groups : int
        Number of groups, a divisor of c: 1 normalises whole images, c each channel by itself.
    weight, bias : array of shape (c,), of x's type, optional
        Default: 1 and 0.
    eps : float

    Returns
    -------
    y : array of shape (n, c, h, w), channels-last in memory
    mean, var : array of shape (n, num_groups), float64
        Mean and mean squared deviation of each group, for `group_norm_backward`.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    The variance is taken from deviations: it loses nothing to a mean that is large beside it. Cost: two passes over x
    that stay in the cache, one over x and y. Wu and He, arXiv:1803.08494.

    Examples
    --------
    >>> y, mean, var = group_norm(np.array([1.0, 3, 5, 9]).reshape(1, 4, 1, 1), 2, eps=0)
    >>> y[0, :, 0, 0], mean, var
    (array([-1.,  1., -1.,  1.]), array([[2., 7.]]), array([[1., 4.]]))
    """
    x = feature_maps(x, "group_norm")
    weight, bias = _parameter(x, weight, "group_norm", "weight"), _parameter(x, bias, "group_norm", "bias")
    operation = _operation(x, num_groups, eps, weight, bias, "group_norm")
    n, c, h, w = x.shape
    y, moments = empty((n, h, w, c), x.dtype), np.zeros((n, 2, num_groups))
    operation.forward(to_nhwc(x).reshape(-1), y.reshape(-1), moments)
    return to_nchw(y), moments[:, 0], moments[:, 1]


def group_norm_backward(
    dy: FloatArray,
    x: FloatArray,
    mean: Moments,
    var: Moments,
    weight: FloatArray | None = None,
    *,
    eps: float = 1e-5,
    dx: bool = True,
    dweight: bool | FloatArray = True,
    dbias: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradient of `group_norm`.

    With d = (x - mean) / sqrt(var + eps) and g = weight * dy: ``dbias = sum of dy``, ``dweight = sum of dy d``, over
    the batch and the map, and ``dx = (g - mean of g - d * mean of g d) / sqrt(var + eps)``, means over the group and
    the map.

    Parameters
    ----------
    dy : array of shape (n, c, h, w), float32 or float64
    x, weight, eps
        As given to `group_norm`.
    mean, var : array of shape (n, num_groups)
        What it returned.
    dx : bool
        Whether that gradient is wanted.
    dweight, dbias : bool or array
        Whether these gradients are wanted; an array of the right shape and type is added to.

    Returns
    -------
    dx : array of shape (n, c, h, w), channels-last in memory, or None
    dweight, dbias : array of shape (c,), or None

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Cost: two passes over x and dy, one over dx.
    """
    who = "group_norm_backward"
    x = feature_maps(x, who)
    dy = same_dtype(x, dy, who, "dy")
    expect_shape(dy, x.shape, who, "dy")
    moments = _moments(x, mean, var, who)
    operation = _operation(x, moments.shape[2], eps, _parameter(x, weight, who, "weight"), None, who)
    n, c, h, w = x.shape
    to_weight = gradient_target(dweight, (c,), x.dtype, who, "dweight")
    to_bias = gradient_target(dbias, (c,), x.dtype, who, "dbias")
    to_x = empty((n, h, w, c), x.dtype) if dx else None
    flat = None if to_x is None else to_x.reshape(-1)
    operation.gradient(to_nhwc(dy).reshape(-1), to_nhwc(x).reshape(-1), moments, flat, to_weight, to_bias)
    return None if to_x is None else to_nchw(to_x), to_weight, to_bias


def _moments(x: FloatArray, mean: Moments, var: Moments, who: str) -> Moments:
    """Return both in one array (n, 2, num_groups)."""
    if mean.ndim != 2 or len(mean) != len(x):
        raise ShapeError(f"{who}: expected mean of shape ({len(x)}, num_groups), got {mean.shape}")
    expect_shape(var, mean.shape, who, "var")
    return np.stack([mean, var], axis=1).astype(np.float64)


def group_norm_operation(
    input_shape: tuple[int, ...],
    dtype: np.dtype,
    groups: int,
    eps: float,
    weight: FloatArray | None,
    bias: FloatArray | None,
) -> kernels.GroupNorm:
    """Return the operation on images (c, h, w), with parameters of its own."""
    c, h, w = input_shape
    own = [None if values is None else values.copy() for values in (weight, bias)]
    return kernels.GroupNorm(dtype.itemsize, h * w, c, groups, eps, *own)
