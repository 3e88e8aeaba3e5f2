"""Learning rates that change from step to step: functions of the number of the step, counted from 0.

Any callable will do; these are the usual ones. All are immutable and free of state: a run can be resumed at any step.
"""

import math
from dataclasses import dataclass

from convnet.settings import integer, real

__all__ = ["Cosine", "OneCycle", "StepDecay"]


def _cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine wave from ``start`` to ``end``."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


@dataclass(frozen=True, slots=True)
class OneCycle:
    """Up to ``max_lr`` and far down again, in half cosine waves (Smith and Topin, arXiv:1708.07120), as in PyTorch.

    The first rate is ``max_lr / div_factor``, the highest comes after the fraction ``pct_start`` of the steps, the last
    is ``max_lr / div_factor / final_div_factor`` and stays from then on.

    Parameters
    ----------
    max_lr : float
        Highest learning rate.
    steps : int
        Steps of the whole training: epochs times batches an epoch.
    pct_start : float
        Fraction of the steps on the way up, in [0, 1).
    div_factor, final_div_factor : float
        At least 1.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> lr = OneCycle(max_lr=0.5, steps=100)
    >>> round(lr(0), 9), lr(29), round(lr(99), 9)
    (0.02, 0.5, 2e-06)
    """

    max_lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        real(self.max_lr, "OneCycle max_lr")
        integer(self.steps, "OneCycle steps")
        real(self.pct_start, "OneCycle pct_start", below=1)
        real(self.div_factor, "OneCycle div_factor", least=1)
        real(self.final_div_factor, "OneCycle final_div_factor", least=1)

    def __call__(self, step: int) -> float:
        """Learning rate of ``step``."""
        first = self.max_lr / self.div_factor
        top = self.pct_start * self.steps - 1
        if step < top:
            return _cosine(first, self.max_lr, step / top)
        fraction = min((step - top) / (self.steps - 1 - top), 1.0)
        return _cosine(self.max_lr, first / self.final_div_factor, fraction)


@dataclass(frozen=True, slots=True)
class StepDecay:
    """``lr * factor ** (step // every)``.

    Parameters
    ----------
    lr : float
        First learning rate.
    every : int
        Steps between two changes.
    factor : float
        What the rate is multiplied by, at least 0.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> lr = StepDecay(0.5, every=10, factor=0.5)
    >>> lr(9), lr(10), lr(25)
    (0.5, 0.25, 0.125)
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        real(self.lr, "StepDecay lr")
        integer(self.every, "StepDecay every")
        real(self.factor, "StepDecay factor")

    def __call__(self, step: int) -> float:
        """Learning rate of ``step``."""
        return float(self.lr * self.factor ** (step // self.every))


@dataclass(frozen=True, slots=True)
class Cosine:
    """From ``lr`` down to ``final_lr`` in half a cosine wave (arXiv:1608.03983), without restarts.

    Parameters
    ----------
    lr, final_lr : float
        First learning rate, and the one from step number ``steps`` on.
    steps : int
        Steps of the whole training.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> lr = Cosine(0.5, steps=100)
    >>> lr(0), round(lr(50), 9), lr(100)
    (0.5, 0.25, 0.0)
    """

    lr: float
    steps: int
    final_lr: float = 0.0

    def __post_init__(self) -> None:
        real(self.lr, "Cosine lr")
        integer(self.steps, "Cosine steps")
        real(self.final_lr, "Cosine final_lr")

    def __call__(self, step: int) -> float:
        """Learning rate of ``step``."""
        return _cosine(self.lr, self.final_lr, min(step / self.steps, 1.0))
