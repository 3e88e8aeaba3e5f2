"""What a training forward pass leaves for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

__all__ = ["Auxiliary", "Context"]


@dataclass
class Auxiliary:
    """What an `AuxiliaryHead` leaves in its context for a loss, and what the loss leaves there for `backward`."""

    logits: np.ndarray
    weight: float
    dlogits: np.ndarray | None = None


class Context:
    """A plain object on which ``forward`` leaves what ``backward`` needs.

    A layer stores what it likes as attributes (``ctx.x = x``); a container gives each child a context of its own
    (``ctx.child("0")``). One context belongs to one forward pass; it may be used again for the next one.

    Parameters
    ----------
    wants_dx : bool
        False tells a layer that nobody needs the gradient with respect to its input: ``backward`` may then
        return None. That saves the first layer of a model about a third of its work.

    Examples
    --------
    >>> ctx = Context()
    >>> ctx.child("0").x = np.zeros((2, 3), np.float32)
    >>> ctx.nbytes
    24
    >>> ctx
    Context(24 bytes)
      0: Context(24 bytes) x (2, 3) float32
    """

    def __init__(self, wants_dx: bool = True) -> None:
        self.wants_dx = wants_dx
        self._children: dict[str, Context] = {}

    def child(self, name: str) -> Context:
        """Return the context of the child ``name``, created on first use."""
        if name not in self._children:
            self._children[name] = Context()
        return self._children[name]

    def auxiliaries(self) -> Iterator[Auxiliary]:
        """Yield what auxiliary heads have left here and in the children."""
        if "auxiliary" in vars(self):
            yield self.auxiliary
        for child in self._children.values():
            yield from child.auxiliaries()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays held here and in the children; an array that two layers hold counts once."""
        return sum({(array.ctypes.data, array.nbytes): array.nbytes for array in self.arrays()}.values())

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the arrays held here and in the children."""
        yield from self._held().values()
        for child in self._children.values():
            yield from child.arrays()

    def _held(self) -> dict[str, np.ndarray]:
        """The arrays that are attributes, or in a tuple that is one."""
        groups = {name: value if isinstance(value, tuple) else (value,) for name, value in vars(self).items()}
        return {
            name if len(group) == 1 else f"{name}[{i}]": value
            for name, group in groups.items()
            for i, value in enumerate(group)
            if isinstance(value, np.ndarray)
        }

    def __repr__(self) -> str:
        held = [f" {name} {array.shape} {array.dtype}" for name, array in self._held().items()]
        children = [f"\n{name}: {child!r}".replace("\n", "\n  ") for name, child in self._children.items()]
        return f"Context({self.nbytes:,} bytes)" + ",".join(held) + "".join(children)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Context: expected {name!r} from a forward pass with this context, got nothing")

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...
