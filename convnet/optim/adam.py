"""Adam."""

from collections.abc import Sequence

import numpy as np

from convnet.errors import SettingError
from convnet.functional import Updates
from convnet.optim._optimizer import Decay, Decays, Kept, Optimizer, Schedule
from convnet.optim.clip import Clip
from convnet.parameter import Parameter

__all__ = ["Adam"]


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
    weight_decay : float or callable
        Strength of the L2 penalty, on every parameter or as `Optimizer` says. `AdamW` has the other kind of decay.
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
    >>> Adam(lr=0.5).step([p])
    >>> p.value.round(3)
    array([-0.5,  0.5])
    """

    _shown = ("lr", "betas", "eps", "weight_decay")
    _decoupled = False

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Decay = 0,
        *,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, clip)
        if not isinstance(betas, Sequence) or len(betas) != 2:
            raise SettingError(f"{type(self).__name__} betas: expected a pair of numbers in [0, 1), got {betas!r}")
        self.betas = self._real(betas[0], "betas[0]", below=1), self._real(betas[1], "betas[1]", below=1)
        self.eps = self._real(eps, "eps")

    def _fresh(self, parameter: Parameter) -> Kept:
        """Also the steps of this parameter: one that joins late starts its own bias correction."""
        return {"mean": np.zeros_like(parameter.value), "variance": np.zeros_like(parameter.value), "steps": 0}

    def _update(self, parameters: list[Parameter], updates: Updates, lr: float, decays: Decays) -> None:
        kept = [self._kept[parameter] for parameter in parameters]
        for each in kept:
            each["steps"] += 1
        updates.adam(
            lr=lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=decays,
            steps=[each["steps"] for each in kept],
            decoupled=self._decoupled,
        )
