"""Finding a learning rate by trying many."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convnet.errors import DataError, DivergedError
from convnet.training._batches import Batches
from convnet.training._engine import Engine

__all__ = ["LearningRates", "try_rates"]

KEPT = 0.9
"""How much of the mean of the losses before a step stays in it."""

HOPELESS = 4.0
"""Times the least loss: nothing better comes behind it."""

TOO_HIGH = 10.0
"""Times the suggestion, the rate of the least loss: the steepest fall, which others take, is lost in the noise."""


@dataclass(frozen=True, slots=True)
class LearningRates:
    """What `Trainer.find_learning_rate` saw.

    Attributes
    ----------
    rates : ndarray of shape (steps,)
        Learning rate of each step, rising.
    losses : ndarray of shape (steps,)
        Loss before each step, averaged over the steps before it.
    suggestion : float
        A tenth of the rate at which the loss was least: a good constant rate, or ``max_lr`` of `OneCycle`.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float

    def __repr__(self) -> str:
        tried = f"{len(self.rates)} steps from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        return f"LearningRates({tried}, suggestion {self.suggestion:.2g})"


def try_rates(trainer: Engine, batches: Batches, lowest: float, highest: float, steps: int) -> LearningRates:
    """Make steps with rising rates, then put everything back as it was."""
    before, schedule = trainer.state_dict(), trainer.optimizer.lr
    rates, losses = np.geomspace(lowest, highest, steps), []
    first = trainer.optimizer.steps
    trainer.optimizer.lr = lambda step: float(rates[step - first])
    try:
        for x, y, *weights in _endless(batches, steps):
            try:
                losses.append(trainer.update(x, y, 1, *weights)[0])
            except DivergedError:
                break
            if losses[-1] > HOPELESS * min(losses):
                break
    finally:
        trainer.optimizer.lr = schedule
        trainer.load_state_dict(before)
    if len(losses) < 3:
        raise DataError(
            f"Trainer.find_learning_rate: expected losses that stay finite for three steps from {lowest:g} on, "
            f"got {len(losses)}"
        )
    return _judged(rates[: len(losses)], np.array(losses))


def _endless(batches: Batches, steps: int) -> Iterator[tuple[np.ndarray, ...]]:
    """So many batches, of as many passes as it takes."""
    while steps > 0:
        for batch in batches:
            if steps == 0:
                return
            yield batch
            steps -= 1


def _judged(rates: np.ndarray, losses: np.ndarray) -> LearningRates:
    """Average the losses, each over those before it; where they are least the rate is already too high for long."""
    means, mean = np.empty_like(losses), 0.0
    for i, loss in enumerate(losses):
        mean = KEPT * mean + (1 - KEPT) * loss
        means[i] = mean / (1 - KEPT ** (i + 1))
    return LearningRates(rates, means, float(rates[np.argmin(means)]) / TOO_HIGH)
