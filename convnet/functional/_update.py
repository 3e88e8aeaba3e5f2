"""The optimisers' steps: one pass over value, gradient and state, in place."""

import math
from collections.abc import Sequence

import numpy as np

from convnet.errors import DivergedError, DTypeError, SettingError, ShapeError
from convnet.functional._arrays import FLOATS, FloatArray, expect_shape
from convnet.kernels import elementwise as kernels
from convnet.settings import integer

_STATES = {0: (), 1: ("velocity",), 2: ("mean", "variance"), 3: ("square", "velocity", "mean")}


class Updates:
    """The arrays of many parameters, checked once, for optimizers whose steps visit them all in one call.

    The arrays are updated in place and must stay the same from step to step: for others make new `Updates`.

    Parameters
    ----------
    arrays : sequence of tuples
        For each parameter ``(value, grad, velocity)``, as `sgd_update` takes them, for steps of `sgd`;
        ``(value, grad, mean, variance)``, as `adam_update` takes them, for steps of `adam`;
        ``(value, grad, square, velocity, mean)``, as `rmsprop_update` takes them, for steps of `rmsprop`;
        ``(average, value)`` for steps of `average`.
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
        self._kernels = kernels.Updates(len(arrays))
        self._complete = {name for names in _STATES.values() for name in names}  # what every parameter has
        for value, grad, *state in arrays:
            names = _STATES[len(state)]
            flat, flat_grad = self._flat(value, value, "value"), self._flat(grad, value, "grad")
            states = [None if a is None else self._flat(a, value, name) for a, name in zip(state, names, strict=True)]
            self._complete &= {name for a, name in zip(state, names, strict=True) if a is not None}
            self._kernels.append(flat, flat_grad, *states, *[None] * (3 - len(states)))

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

    def _decays(self, weight_decay: float | Sequence[float]) -> list[float]:
        """One number a parameter."""
        count = self._kernels.count
        decays = list(weight_decay) if isinstance(weight_decay, Sequence) else [weight_decay] * count
        if len(decays) != count:
            raise SettingError(f"{self._who}: expected {count} weight decays, got {len(decays)}")
        return decays

    def _expect_momentum(self, momentum: float) -> None:
        if momentum != 0 and "velocity" not in self._complete:
            raise SettingError(f"{self._who}: expected momentum=0 without a velocity, got {momentum}")

    def sgd(
        self,
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | Sequence[float] = 0.0,
    ) -> None:
        """Make one step of `sgd_update` for each parameter; ``weight_decay`` is one for all, or one for each.

        Raises
        ------
        SettingError
            If there is momentum, but a velocity is missing, or there is not one weight decay for each.
        """
        self._expect_momentum(momentum)
        self._kernels.sgd(lr, momentum, nesterov, self._decays(weight_decay))

    def adam(
        self,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float | Sequence[float],
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
        if not {"mean", "variance"} <= self._complete:
            raise SettingError(f"{self._who}: expected mean and variance for each parameter, got fewer arrays")
        if len(numbers) != self._kernels.count:
            raise SettingError(f"{self._who}: expected {self._kernels.count} steps, got {len(numbers)}")
        self._kernels.adam(lr, *betas, eps, self._decays(weight_decay), decoupled, numbers)

    def rmsprop(
        self,
        *,
        lr: float,
        alpha: float,
        eps: float,
        momentum: float = 0.0,
        weight_decay: float | Sequence[float] = 0.0,
    ) -> None:
        """Make one step of `rmsprop_update` for each parameter.

        Raises
        ------
        SettingError
            If one lacks the mean square, or there is momentum, but a velocity is missing.
        """
        if "square" not in self._complete:
            raise SettingError(f"{self._who}: expected a mean square for each parameter, got fewer arrays")
        self._expect_momentum(momentum)
        self._kernels.rmsprop(lr, alpha, eps, momentum, self._decays(weight_decay))

    def average(self, share: float) -> None:
        """``average += share * (value - average)`` for each pair of arrays; a share of 1 copies."""
        self._kernels.average(share)

    def clip_norm(self, limit: float) -> float:
        """Scale all gradients by one factor so that their common Euclidean norm is at most ``limit``.

        Returns
        -------
        float
            The norm before, from a sum of squares in double precision whose order is fixed.

        Raises
        ------
        DivergedError
            If the norm is not finite; the gradients then stay as they are.
        """
        norm = math.sqrt(self._kernels.sum_squares())
        if not math.isfinite(norm):
            raise DivergedError(
                f"{self._who}: expected gradients of a finite norm, got {norm}; try a lower learning rate"
            )
        if norm > limit:
            self._kernels.clip(limit / norm, math.inf)
        return norm

    def clip_value(self, limit: float) -> None:
        """Bring each number of the gradients into the range from ``-limit`` to ``limit``; NaN stays NaN."""
        self._kernels.clip(1.0, limit)


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


def rmsprop_update(
    value: FloatArray,
    grad: FloatArray,
    square: FloatArray,
    velocity: FloatArray | None = None,
    mean: FloatArray | None = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """One step of RMSprop, in place; ``grad`` is cleared in the same pass.

    ``g = grad + weight_decay * value``; ``square = alpha * square + (1 - alpha) * g**2``; the step is
    ``g / (sqrt(square) + eps)``. With a mean, ``mean = alpha * mean + (1 - alpha) * g`` and the root is that of
    ``square - mean**2``. ``value -= lr * step``, or with a velocity ``velocity = momentum * velocity + step``;
    ``value -= lr * velocity``.

    Parameters
    ----------
    value, grad, square : arrays of one shape, float32 or float64, C-contiguous
        square is zeros before the first step.
    velocity, mean : arrays of that shape, or None
        Zeros before the first step; the velocity is needed for momentum only.
    lr, alpha, eps, momentum, weight_decay : float

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012; with a mean, Graves
    (arXiv:1308.0850); in the form that PyTorch uses.
    """
    updates = Updates([(value, grad, square, velocity, mean)], "rmsprop_update")
    updates.rmsprop(lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)
