"""RMSprop."""

import numpy as np

from convnet.functional import Updates
from convnet.optim._optimizer import Decay, Decays, Kept, Optimizer, Schedule
from convnet.optim.clip import Clip
from convnet.parameter import Parameter

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Gradients divided by their root mean square (Tieleman and Hinton 2012, lecture 6.5), as PyTorch defines it.

    ``g = grad + weight_decay * value``; ``square = alpha * square + (1 - alpha) * g**2``, from zero; ``step = g /
    (sqrt(square) + eps)``; then ``value -= lr * step``, or with momentum ``velocity = momentum * velocity + step`` and
    ``value -= lr * velocity``. Centred, ``mean = alpha * mean + (1 - alpha) * g`` and the root is that of ``square -
    mean**2``, the variance (Graves, arXiv:1308.0850). All in one pass.

    Parameters
    ----------
    lr : float or schedule
        Learning rate, see `Optimizer`.
    alpha : float
        Decay of the averages, in [0, 1).
    eps : float
        Keeps the division finite; added to the root.
    weight_decay : float or callable
        Strength of the L2 penalty, on every parameter or as `Optimizer` says.
    momentum : float
        In [0, 1); 0 keeps no velocity.
    centered : bool
        Divide by the standard deviation. Where a gradient never changes, this is 0 but for rounding, and the steps are
        large.
    clip : ClipNorm or ClipValue, optional
        Bounds the gradients, before the penalty is added.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> p = Parameter(np.zeros(2))
    >>> p.grad += [3.0, -0.1]
    >>> RMSprop(lr=0.05).step([p])
    >>> p.value.round(3)
    array([-0.5,  0.5])
    """

    _shown = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float | Decay = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip)
        self.alpha = self._real(alpha, "alpha", below=1)
        self.eps = self._real(eps, "eps")
        self.momentum = self._real(momentum, "momentum", below=1)
        self.centered = bool(centered)

    def _fresh(self, parameter: Parameter) -> Kept:
        kept = {"square": True, "velocity": self.momentum > 0, "mean": self.centered}
        return {name: np.zeros_like(parameter.value) if wanted else None for name, wanted in kept.items()}

    def _update(self, parameters: list[Parameter], updates: Updates, lr: float, decays: Decays) -> None:
        updates.rmsprop(lr=lr, alpha=self.alpha, eps=self.eps, momentum=self.momentum, weight_decay=decays)
