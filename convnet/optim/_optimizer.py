"""The contract of every optimizer, of the learning rate and of the weight decay."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, ClassVar

import numpy as np

from convnet.errors import DivergedError, SettingError
from convnet.functional import Updates
from convnet.optim.clip import Clip
from convnet.parameter import Parameter
from convnet.settings import real

Schedule = Callable[[int], float]
Decay = Callable[[Parameter], float]
Decays = float | list[float]


class Optimizer(ABC):
    """Updates parameters in place and clears their gradients.

    Parameters
    ----------
    lr : float or callable
        Learning rate, or a schedule: a function from the number of the step, counted from 0, to a learning rate.
    weight_decay : float or callable
        One for all parameters, or a function from a `Parameter` to its own, such as `WeightsOnly`.
    clip : ClipNorm or ClipValue, optional
        What bounds the gradients before they are used.

    Attributes
    ----------
    steps : int
        Steps made so far.
    """

    _shown: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")  # settings in the order of the constructor

    def __init__(self, lr: float | Schedule, weight_decay: float | Decay = 0, clip: Clip | None = None) -> None:
        self.lr = lr if callable(lr) else self._real(lr, "lr")
        self.weight_decay = weight_decay if callable(weight_decay) else self._real(weight_decay, "weight_decay")
        if clip is not None and not callable(clip):
            raise SettingError(f"{type(self).__name__} clip: expected a ClipNorm, a ClipValue or None, got {clip!r}")
        self.clip = clip
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
        return self._real(self.lr(self.steps), "lr") if callable(self.lr) else self.lr

    def step(self, parameters: Iterable[Parameter]) -> None:
        """Update each parameter by its ``grad`` and set the ``grad`` to zero.

        Raises
        ------
        DivergedError
            If gradients whose norm is to be clipped are not finite. They are set to zero, and the values stay as they
            were.
        """
        parameters = list(dict.fromkeys(parameters))  # one that is shared is updated once
        lr, decays = self.learning_rate, self._decays(parameters)
        updates = self._updates_of(parameters)
        if self.clip is not None:
            self._bound_gradients(parameters, updates, self.clip)
        self._update(parameters, updates, lr, decays)
        self.steps += 1

    def observe(self, loss: float) -> None:
        """Tell a schedule that listens, such as `Plateau`, how an epoch ended; others do not care."""
        if hasattr(self.lr, "observe"):
            self.lr.observe(loss)

    def _bound_gradients(self, parameters: list[Parameter], updates: Updates, clip: Clip) -> None:
        try:
            clip(updates)
        except DivergedError:
            for parameter in parameters:
                parameter.grad.fill(0)
            raise

    def _updates_of(self, parameters: list[Parameter]) -> Updates:
        """Return the parameters' arrays, checked; again only when there are others than in the last step."""
        present: list[object] = []
        for parameter in parameters:
            present += (parameter, parameter.value, parameter.grad)
        if len(present) != len(self._known) or not all(map(is_, present, self._known)):
            self._updates = Updates([self._arrays(p) for p in parameters], f"{type(self).__name__}.step")
            self._known = present
        return self._updates

    def _decays(self, parameters: list[Parameter]) -> Decays:
        """Weight decay for all parameters, or of each."""
        decay = self.weight_decay
        return [self._real(decay(p), "weight_decay") for p in parameters] if callable(decay) else decay

    @classmethod
    def _real(cls, value: object, name: str, below: float = np.inf) -> float:
        return real(value, f"{cls.__name__} {name}", below=below)

    @abstractmethod
    def _arrays(self, parameter: Parameter) -> tuple[np.ndarray, np.ndarray, *tuple[np.ndarray | None, ...]]:
        """Value, gradient and running averages; these are kept by parameter, as objects compare by identity."""

    @abstractmethod
    def _update(self, parameters: list[Parameter], updates: Updates, lr: float, decays: Decays) -> None:
        """Make a step with the arrays of ``parameters``."""

    def __repr__(self) -> str:
        settings = {name: getattr(self, name) for name in self._shown}
        if self.clip is not None:
            settings["clip"] = self.clip
        shown = (f"{name}={v:.12g}" if isinstance(v, float) else f"{name}={v}" for name, v in settings.items())
        return f"{type(self).__name__}({', '.join(shown)})"
