"""Layers that keep their weights while others are trained: transfer learning."""

from collections.abc import Iterator

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError, UnsupportedError
from convnet.layers._layer import Layer, Shape
from convnet.layers.graph import Graph, Node
from convnet.parameter import Parameter
from convnet.windows import Window

__all__ = ["Frozen", "freeze"]


class Frozen(Layer):
    """``layer`` as it is in inference, also while others are trained: its weights and running averages stay.

    Its parameters count as buffers: they keep their names in a state dictionary, and no optimizer sees them. It belongs
    at the beginning of a model: no gradient goes through it, which saves its whole backward pass and all its memory.

    Parameters
    ----------
    layer : Layer
        Its weights are shared, not copied.

    Notes
    -----
    Saved for backward: nothing.

    Examples
    --------
    >>> from convnet.layers import Dense
    >>> layer = Frozen(Dense(2, 3))
    >>> list(layer.state_dict()), layer.parameters()
    (['weight', 'bias'], [])
    """

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise SettingError(f"Frozen: expected a layer, got {layer!r}")
        self.layer = layer

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Apply the layer as in inference.

        Raises
        ------
        UnsupportedError
            In training, if the gradient of ``x`` is wanted.
        """
        if ctx is not None and ctx.wants_dx:
            raise UnsupportedError("Frozen: expected a place before everything that is trained, got one behind")
        return self.layer.forward(x)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Nothing."""
        return None

    def output_shape(self, input_shape: Shape) -> Shape:
        """That of the layer."""
        return self.layer.output_shape(input_shape)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Those of the layer."""
        return self.layer.multiply_adds(input_shape)

    def window(self, input_shape: Shape) -> Window:
        """That of the layer."""
        return self.layer.window(input_shape)

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield nothing: what is inside draws no random numbers, and its weights are buffers of this layer."""
        return iter(())

    def _named_state(self) -> Iterator[tuple[str, Parameter | np.ndarray]]:
        for name, value in self.layer._named_state():
            yield name, value.value if isinstance(value, Parameter) else value

    def _settings(self) -> str:
        return repr(self.layer)


def freeze(model: Graph, until: str) -> Graph:
    """Return a model whose layers before ``until`` are `Frozen`; the others are trained as before.

    Parameters
    ----------
    model : Sequential or Graph
        It stays as it is, and shares all weights with the result.
    until : str
        Name of the first layer that is trained, or part of it: what it reads, and all that this is made from, is
        frozen.

    Returns
    -------
    Graph
        Of the same kind, with the same names.

    Raises
    ------
    SettingError
        If there is no such layer.

    Examples
    --------
    New classes for a network that knows others:

    >>> from convnet.layers import Dense
    >>> from convnet.models import resnet20
    >>> model = freeze(resnet20(rng=0).replaced("linear", Dense(64, 5, rng=0)), until="linear")
    >>> [name for name, _ in model.named_parameters()]
    ['linear.weight', 'linear.bias']
    """
    if not isinstance(model, Graph) or until not in model.nodes:
        known = f"among {', '.join(model.nodes)}" if isinstance(model, Graph) else "of a Sequential or Graph"
        raise SettingError(f"freeze until: expected the name of a layer {known}, got {until!r}")
    before = _sources(model, until)
    nodes = {
        name: Node(Frozen(node.layer) if name in before and _has_state(node.layer) else node.layer, node.inputs)
        for name, node in model.nodes.items()
    }
    return model.rewired(nodes, model.output)


def _sources(model: Graph, name: str) -> set[str]:
    """The nodes that a node is made from."""
    found: set[str] = set()
    waiting = list(model.nodes[name].sources)
    while waiting:
        source = waiting.pop()
        if source in model.nodes and source not in found:
            found.add(source)
            waiting += model.nodes[source].sources
    return found


def _has_state(layer: Layer) -> bool:
    """Whether training would change the layer, or what it computes."""
    return any(True for _ in layer._named_state()) or any(True for _ in layer.named_generators())
