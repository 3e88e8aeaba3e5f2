"""What a training run leaves to look at: one record an epoch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import overload

__all__ = ["Epoch", "History"]


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
    """

    epoch: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    learning_rate: float

    def __str__(self) -> str:
        parts = [
            f"loss {self.loss:.4f}",
            _percent("accuracy", self.accuracy),
            "" if self.val_loss is None else f"validation loss {self.val_loss:.4f}",
            _percent("validation accuracy", self.val_accuracy),
            f"{self.seconds:.2f} s",
        ]
        return f"epoch {self.epoch}: " + ", ".join(filter(None, parts))


def _percent(name: str, fraction: float | None) -> str:
    return "" if fraction is None else f"{name} {fraction:.2%}".replace("%", " %")


class History(Sequence[Epoch]):
    """The epochs of one run, in order; reads like a list of `Epoch`.

    Parameters
    ----------
    epochs : iterable of Epoch, optional

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

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self._epochs = list(epochs)

    def append(self, epoch: Epoch) -> None:
        """Add an epoch at the end."""
        self._epochs.append(epoch)

    def as_dict(self) -> dict[str, list[float | None]]:
        """One list of plain numbers for each attribute of `Epoch`, in order: ready for JSON, a table or a plot."""
        rows = [asdict(epoch) for epoch in self._epochs]
        return {field.name: [row[field.name] for row in rows] for field in fields(Epoch)}

    def __len__(self) -> int:
        return len(self._epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs)

    @overload
    def __getitem__(self, index: int) -> Epoch: ...

    @overload
    def __getitem__(self, index: slice) -> "History": ...

    def __getitem__(self, index: int | slice) -> "Epoch | History":
        return History(self._epochs[index]) if isinstance(index, slice) else self._epochs[index]

    def __repr__(self) -> str:
        return "\n".join(map(str, self._epochs)) or "History()"
