"""Adam."""

from dataclasses import dataclass

import numpy as np

from convnet.functional import Updates
from convnet.optim._optimizer import Optimizer, Schedule
from convnet.parameter import Parameter
from convnet.settings import real

__all__ = ["Adam"]


@dataclass(slots=True)
class _Moments:
    mean: np.ndarray
    variance: np.ndarray
    steps: int = 0  # of this parameter: one that joins late starts its own bias correction


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba, arXiv:1412.6980), as PyTorch defines it.

    ``g = grad + weight_decay * value``; ``m = beta1 * m + (1 - beta1) * g``; ``v = beta2 * v + (1 - beta2) * g**2``,
    from zero; at the t-th step ``value -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``. One pass.

    Parameters
    ----------
    lr : float or schedule
        Learning rate, see `Optimizer`.
    betas : pair of float
        Decay of the two averages, each in [0, 1).
    eps : float
        Keeps the division finite.
    weight_decay : float
        Strength of the L2 penalty, on every parameter.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> p = Parameter(np.zeros(2))
    >>> p.grad += [3.0, -0.1]
    >>> Adam(lr=0.5).step([p])
    >>> p.value.round(3)
    array([-0.5,  0.5])
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(lr)
        beta1, beta2 = betas
        self.betas = real(beta1, "Adam betas[0]", below=1), real(beta2, "Adam betas[1]", below=1)
        self.eps = real(eps, "Adam eps")
        self.weight_decay = real(weight_decay, "Adam weight_decay")
        self._moments: dict[Parameter, _Moments] = {}

    def _arrays(self, parameter: Parameter) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        if parameter not in self._moments:
            self._moments[parameter] = _Moments(np.zeros_like(parameter.value), np.zeros_like(parameter.value))
        moments = self._moments[parameter]
        return parameter.value, parameter.grad, moments.mean, moments.variance

    def _update(self, parameters: list[Parameter], updates: Updates, lr: float) -> None:
        moments = [self._moments[parameter] for parameter in parameters]
        for each in moments:
            each.steps += 1
        steps = [each.steps for each in moments]
        updates.adam(lr=lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, steps=steps)

    def __repr__(self) -> str:
        return f"Adam(lr={self.lr}, betas={self.betas}, eps={self.eps:g}, weight_decay={self.weight_decay:g})"
