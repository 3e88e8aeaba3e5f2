"""The optimisers' steps: one pass over value, gradient and state, in place."""

import math

import numpy as np

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.functional._arrays import FLOATS, FloatArray, expect_shape
from convnet.kernels import elementwise as kernels
from convnet.settings import integer


def _flat(array: FloatArray, value: FloatArray, who: str, name: str) -> FloatArray:
    """View an array of the shape and type of ``value`` as one unbroken run of elements."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"{who}: expected {name} to be an array, got {type(array).__name__}")
    if array.dtype not in FLOATS or array.dtype != value.dtype:
        expected = value.dtype if value.dtype in FLOATS else "float32 or float64"
        raise DTypeError(f"{who}: expected {name} of dtype {expected}, got {array.dtype}")
    expect_shape(array, value.shape, who, name)
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ShapeError(f"{who}: expected {name} to be a writeable C-contiguous array")
    return array.reshape(-1)


def sgd_update(
    value: FloatArray,
    grad: FloatArray,
    velocity: FloatArray | None,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One step of stochastic gradient descent, in place; ``grad`` is cleared in the same pass.

    ``g = grad + weight_decay * value``; ``velocity = momentum * velocity + g``;
    ``value -= lr * (g + momentum * velocity if nesterov else velocity)``; without velocity ``value -= lr * g``.

    Parameters
    ----------
    value, grad : arrays of one shape, float32 or float64, C-contiguous
    velocity : array of that shape, or None
        Zeros before the first step; needed for momentum only.
    lr, momentum, weight_decay : float
    nesterov : bool

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Reads three and writes three numbers an element. Sutskever et al., "On the importance of initialization and
    momentum in deep learning", ICML 2013, in the form that PyTorch uses.
    """
    who = "sgd_update"
    flat, flat_grad = _flat(value, value, who, "value"), _flat(grad, value, who, "grad")
    state = None if velocity is None else _flat(velocity, value, who, "velocity")
    if state is None and momentum != 0:
        raise SettingError(f"{who}: expected momentum=0 without a velocity, got {momentum}")
    kernels.sgd_update(flat, flat_grad, state, lr, momentum, nesterov, weight_decay)


def adam_update(
    value: FloatArray,
    grad: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: int,
    decoupled: bool = False,
) -> None:
    """One step of Adam, or AdamW with ``decoupled``, in place; ``grad`` is cleared in the same pass.

    ``g = grad + weight_decay * value`` (decoupled: ``value *= 1 - lr * weight_decay`` instead);
    ``mean = b1 * mean + (1 - b1) * g``; ``variance = b2 * variance + (1 - b2) * g**2``;
    ``value -= lr * (mean / (1 - b1**step)) / (sqrt(variance / (1 - b2**step)) + eps)``.

    Parameters
    ----------
    value, grad, mean, variance : arrays of one shape, float32 or float64, C-contiguous
        mean and variance are zeros before the first step.
    lr, eps, weight_decay : float
    betas : pair of float
        b1 and b2.
    step : int
        1 at the first step.
    decoupled : bool

    Raises
    ------
    ShapeError, DTypeError

    Notes
    -----
    Kingma and Ba (arXiv:1412.6980); Loshchilov and Hutter (arXiv:1711.05101) for the decoupled form.
    """
    who = "adam_update"
    step = integer(step, f"{who} step")
    kernels.adam_update(
        _flat(value, value, who, "value"),
        _flat(grad, value, who, "grad"),
        _flat(mean, value, who, "mean"),
        _flat(variance, value, who, "variance"),
        lr / (1 - betas[0] ** step),
        *betas,
        eps,
        math.sqrt(1 - betas[1] ** step),
        0.0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1.0,
    )
