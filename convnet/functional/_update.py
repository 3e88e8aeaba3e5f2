"""The optimisers' steps: one pass over value, gradient and state, in place."""

from collections.abc import Sequence

import numpy as np

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.functional._arrays import FLOATS, FloatArray, expect_shape
from convnet.kernels import elementwise as kernels
from convnet.settings import integer


class Updates:
    """The arrays of many parameters, checked once, for optimizers whose steps visit them all in one call.

    The arrays are updated in place and must stay the same from step to step: for others make new `Updates`.

    Parameters
    ----------
    arrays : sequence of tuples
        For each parameter ``(value, grad, velocity)``, as `sgd_update` takes them, for steps of `sgd`, or
        ``(value, grad, mean, variance)``, as `adam_update` takes them, for steps of `adam`.
    who : str
        Whom errors name.

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> values, grads = [np.zeros(2), np.zeros((1, 3))], [np.ones(2), np.ones((1, 3))]
    >>> Updates([(value, grad, None) for value, grad in zip(values, grads)]).sgd(lr=0.5)
    >>> values, grads[0]
    ([array([-0.5, -0.5]), array([[-0.5, -0.5, -0.5]])], array([0., 0.]))
    """

    def __init__(
        self, arrays: Sequence[tuple[FloatArray, FloatArray, *tuple[FloatArray | None, ...]]], who: str = "Updates"
    ) -> None:
        self._who = who
        self._states = 2  # that every parameter has
        self._kernels = kernels.Updates(len(arrays))
        for value, grad, *state in arrays:
            flat, flat_grad = self._flat(value, value, "value"), self._flat(grad, value, "grad")
            names = ("velocity",) if len(state) == 1 else ("mean", "variance")
            states = [self._flat(a, value, name) for a, name in zip(state, names, strict=True) if a is not None]
            self._states = min(self._states, len(states))
            self._kernels.append(flat, flat_grad, *states, *[None] * (2 - len(states)))

    def _flat(self, array: FloatArray, value: FloatArray, name: str) -> FloatArray:
        """View an array of the shape and type of ``value`` as one unbroken run of elements."""
        if not isinstance(array, np.ndarray):
            raise DTypeError(f"{self._who}: expected {name} to be an array, got {type(array).__name__}")
        if array.dtype not in FLOATS or array.dtype != value.dtype:
            expected = value.dtype if value.dtype in FLOATS else "float32 or float64"
            raise DTypeError(f"{self._who}: expected {name} of dtype {expected}, got {array.dtype}")
        expect_shape(array, value.shape, self._who, name)
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise ShapeError(f"{self._who}: expected {name} to be a writeable C-contiguous array")
        return array.reshape(-1)

    def sgd(self, *, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> None:
        """Make one step of `sgd_update` for each parameter.

        Raises
        ------
        SettingError
            If there is momentum, but a velocity is missing.
        """
        if momentum != 0 and self._states < 1:
            raise SettingError(f"{self._who}: expected momentum=0 without a velocity, got {momentum}")
        self._kernels.sgd(lr, momentum, nesterov, weight_decay)

    def adam(
        self,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        steps: Sequence[int],
        decoupled: bool = False,
    ) -> None:
        """Make one step of `adam_update` for each parameter; ``steps`` has its number for each.

        Raises
        ------
        SettingError
            If there is not one number of at least 1 for each parameter, or one lacks mean and variance.
        """
        numbers = [integer(step, f"{self._who} step") for step in steps]
        if self._states < 2:
            raise SettingError(f"{self._who}: expected mean and variance for each parameter, got fewer arrays")
        if len(numbers) != self._kernels.count:
            raise SettingError(f"{self._who}: expected {self._kernels.count} steps, got {len(numbers)}")
        self._kernels.adam(lr, *betas, eps, weight_decay, decoupled, numbers)


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
    updates = Updates([(value, grad, velocity)], "sgd_update")
    updates.sgd(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


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
    updates = Updates([(value, grad, mean, variance)], "adam_update")
    updates.adam(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, steps=[step], decoupled=decoupled)
