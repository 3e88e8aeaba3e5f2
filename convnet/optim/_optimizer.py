"""The contract of every optimizer, of the learning rate and of the weight decay."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import Any, ClassVar

import numpy as np

from convnet.errors import DivergedError, SettingError, WeightsError
from convnet.functional import Updates
from convnet.optim.clip import Clip
from convnet.parameter import Parameter
from convnet.settings import real

Schedule = Callable[[int], float]
Decay = Callable[[Parameter], float]
Decays = float | list[float]
Kept = dict[str, Any]
"""What an optimizer keeps of one parameter: running averages in the order `Updates` takes them, and counts."""


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
        self._kept: dict[Parameter, Kept] = {}  # by identity
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

    def state_dict(self, names: Mapping[str, Parameter]) -> dict[str, Any]:
        """What a training needs to go on from here: steps, running averages, and the state of the schedule.

        Parameters
        ----------
        names : mapping of str to Parameter
            ``dict(model.named_parameters())``: the names under which the averages are stored.

        Returns
        -------
        dict
            Of numbers, texts, dicts and copies of arrays.
        """
        kept = {name: copied(self._kept[p]) for name, p in names.items() if p in self._kept}
        schedule = self.lr.state_dict() if hasattr(self.lr, "state_dict") else {}
        return {"kind": type(self).__name__, "steps": self.steps, "kept": kept, "schedule": schedule}

    def load_state_dict(self, state: Mapping[str, Any], names: Mapping[str, Parameter]) -> None:
        """Go on from a state that `state_dict` of an optimizer of this kind returned.

        Raises
        ------
        WeightsError
            If it belongs to another kind of optimizer, or to other parameters; nothing is changed then.
        """
        who = type(self).__name__
        if state["kind"] != who:
            raise WeightsError(f"{who}: expected the state of {who}, got that of {state['kind']}")
        kept = {}
        for name, values in state["kept"].items():
            if name not in names:
                raise WeightsError(f"{who}: expected the state of parameters {list(names)}, got one of {name!r}")
            kept[names[name]] = self._fitting(name, values, self._fresh(names[name]))
        if hasattr(self.lr, "load_state_dict"):
            self.lr.load_state_dict(state["schedule"])
        self.steps, self._kept = state["steps"], kept
        self._forget()

    def _fitting(self, name: str, values: Kept, fresh: Kept) -> Kept:
        """A copy of ``values``, which must be like ``fresh``."""
        found, expected = ({key: np.shape(v) for key, v in d.items() if v is not None} for d in (values, fresh))
        if found != expected:
            raise WeightsError(f"{type(self).__name__}: expected for {name} arrays of shapes {expected}, got {found}")
        return copied({key: values[key] for key in fresh})

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

    def _arrays(self, parameter: Parameter) -> tuple[np.ndarray, np.ndarray, *tuple[np.ndarray | None, ...]]:
        """Value, gradient and running averages."""
        if parameter not in self._kept:
            self._kept[parameter] = self._fresh(parameter)
        averages = (value for value in self._kept[parameter].values() if not isinstance(value, int))
        return parameter.value, parameter.grad, *averages

    @abstractmethod
    def _fresh(self, parameter: Parameter) -> Kept:
        """What is kept of a parameter before its first step."""

    @abstractmethod
    def _update(self, parameters: list[Parameter], updates: Updates, lr: float, decays: Decays) -> None:
        """Make a step with the arrays of ``parameters``."""

    def __repr__(self) -> str:
        settings = {name: getattr(self, name) for name in self._shown}
        if self.clip is not None:
            settings["clip"] = self.clip
        shown = (f"{name}={v:.12g}" if isinstance(v, float) else f"{name}={v}" for name, v in settings.items())
        return f"{type(self).__name__}({', '.join(shown)})"


def copied(kept: Kept) -> Kept:
    """``kept`` with copies of its arrays."""
    return {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in kept.items()}
