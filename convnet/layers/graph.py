"""Layers wired into a graph without cycles: what every container is underneath."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from convnet.context import Context
from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.functional import add
from convnet.layers._checks import as_array
from convnet.layers._layer import Layer, Shape
from convnet.layers.merge import Merge
from convnet.windows import Window

__all__ = ["Graph", "Node"]


class Node(NamedTuple):
    """A layer of a `Graph` and what it reads: the name of an array or, if it is a `Merge`, a tuple of names."""

    layer: Layer
    """The layer."""
    inputs: str | tuple[str, ...]
    """As given: a name, or a tuple of names."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The names that it reads, also where there is but one."""
        return (self.inputs,) if isinstance(self.inputs, str) else self.inputs


class Graph(Layer):
    """Layers that read each other's outputs by name, in any way that has no cycle.

    ``y[name] = layer(y[source], ...)``, node by node; the gradients by the chain rule, backwards (Linnainmaa 1976,
    Taylor expansion of the accumulated rounding error, BIT 16, 146-160).

    Parameters
    ----------
    nodes : mapping of str to (Layer, str or sequence of str)
        For each name its layer and what the layer reads: the input of the graph, called ``"x"``, or nodes that stand
        before it. A `Merge` reads several arrays, any other layer one. The names become those of the parameters.
    output : str, optional
        The node whose output is that of the graph; the last one by default.
    input_shape : tuple of int, optional
        The shape, without the batch, of the inputs the model is made for. The layers are then checked to fit together,
        and `summary` needs no shape.

    Raises
    ------
    SettingError
        If a node reads what does not stand before it, or nobody reads its output.
    ShapeError, DTypeError
        In a forward pass, from `output_shape` and, with ``input_shape``, from the constructor: the text starts with the
        place of the layer that complains.

    Notes
    -----
    Saved for backward: nothing but what the layers save in ``ctx.child(name)``. The gradients of an array that is read
    several times are added, in the reverse order of the nodes. Layers whose gradient nobody needs are skipped on the
    way back. Inference lets go of an array once its last reader has run.

    Examples
    --------
    A residual block, with the names that its weights have in torchvision:

    >>> from convnet.layers import Add, Conv2d, ReLU
    >>> block = Graph(
    ...     {
    ...         "conv1": (Conv2d(8, 8, 3, padding=1, bias=False), "x"),
    ...         "relu": (ReLU(), "conv1"),
    ...         "conv2": (Conv2d(8, 8, 3, padding=1, bias=False), "relu"),
    ...         "add": (Add(), ("conv2", "x")),
    ...     }
    ... )
    >>> list(block.state_dict())
    ['conv1.weight', 'conv2.weight']
    >>> block(np.ones((1, 8, 5, 5), np.float32)).shape
    (1, 8, 5, 5)
    """

    input = "x"
    """The name by which nodes read the graph's input."""

    def __init__(
        self,
        nodes: Mapping[str, tuple[Layer, str | Sequence[str]]],
        output: str | None = None,
        *,
        input_shape: Shape | None = None,
    ) -> None:
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self._wire(nodes, output)

    def _wire(self, nodes: Mapping[str, tuple[Layer, str | Sequence[str]]], output: str | None) -> None:
        """Check the nodes and find, for each, the arrays that nobody reads after it."""
        self._nodes: dict[str, Node] = {}
        for name, (layer, inputs) in nodes.items():
            self._nodes[name] = self._checked(name, layer, (inputs,) if isinstance(inputs, str) else tuple(inputs))
        self.output = output if output is not None else next(reversed(self._nodes), self.input)
        last = {source: name for name, node in self._nodes.items() for source in node.sources}
        loose = [name for name in self._nodes if name not in last and name != self.output]
        if loose or self.output not in (self.input, *self._nodes):
            who = type(self).__name__
            raise SettingError(
                f"{who}: expected all nodes to lead to the output {self.output!r}, got {loose} beside it"
            )
        self._trained = {name for name, node in self._nodes.items() if any(True for _ in node.layer.named_parameters())}
        self._done = {name: [source for source in last if last[source] == name] for name in self._nodes}
        if self.input_shape is not None:
            self.output_shape(self.input_shape)

    def _checked(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> Node:
        who = f"{type(self).__name__}[{name}]"
        if not isinstance(layer, Layer):
            raise TypeError(f"{who}: expected a Layer, got {layer!r}")
        if name == self.input:
            raise SettingError(f"{who}: expected another name than that of the input, got {name!r}")
        merges = isinstance(layer, Merge)
        if not inputs or (len(inputs) > 1 and not merges):
            count = "one or more inputs" if merges else "one input"
            raise SettingError(f"{who}: expected {count} of {type(layer).__name__}, got {inputs}")
        known = (self.input, *self._nodes)
        for source in inputs:
            if source not in known:
                raise SettingError(f"{who}: expected inputs among {', '.join(known)}, got {source!r}")
        return Node(layer, inputs if merges else inputs[0])

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Apply the layers in order."""
        x = as_array(x)
        arrays, shape = {self.input: x}, x.shape[1:]
        if ctx is not None:
            ctx.wanted = {self.input} if ctx.wants_dx else set()
        for name, (layer, inputs) in self._nodes.items():
            child = None if ctx is None else self._child(ctx, name)
            try:
                arrays[name] = layer.forward(_read(arrays, inputs), child)
            except (ShapeError, DTypeError) as error:
                images = None if ctx is None else len(x)
                raise type(error)(f"{type(self).__name__}[{name}] {error}{self._advice(shape, images)}") from error
            for source in self._done[name]:
                del arrays[source]
        return arrays[self.output]

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Apply the layers' `backward` in reverse order, adding up the gradients of each array."""
        gradients = {self.output: dy} if self.output in ctx.wanted else {}
        for name, (layer, inputs) in reversed(self._nodes.items()):
            if name not in gradients:
                continue
            dx: Any = layer.backward(gradients.pop(name), ctx.child(name))
            pairs = ((inputs, dx),) if isinstance(inputs, str) else zip(inputs, dx, strict=True)
            for source, gradient in pairs:
                if gradient is not None and source in ctx.wanted:
                    gradients[source] = add(gradients[source], gradient) if source in gradients else gradient
        return gradients.get(self.input)

    def _child(self, ctx: Context, name: str) -> Context:
        """Return the context of a node, told whether the gradient of what it reads is wanted.

        That of its output is wanted if so, or if it has parameters.
        """
        child = ctx.child(name)
        child.wants_dx = not ctx.wanted.isdisjoint(self._nodes[name].sources)
        if child.wants_dx or name in self._trained:
            ctx.wanted.add(name)
        return child

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the output."""
        shapes = {self.input: tuple(input_shape)}
        try:
            shapes |= {name: after for name, _, _, after in self.walk(input_shape)}
        except ShapeError as error:
            raise ShapeError(f"{error}{self._advice(tuple(input_shape))}") from error
        return shapes[self.output]

    def check_training(self, images: int, input_shape: Shape) -> None:
        """Ask each layer."""
        shape = tuple(input_shape)
        for name, layer, before, _ in self.walk(shape):
            try:
                layer.check_training(images, before)
            except ShapeError as error:
                advice = self._advice(shape, images)
                raise ShapeError(f"{type(self).__name__}[{name}] {error}{advice}") from error

    def _advice(self, shape: Shape, images: int | None = None) -> str:
        """What to add to an error about ``shape``, in training of so many ``images``: the sizes that are taken."""
        made_for = self.input_shape
        if made_for is None or len(made_for) != 3 or len(shape) != 3 or shape[0] != made_for[0]:
            return ""
        c, h, w = made_for
        if self._takes((c, 2 * h, 2 * w), images):
            sizes = range(1, max(h, w) + 1)
            least = next((size for size in sizes if self._takes((c, size, size), images)), 0)
            return f"; images must be at least {least}x{least}" if min(shape[1:]) < least else ""
        if self._takes(shape, images) or not self._takes(made_for, images):
            return ""
        more, less = (self._taken_beside(made_for, step, images) for step in (1, -1))
        return f"; images must be {h - less}x{w - less}" + (f" to {h + more}x{w + more}" if more + less else "")

    def _taken_beside(self, shape: Shape, step: int, images: int | None) -> int:
        """By how many pixels images may be larger or, with step -1, smaller than ``shape``."""
        c, h, w = shape
        others = ((c, h + step * i, w + step * i) for i in range(1, min(h, w)))
        return sum(1 for _ in itertools.takewhile(lambda other: self._takes(other, images), others))

    def _takes(self, shape: Shape, images: int | None) -> bool:
        """Whether inference, or training on so many images, takes images of ``shape``."""
        try:
            for _, layer, before, _ in self.walk(shape):
                if images is not None:
                    layer.check_training(images, before)
        except ShapeError:
            return False
        return True

    def multiply_adds(self, input_shape: Shape) -> int:
        """The sum over the layers."""
        return sum(layer.multiply_adds(before) for _, layer, before, _ in self.walk(input_shape))

    def window(self, input_shape: Shape) -> Window:
        """What a pixel of the output sees; where paths meet, the larger along each axis."""
        windows = {self.input: Window()}
        for name, layer, before, _ in self.walk(input_shape):
            windows[name] = self.seen_by(name, windows).then(layer.window(before))
        return windows[self.output]

    def seen_by(self, name: str, windows: Mapping[str, Window]) -> Window:
        """The window of what a node reads, given those of the arrays before it."""
        return functools.reduce(Window.beside, (windows[source] for source in self._nodes[name].sources))

    def walk(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Any, Shape]]:
        """Yield (name, layer, shape of its input, shape of its output) for each layer, given the model's input.

        The input of a `Merge` is a tuple of shapes.
        """
        shapes = {self.input: tuple(input_shape)}
        for name, node in self._nodes.items():
            before = _read(shapes, node.inputs)
            try:
                shapes[name] = node.layer.output_shape(before)
            except ShapeError as error:
                raise ShapeError(f"{type(self).__name__}[{name}] {error}") from error
            yield name, node.layer, before, shapes[name]

    @property
    def nodes(self) -> dict[str, Node]:
        """Layers and what they read, by name and in order."""
        return dict(self._nodes)

    def rewired(self, nodes: Mapping[str, Node], output: str) -> Self:
        """A container of the same kind with other nodes; the layers are shared, not copied."""
        twin = copy.copy(self)
        twin._wire(nodes, output)
        return twin

    def replaced(self, name: str, layer: Layer) -> Self:
        """A container of the same kind with another layer under a name; the other layers are shared, not copied.

        Parameters
        ----------
        name : str
            Of a layer here, or of one in a container here, as in "classifier.6".
        layer : Layer

        Raises
        ------
        SettingError
            If there is no such layer.
        ShapeError
            If the layer does not fit the others, in a container with an ``input_shape``.

        Examples
        --------
        >>> from convnet.layers import Dense
        >>> from convnet.models import lenet
        >>> lenet(rng=0).replaced("11", Dense(84, 3, rng=0)).output_shape((1, 28, 28))
        (3,)
        """
        first, _, rest = (name, "", "") if name in self._nodes else name.partition(".")  # a name may have dots
        if first not in self._nodes:
            raise SettingError(f"{type(self).__name__}: expected a layer among {', '.join(self._nodes)}, got {first!r}")
        old = self._nodes[first]
        if rest and not isinstance(old.layer, Graph):
            raise SettingError(f"{type(self).__name__}: expected a layer inside of {first!r}, got {old.layer!r}")
        new = old.layer.replaced(rest, layer) if rest and isinstance(old.layer, Graph) else layer
        return self.rewired({**self._nodes, first: Node(new, old.inputs)}, self.output)

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers in order, by name."""
        for name, node in self._nodes.items():
            yield name, node.layer


def _read(values: Mapping[str, Any], inputs: str | tuple[str, ...]) -> Any:
    """What stands under a name, or a tuple of what stands under several."""
    return values[inputs] if isinstance(inputs, str) else tuple(values[name] for name in inputs)
