"""Stochastic gradient descent."""

import numpy as np

from convnet.errors import SettingError
from convnet.functional import Updates
from convnet.optim._optimizer import Decay, Decays, Kept, Optimizer, Schedule
from convnet.optim.clip import Clip
from convnet.parameter import Parameter

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as PyTorch defines it.

    ``g = grad + weight_decay * value``; ``velocity = momentum * velocity + g``, from zero; then
    ``value -= lr * velocity``, or with Nesterov momentum ``value -= lr * (g + momentum * velocity)``. All in one pass.

    Parameters
    ----------
    lr : float or schedule
        Learning rate, see `Optimizer`.
    momentum : float
        In [0, 1); 0 keeps no velocity. Sutskever et al. 2013 (ICML 28, 1139-1147).
    nesterov : bool
        Needs momentum.
    weight_decay : float or callable
        Strength of the L2 penalty, on every parameter or as `Optimizer` says.
    clip : ClipNorm or ClipValue, optional
        Bounds the gradients, before the penalty is added.

    Raises
    ------
    SettingError
        If a setting is negative, NaN or infinite, momentum 1 or more, or Nesterov lacks it.

    Examples
    --------
    >>> p = Parameter(np.zeros(2))
    >>> p.grad += [1.0, -1.0]
    >>> SGD(lr=0.5).step([p])
    >>> p.value, p.grad
    (array([-0.5,  0.5]), array([0., 0.]))
    """

    _shown = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        lr: float | Schedule,
        momentum: float = 0,
        nesterov: bool = False,
        weight_decay: float | Decay = 0,
        *,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip)
        self.momentum = self._real(momentum, "momentum", below=1)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise SettingError("SGD nesterov: expected a momentum above 0, got 0")

    def _fresh(self, parameter: Parameter) -> Kept:
        return {"velocity": np.zeros_like(parameter.value) if self.momentum else None}

    def _update(self, parameters: list[Parameter], updates: Updates, lr: float, decays: Decays) -> None:
        updates.sgd(lr=lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=decays)
