"""Bounds for gradients, so that one bad batch cannot throw the weights far away: the ``clip`` of every optimizer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from convnet.functional import Updates
from convnet.settings import real

__all__ = ["Clip", "ClipNorm", "ClipValue"]

Clip: TypeAlias = Callable[[Updates], object]


@dataclass(frozen=True, slots=True)
class ClipNorm:
    """Scale the gradients of all parameters by one factor so that their common norm is at most ``limit``.

    ``norm = sqrt(sum of the squares of all gradients)``; where it is larger, each is multiplied by ``limit / norm``:
    the direction of the step stays. Pascanu et al., arXiv:1211.5063.

    Parameters
    ----------
    limit : float

    Raises
    ------
    SettingError
        If the limit is negative, NaN or infinite.

    Notes
    -----
    The norm costs one more pass over the gradients; scaling them, where needed, another. The sum is in double precision
    and its order is fixed: the same bits for any number of threads. A norm that is not finite is a `DivergedError`, and
    that step changes no weight.

    Examples
    --------
    >>> from convnet.optim import SGD
    >>> from convnet.parameter import Parameter
    >>> p = Parameter(np.zeros(2))
    >>> p.grad += [3.0, 4.0]
    >>> SGD(lr=1, clip=ClipNorm(1)).step([p])
    >>> p.value.round(3)
    array([-0.6, -0.8])
    """

    limit: float

    def __post_init__(self) -> None:
        real(self.limit, "ClipNorm limit")

    def __call__(self, gradients: Updates) -> None:
        """Bound the gradients of one step."""
        gradients.clip_norm(self.limit)


@dataclass(frozen=True, slots=True)
class ClipValue:
    """Bring each number of the gradients into the range from ``-limit`` to ``limit``; NaN stays NaN.

    ``g = min(max(g, -limit), limit)``. Mikolov 2012, Statistical language models based on neural networks (thesis, Brno
    University of Technology); Pascanu, Mikolov and Bengio, arXiv:1211.5063, section 3.2, compare it with `ClipNorm`.

    Parameters
    ----------
    limit : float

    Raises
    ------
    SettingError
        If the limit is negative, NaN or infinite.

    Examples
    --------
    >>> from convnet.optim import SGD
    >>> from convnet.parameter import Parameter
    >>> p = Parameter(np.zeros(2))
    >>> p.grad += [3.0, -0.25]
    >>> SGD(lr=1, clip=ClipValue(0.5)).step([p])
    >>> p.value
    array([-0.5 ,  0.25])
    """

    limit: float

    def __post_init__(self) -> None:
        real(self.limit, "ClipValue limit")

    def __call__(self, gradients: Updates) -> None:
        """Bound the gradients of one step."""
        gradients.clip_value(self.limit)
