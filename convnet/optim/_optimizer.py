"""The contract of every optimizer, and of the learning rate."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import numpy as np

from convnet.functional import Updates
from convnet.parameter import Parameter
from convnet.settings import real

Schedule = Callable[[int], float]


class Optimizer(ABC):
    """Updates parameters in place and clears their gradients.

    Parameters
    ----------
    lr : float or callable
        Learning rate, or a schedule: a function from the number of the step, counted from 0, to a learning rate.

    Attributes
    ----------
    steps : int
        Steps made so far.
    """

    def __init__(self, lr: float | Schedule) -> None:
        self.lr = lr if callable(lr) else real(lr, f"{type(self).__name__} lr")
        self.steps = 0
        self._forget()

    def _forget(self) -> None:
        self._known: list[object] = []
        self._updates = Updates([])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_known", "_updates")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step.

        Raises
        ------
        SettingError
            If the schedule returns anything but a finite number of at least 0.
        """
        return real(self.lr(self.steps), f"{type(self).__name__} lr") if callable(self.lr) else self.lr

    def step(self, parameters: Iterable[Parameter]) -> None:
        """Update each parameter by its ``grad`` and set the ``grad`` to zero."""
        lr = self.learning_rate
        parameters = list(dict.fromkeys(parameters))  # one that is shared is updated once
        self._update(parameters, self._updates_of(parameters), lr)
        self.steps += 1

    def _updates_of(self, parameters: list[Parameter]) -> Updates:
        """Return the parameters' arrays, checked; again only when there are others than in the last step."""
        present: list[object] = []
        for parameter in parameters:
            present += (parameter, parameter.value, parameter.grad)
        if len(present) != len(self._known) or not all(map(is_, present, self._known)):
            self._updates = Updates([self._arrays(p) for p in parameters], f"{type(self).__name__}.step")
            self._known = present
        return self._updates

    @abstractmethod
    def _arrays(self, parameter: Parameter) -> tuple[np.ndarray, np.ndarray, *tuple[np.ndarray | None, ...]]:
        """Value, gradient and running averages; these are kept by parameter, as objects compare by identity."""

    @abstractmethod
    def _update(self, parameters: list[Parameter], updates: Updates, lr: float) -> None:
        """Make a step with the arrays of ``parameters``."""
