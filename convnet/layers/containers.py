"""The two usual graphs: layers one after another, and layers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import overload

from convnet.errors import SettingError
from convnet.layers._layer import Layer, Shape
from convnet.layers.graph import Graph
from convnet.layers.merge import Add, Merge

__all__ = ["Parallel", "Sequential"]


class Sequential(Graph):
    """Layers one after another.

    Parameters
    ----------
    *layers : Layer
        The layers, named "0", "1", ...; or one mapping from names to layers.
    input_shape : tuple of int, optional
        The shape, without the batch, of the inputs the model is made for. The layers are then checked to fit together,
        and `summary` needs no shape.

    Raises
    ------
    ShapeError, DTypeError
        In a forward pass, from `output_shape` and, with ``input_shape``, from the constructor: the text starts with the
        place of the layer that complains.

    Notes
    -----
    Saved for backward: nothing but what the layers save in ``ctx.child(name)``. Layers before the first one with
    parameters are skipped on the way back where nobody wants the input's gradient.

    Examples
    --------
    >>> from convnet.layers import Dense, ReLU
    >>> model = Sequential(Dense(4, 8), ReLU(), Dense(8, 2))
    >>> model
    Sequential(
      (0): Dense(4, 8)
      (1): ReLU()
      (2): Dense(8, 2)
    )
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model[-1], len(model[:2])
    (Dense(8, 2), 2)
    """

    input = ""

    def __init__(self, *layers: Layer | Mapping[str, Layer], input_shape: Shape | None = None) -> None:
        named = _named(layers)
        sources = (self.input, *named)
        nodes = {name: (layer, source) for (name, layer), source in zip(named.items(), sources, strict=False)}
        super().__init__(nodes, input_shape=input_shape)

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Layer]:
        return (layer for _, layer in self.named_children())

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """One layer, or a model of some of them that shares their parameters."""
        layers = list(self)
        return Sequential(*layers[index]) if isinstance(index, slice) else layers[index]


class Parallel(Graph):
    """Layers side by side: each gets the same input, and their outputs are merged.

    Parameters
    ----------
    *branches : Layer
        The layers, named "0", "1", ...; or one mapping from names to layers. `Identity` passes its input on.
    merge : Merge
        What makes one array of theirs: `Add` (the default), `Concat` or `Multiply`. It is a child named "merge".
    input_shape : tuple of int, optional
        As for `Sequential`.

    Raises
    ------
    SettingError
        If there is no branch, or one is called "merge".
    ShapeError, DTypeError
        As from `Sequential`.

    Notes
    -----
    Saved for backward: what the branches and ``merge`` save.

    Examples
    --------
    The two convolutions of a "fire" module (arXiv:1602.07360), and a residual connection (arXiv:1512.03385):

    >>> from convnet.layers import Concat, Conv2d, Identity
    >>> Parallel(Conv2d(16, 64, 1), Conv2d(16, 64, 3, padding=1), merge=Concat()).output_shape((16, 7, 7))
    (128, 7, 7)
    >>> Parallel(Conv2d(16, 16, 3, padding=1), Identity()).output_shape((16, 7, 7))
    (16, 7, 7)
    """

    input = ""

    def __init__(
        self, *branches: Layer | Mapping[str, Layer], merge: Merge | None = None, input_shape: Shape | None = None
    ) -> None:
        named = _named(branches)
        if not named or "merge" in named:
            raise SettingError(f"Parallel: expected branches, with other names than 'merge', got {list(named)}")
        joint = Add() if merge is None else merge
        if not isinstance(joint, Merge):
            raise SettingError(f"Parallel merge: expected a Merge such as Add(), got {joint!r}")
        sides = {name: (branch, self.input) for name, branch in named.items()}
        super().__init__({**sides, "merge": (joint, tuple(named))}, input_shape=input_shape)


def _named(layers: tuple[Layer | Mapping[str, Layer], ...]) -> dict[str, Layer]:
    """Name the arguments of a container."""
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        return dict(layers[0])
    return {str(i): layer for i, layer in enumerate(layers)}  # type: ignore[misc]
