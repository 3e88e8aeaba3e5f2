"""Averages of the weights that a training passes through."""

import copy
from collections.abc import Mapping
from operator import is_
from typing import Any

import numpy as np

from convnet.errors import SettingError
from convnet.functional import Updates
from convnet.layers import Layer
from convnet.settings import integer, real

__all__ = ["WeightAverage"]


class WeightAverage:
    """A model beside the one in training whose weights are the average of those that came by.

    Steps jump around the bottom of a valley; their average lies in it, and is as a rule the better model. Each
    `update` counts one set of weights, the one k updates ago with weight ``decay**k``: ``average += share * (value -
    average)`` with ``share = (1 - decay) / (1 - decay**n)`` at the n-th update, so that also the first averages have
    weights that add up to 1 and owe nothing to a starting value. With None all count the same, ``share = 1 / n``:
    stochastic weight averaging (Izmailov et al., arXiv:1803.05407). Polyak and Juditsky 1992.

    Parameters
    ----------
    model : Layer
        The one that is trained; its parameters and buffers are looked up once, here.
    decay : float, optional
        In [0, 1): the average reaches back over ``1 / (1 - decay)`` updates.
    start : int
        Calls of `update` that only copy the weights, before the average begins.
    every : int
        From then on every so many calls count.

    Attributes
    ----------
    model : Layer
        The average, a copy of the model that shares nothing with it: `save` it, make a `Predictor` of it.
    source : Layer
        The model in training.
    steps : int
        Calls of `update` so far.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Buffers are averaged like weights, integer ones copied. The running statistics of batch normalisation are then means
    over those of the averaged models, close to, but not quite, those of the averaged model. A second set of weights is
    kept, and an update reads both and writes one. Everything is copied and pickled with the object; one that is pickled
    together with its model belongs to the copy of the model.

    Examples
    --------
    >>> from convnet.layers import Dense
    >>> model = Dense(1, 1, bias=False)
    >>> average = WeightAverage(model, decay=None)
    >>> for value in 3.0, 4.0, 8.0:
    ...     model.weight.value[...] = value
    ...     average.update()
    >>> average.model.weight.value
    array([[5.]], dtype=float32)
    """

    def __init__(self, model: Layer, decay: float | None = 0.999, start: int = 0, every: int = 1) -> None:
        if not isinstance(model, Layer):
            raise SettingError(f"WeightAverage model: expected a Layer, got {model!r}")
        self.decay = None if decay is None else real(decay, "WeightAverage decay", below=1)
        self.start = integer(start, "WeightAverage start", least=0)
        self.every = integer(every, "WeightAverage every")
        self.model = copy.deepcopy(model)
        self.steps = 0
        self.source = model
        self._forget()
        self._updates_now()  # a buffer that cannot be averaged is refused here, not after the first step

    def _forget(self) -> None:
        self._parameters = list(zip(self.model.parameters(), self.source.parameters(), strict=True))
        buffers = zip(self.model.named_buffers(), self.source.named_buffers(), strict=True)
        self._buffers = list({id(mean): (mean, value) for (_, mean), (_, value) in buffers}.values())  # each once
        self._known: list[np.ndarray] = []
        self._updates = Updates([])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _MADE_AGAIN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def update(self) -> None:
        """Take in the weights that the model has now; call it after each step, as `Trainer` does."""
        since = self.steps - self.start
        self.steps += 1
        if since < 0:
            self._move(1.0)
        elif since % self.every == 0:
            self._move(self._share(since // self.every + 1))

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates, copied: what it needs to go on from here."""
        return {"steps": self.steps, "model": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Raises
        ------
        WeightsError
            If it is that of another model; nothing is changed then.
        """
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]

    def _share(self, number: int) -> float:
        """What the newest weights count, of ``number`` so far."""
        return 1 / number if self.decay is None else (1 - self.decay) / (1 - self.decay**number)

    def _move(self, share: float) -> None:
        self._updates_now().average(share)
        for mean, value in self._buffers:
            if value.dtype.kind != "f":
                mean[...] = value

    def _updates_now(self) -> Updates:
        """Return pairs of arrays, checked; again only when there are others than last time."""
        present = [parameter.value for pair in self._parameters for parameter in pair]
        if len(present) != len(self._known) or not all(map(is_, present, self._known)):
            pairs = [(mean.value, parameter.value) for mean, parameter in self._parameters]
            floats = [pair for pair in self._buffers if pair[1].dtype.kind == "f"]
            self._updates, self._known = Updates(pairs + floats, "WeightAverage.update"), present
        return self._updates

    def __repr__(self) -> str:
        return f"WeightAverage(decay={self.decay}, start={self.start}, every={self.every})"


_MADE_AGAIN = ("_parameters", "_buffers", "_known", "_updates")
