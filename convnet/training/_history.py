"""What a training run leaves to look at: one record an epoch."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

from convnet.errors import SettingError

__all__ = ["Epoch", "History", "check_figure"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training data.

    Attributes
    ----------
    epoch : int
        Number, from 1.
    loss : float
        Mean over the training images, each counted when its batch was trained: the weights changed meanwhile.
    accuracy : float or None
        Likewise, from 0 to 1; None where the targets are no classes.
    val_loss, val_accuracy : float or None
        On the validation data after the epoch; None without validation data.
    seconds : float
        Wall time, validation included.
    learning_rate : float
        Of the last step.
    val_metrics : dict
        By name, what the metrics of the `Trainer` say about the validation data; empty without such.
    """

    epoch: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    learning_rate: float
    val_metrics: dict[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float | None]:
        """All figures by name, in order; those of ``val_metrics`` with ``val_`` before."""
        plain = asdict(self)
        measured = plain.pop("val_metrics")
        return plain | {f"val_{name}": value for name, value in measured.items()}

    def __str__(self) -> str:
        parts = [
            f"loss {self.loss:.4f}",
            _percent("accuracy", self.accuracy),
            "" if self.val_loss is None else f"validation loss {self.val_loss:.4f}",
            _percent("validation accuracy", self.val_accuracy),
            *(f"validation {name} {value:.4f}" for name, value in self.val_metrics.items()),
            f"{self.seconds:.2f} s",
        ]
        return f"epoch {self.epoch}: " + ", ".join(filter(None, parts))


def _percent(name: str, fraction: float | None) -> str:
    return "" if fraction is None else f"{name} {fraction:.2%}".replace("%", " %")


_EMPTY = Epoch(0, 0.0, None, None, None, 0.0, 0.0)


def check_figure(name: str, figure: str, figures: Collection[str]) -> None:
    """Raise a SettingError if there is no such figure."""
    if figure not in figures:
        raise SettingError(f"{name}: expected a figure among {', '.join(figures)}, got {figure!r}")


class History(Sequence[Epoch]):
    """The epochs of one run, in order; reads like a list of `Epoch`.

    Parameters
    ----------
    epochs : iterable of Epoch, optional
    smaller : collection of str
        Figures that are better when smaller, beside the losses.

    Examples
    --------
    >>> history = History([Epoch(1, 0.5, 0.84, None, None, 0.1, 0.01), Epoch(2, 0.25, 0.92, None, None, 0.1, 0.01)])
    >>> history[-1].loss
    0.25
    >>> history.as_dict()["accuracy"]
    [0.84, 0.92]
    >>> history
    epoch 1: loss 0.5000, accuracy 84.00 %, 0.10 s
    epoch 2: loss 0.2500, accuracy 92.00 %, 0.10 s
    """

    def __init__(self, epochs: Iterable[Epoch] = (), smaller: Collection[str] = ()) -> None:
        self._epochs = list(epochs)
        self._smaller = frozenset({"loss", "val_loss", *smaller})

    def append(self, epoch: Epoch) -> None:
        """Add an epoch at the end."""
        self._epochs.append(epoch)

    def as_dict(self) -> dict[str, list[float | None]]:
        """One list of plain numbers for each figure of an `Epoch`, in order: ready for JSON, a table or a plot.

        The figures of ``val_metrics`` are called as there, with ``val_`` before.
        """
        rows = [epoch.figures() for epoch in self._epochs]
        names = dict.fromkeys(name for row in rows or [_EMPTY.figures()] for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    @property
    def monitored(self) -> str:
        """The figure that tells how good an epoch was: "val_loss", without validation data "loss"."""
        return "loss" if not self._epochs or self._epochs[-1].val_loss is None else "val_loss"

    def is_better(self, figure: str, value: float, than: float, by: float = 0.0) -> bool:
        """Whether ``value`` is better than another one of the figure, by more than ``by``; NaN never is."""
        return value < than - by if figure in self._smaller else value > than + by

    def best(self, figure: str) -> int:
        """Index of the epoch with the best ``figure``, the first of equals.

        The best loss is the smallest one, as is that of a metric with ``smaller_is_better``; of others the largest.

        Raises
        ------
        SettingError
            If the epochs have no such figure.
        """
        columns = self.as_dict()
        known = {i: value for i, value in enumerate(columns.get(figure, [])) if value is not None}
        if not known:
            there = [name for name, column in columns.items() if any(value is not None for value in column)]
            check_figure("History", figure, there)
        numbers = {i: value for i, value in known.items() if not math.isnan(value)} or known
        best = min(numbers)
        for i, value in numbers.items():
            if self.is_better(figure, value, numbers[best]):
                best = i
        return best

    def state_dict(self) -> list[dict[str, Any]]:
        """The epochs as plain dicts: `History.of` makes a history of them again."""
        return [asdict(epoch) for epoch in self._epochs]

    @classmethod
    def of(cls, state: Iterable[Mapping[str, Any]], smaller: Collection[str] = ()) -> "History":
        """The history that `state_dict` belongs to."""
        return cls((Epoch(**epoch) for epoch in state), smaller)

    def __len__(self) -> int:
        return len(self._epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs)

    @overload
    def __getitem__(self, index: int) -> Epoch: ...

    @overload
    def __getitem__(self, index: slice) -> "History": ...

    def __getitem__(self, index: int | slice) -> "Epoch | History":
        return History(self._epochs[index], self._smaller) if isinstance(index, slice) else self._epochs[index]

    def __repr__(self) -> str:
        return "\n".join(map(str, self._epochs)) or "History()"
