"""The contract of every optimizer, and of the learning rate."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

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
        for parameter in parameters:
            self._update(parameter, lr)
        self.steps += 1

    @abstractmethod
    def _update(self, parameter: Parameter, lr: float) -> None:
        """Update one parameter; running averages are kept by parameter, as objects compare by identity."""
