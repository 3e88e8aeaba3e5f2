"""Adam with decoupled weight decay."""

from convnet.optim._optimizer import Decay, Schedule
from convnet.optim.adam import Adam
from convnet.optim.clip import Clip

__all__ = ["AdamW"]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as PyTorch defines it.

    ``value *= 1 - lr * weight_decay``, then a step of `Adam` without its penalty: the decay is not divided by the size
    of the gradients. All in one pass.

    Parameters
    ----------
    lr : float or schedule
        Learning rate, see `Optimizer`; it scales the decay too.
    betas : pair of float
        Decay of the two averages, each in [0, 1).
    eps : float
        Keeps the division finite.
    weight_decay : float or callable
        Of every parameter, or as `Optimizer` says.
    clip : ClipNorm or ClipValue, optional
        Bounds the gradients.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from convnet.parameter import Parameter
    >>> p = Parameter(np.full(2, 4.0))
    >>> p.grad += [3.0, -0.1]
    >>> AdamW(lr=0.5, weight_decay=0.25).step([p])
    >>> p.value.round(3)
    array([3., 4.])
    """

    _decoupled = True

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Decay = 1e-2,
        *,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip=clip)
