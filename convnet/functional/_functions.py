"""Activations beyond the rectifiers, by name; PReLU, whose slopes are learned."""

from typing import Literal, TypeAlias, get_args

import numpy as np

from convnet.errors import SettingError, ShapeError
from convnet.functional._activation import mapped, mapped_backward
from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    empty,
    expect_shape,
    floats,
    gradient_target,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.kernels import activation as kernels

Function: TypeAlias = Literal[
    "elu", "gelu", "gelu_tanh", "hard_sigmoid", "hard_swish", "leaky_relu", "sigmoid", "silu", "tanh"
]

SAVES_OUTPUT = frozenset(("sigmoid", "tanh"))
"""The functions whose derivative follows from their result; that of the others takes what they were applied to."""


def _checked(name: str, who: str) -> None:
    if name not in get_args(Function):
        raise SettingError(f"{who}: expected one of {', '.join(get_args(Function))}, got {name!r}")


def activation(x: FloatArray, name: Function, alpha: float = 1.0) -> FloatArray:
    """Apply a function to each number; NaN stays NaN.

    ============  =========================================================  ==================================
    name          y                                                          paper
    ============  =========================================================  ==================================
    leaky_relu    x where x > 0, else alpha x                                Maas et al. 2013 (ICML 30)
    elu           x where x > 0, else alpha (exp(x) - 1)                     Clevert et al., arXiv:1511.07289
    gelu          x (1 + erf(x / sqrt(2))) / 2                               Hendrycks, Gimpel, arXiv:1606.08415
    gelu_tanh     x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x ** 3))) / 2       the same, section 2
    silu          x / (1 + exp(-x))                                          Ramachandran et al., arXiv:1710.05941
    hard_swish    x min(max(x + 3, 0), 6) / 6                                Howard et al., arXiv:1905.02244
    hard_sigmoid  min(max(x + 3, 0), 6) / 6                                  the same, section 5.2
    sigmoid       1 / (1 + exp(-x))
    tanh          (exp(x) - exp(-x)) / (exp(x) + exp(-x))
    ============  =========================================================  ==================================

    Parameters
    ----------
    x : array of any shape, float32 or float64
    name : str
        Of the function.
    alpha : float
        The slope of leaky_relu, or the limit of elu; the others have none.

    Returns
    -------
    array of x's shape, channels-last in memory where x is

    Raises
    ------
    DTypeError, SettingError

    Notes
    -----
    Exponentials run in vectors, to about one unit in the last place: each function is as fast as memory.

    Examples
    --------
    >>> activation(np.array([-2.0, 0.0, 4.0]), "leaky_relu", 0.5)
    array([-1.,  0.,  4.])
    >>> activation(np.array([-2.0, 0.0, 4.0]), "sigmoid").round(3)
    array([0.119, 0.5  , 0.982])
    """
    _checked(name, "activation")

    def kernel(source: FloatArray, result: FloatArray) -> None:
        kernels.Activation(name, alpha, source.itemsize, source.size).run(source, result, 1)

    return mapped(kernel, x, "activation")


def activation_backward(dy: FloatArray, saved: FloatArray, name: Function, alpha: float = 1.0) -> FloatArray:
    """Gradient of `activation`: dy times the derivative.

    Parameters
    ----------
    dy : array of saved's shape
    saved : array of any shape, float32 or float64
        The result for sigmoid and tanh, for the others x.
    name, alpha
        As given to `activation`.

    Returns
    -------
    array of saved's shape

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Where a function has a corner the derivative is PyTorch's: that below 0 for leaky_relu and elu, 0 at -3 for
    hard_sigmoid and hard_swish, at 3 0 and 1.
    """
    who = "activation_backward"
    _checked(name, who)

    def kernel(gradient: FloatArray, source: FloatArray, dx: FloatArray) -> None:
        kernels.Activation(name, alpha, source.itemsize, source.size).gradient(gradient, source, dx, 1)

    return mapped_backward(kernel, dy, saved, who, "saved")


# ---- PReLU -----------------------------------------------------------------------------------------------------------


def _slopes(x: FloatArray, weight: object, who: str) -> FloatArray:
    slopes = contiguous(same_dtype(x, weight, who, "weight"))
    if slopes.shape == (1,):
        return slopes
    if x.ndim not in (2, 4):
        raise ShapeError(f"{who}: expected x of shape (n, c) or (n, c, h, w) for a weight a channel, got {x.shape}")
    if slopes.shape != x.shape[1:2]:
        raise ShapeError(f"{who}: expected weight of shape (1,) or ({x.shape[1]},), got {slopes.shape}")
    return slopes


def _channels_last(x: FloatArray) -> FloatArray:
    return to_nhwc(x) if x.ndim == 4 else contiguous(x)


def prelu(x: FloatArray, weight: FloatArray) -> FloatArray:
    """Rectify with a slope that is learned: x where x > 0, else weight * x.

    Parameters
    ----------
    x : array of any shape, float32 or float64
        For a weight a channel (n, c) or (n, c, h, w).
    weight : array of shape (1,) or (c,)

    Returns
    -------
    array of x's shape, channels-last in memory where it has four dimensions

    Raises
    ------
    ShapeError, DTypeError

    Notes
    -----
    He et al., "Delving deep into rectifiers", arXiv:1502.01852.

    Examples
    --------
    >>> prelu(np.array([[-1.0, -1.0, 3.0]]), np.array([0.5, 0.25, 0.125]))
    array([[-0.5 , -0.25,  3.  ]])
    """
    x = floats(x, "prelu", "x")
    slopes = _slopes(x, weight, "prelu")
    source = _channels_last(x)
    y = empty(source.shape, x.dtype)
    kernels.PReLU(slopes, x.itemsize, x.size).run(source.reshape(-1), y.reshape(-1), 1)
    return to_nchw(y) if x.ndim == 4 else y


def prelu_backward(
    dy: FloatArray, x: FloatArray, weight: FloatArray, *, dweight: bool | FloatArray = True
) -> tuple[FloatArray, FloatArray | None]:
    """Gradient of `prelu`: ``dx`` is dy where x > 0, else weight * dy; ``dweight`` sums dy * x where x <= 0.

    Parameters
    ----------
    dy : array of x's shape
    x, weight
        As given to `prelu`.
    dweight : bool or array
        Whether this gradient is wanted; an array of the right shape and type is added to.

    Returns
    -------
    dx : array of x's shape
    dweight : array of weight's shape, or None

    Raises
    ------
    ShapeError, DTypeError
    """
    who = "prelu_backward"
    x = floats(x, who, "x")
    dy = same_dtype(x, dy, who, "dy")
    expect_shape(dy, x.shape, who, "dy")
    slopes = _slopes(x, weight, who)
    target = gradient_target(dweight, slopes.shape, x.dtype, who, "dweight")
    source, gradient = _channels_last(x), _channels_last(dy)
    dx = empty(source.shape, x.dtype)
    sums = np.zeros_like(slopes) if target is None else target
    kernels.PReLU(slopes, x.itemsize, x.size).gradient(gradient.reshape(-1), source.reshape(-1), dx.reshape(-1), sums)
    return to_nchw(dx) if x.ndim == 4 else dx, target
