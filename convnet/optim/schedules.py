"""Learning rates that change from step to step: functions of the number of the step, counted from 0.

Any callable will do; these are the usual ones. All but `Plateau` are immutable and free of state: a run can be resumed
at any step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from convnet.optim._optimizer import Schedule
from convnet.settings import integer, real

__all__ = ["Cosine", "OneCycle", "Plateau", "StepDecay", "Warmup"]


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
    """``lr * factor ** (step // every)``: every few epochs in Szegedy et al. 2014, arXiv:1409.4842, section 6.

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


@dataclass(frozen=True, slots=True)
class Warmup:
    """Up to a rate, or to the first one of a schedule, in a straight line; then on with that (arXiv:1706.02677).

    ``first * (start_factor + (1 - start_factor) * step / steps)`` before step number ``steps``, from which on the
    schedule runs as from its step 0: PyTorch's ``LinearLR``, then ``SequentialLR``.

    Parameters
    ----------
    lr : float or schedule
        What follows.
    steps : int
        Steps of the warm-up, which come on top of those of the schedule.
    start_factor : float
        What part of its end the warm-up starts from.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> lr = Warmup(Cosine(0.5, steps=90), steps=10, start_factor=0.1)
    >>> lr(0), lr(5), lr(10), lr(100)
    (0.05, 0.275, 0.5, 0.0)
    """

    lr: float | Schedule
    steps: int
    start_factor: float = 0.01

    def __post_init__(self) -> None:
        if not callable(self.lr):
            real(self.lr, "Warmup lr")
        integer(self.steps, "Warmup steps")
        real(self.start_factor, "Warmup start_factor")

    def __call__(self, step: int) -> float:
        """Learning rate of ``step``."""
        rate = self.lr(max(step - self.steps, 0)) if callable(self.lr) else self.lr
        return rate * (self.start_factor + (1 - self.start_factor) * min(step / self.steps, 1.0))

    def observe(self, loss: float) -> None:
        """Pass the loss on to a schedule that listens."""
        if hasattr(self.lr, "observe"):
            self.lr.observe(loss)

    def state_dict(self) -> dict[str, float]:
        """The state of the schedule that follows, if it has any."""
        return self.lr.state_dict() if hasattr(self.lr, "state_dict") else {}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a state that `state_dict` returned."""
        if hasattr(self.lr, "load_state_dict"):
            self.lr.load_state_dict(state)


@dataclass(slots=True)
class Plateau:
    """``lr``, multiplied by ``factor`` whenever the loss has not fallen for more than ``patience`` epochs.

    `Trainer.fit` tells it the loss after each epoch: that of the validation data, or of the training without such. In a
    loop of your own call `observe`, or the ``observe`` of the optimizer. As PyTorch's ``ReduceLROnPlateau``;
    Krizhevsky, Sutskever and Hinton 2012 (NIPS 25), section 5, did it by hand.

    Parameters
    ----------
    lr : float
        First learning rate.
    factor : float
        In [0, 1).
    patience : int
        Epochs in a row without improvement that are borne.
    threshold : float
        An improvement is a loss below ``best - threshold * abs(best)``.
    cooldown : int
        Epochs after a change that count for nothing.
    final_lr : float
        The rate falls no further.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Its state, the current rate and what it has seen, is copied and pickled with it: give each optimizer one of its own.

    Examples
    --------
    >>> lr = Plateau(0.5, factor=0.5, patience=1)
    >>> for loss in 1.0, 0.8, 0.9, 0.8:
    ...     lr.observe(loss)
    >>> lr(0)
    0.25
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    final_lr: float = 0.0
    _rate: float = field(init=False, repr=False)
    _best: float = field(default=math.inf, init=False, repr=False)
    _bad: int = field(default=0, init=False, repr=False)
    _cooling: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._rate = real(self.lr, "Plateau lr")
        real(self.factor, "Plateau factor", below=1)
        integer(self.patience, "Plateau patience", least=0)
        real(self.threshold, "Plateau threshold")
        integer(self.cooldown, "Plateau cooldown", least=0)
        real(self.final_lr, "Plateau final_lr")

    def __call__(self, step: int) -> float:
        """Current learning rate, whatever ``step``."""
        return self._rate

    def observe(self, loss: float) -> None:
        """Take note of how an epoch ended: smaller is better, NaN is no improvement."""
        self._count(loss)
        if self._bad > self.patience:
            self._rate = max(self._rate * self.factor, min(self.final_lr, self._rate))
            self._bad, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, float]:
        """The current rate and what has been seen, for a training that is to go on from here."""
        return {"rate": self._rate, "best": self._best, "bad": self._bad, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a state that `state_dict` returned."""
        self._rate, self._best = state["rate"], state["best"]
        self._bad, self._cooling = int(state["bad"]), int(state["cooling"])

    def _count(self, loss: float) -> None:
        margin = self.threshold * abs(self._best) if math.isfinite(self._best) else 0.0
        if loss < self._best - margin:
            self._best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._cooling:
            self._cooling -= 1
            self._bad = 0
