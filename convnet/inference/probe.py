"""Looking at what a layer in the middle of a model gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError
from convnet.layers import Graph, Layer, Node

__all__ = ["Probe", "last_map", "probed"]

Shape = tuple[int, ...]


class Probe(Layer):
    """The identity, which keeps the last array that passed it, and the last gradient.

    Attributes
    ----------
    output : ndarray
        What the layer before gave.
    gradient : ndarray
        The gradient with respect to that.
    """

    output: np.ndarray
    gradient: np.ndarray

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x``, and keep it: also in inference, so no two threads may share a probe."""
        self.output = x
        return x

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray:
        """Return ``dy``, and keep it."""
        self.gradient = dy
        return dy

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)


def probed(model: Layer, layer: str, who: str) -> tuple[Layer, Probe]:
    """Return a model that shares all layers with ``model``, and a probe in it behind one of them.

    Parameters
    ----------
    model : Layer
    layer : str
        Name of a layer of a container in ``model``, containers included, such as "features.3".
    who : str
        Who complains.

    Raises
    ------
    SettingError
        If there is no such layer.

    Examples
    --------
    >>> from convnet.layers import Flatten, ReLU, Sequential
    >>> model, probe = probed(Sequential(ReLU(), Flatten()), "0", "docs")
    >>> model(np.zeros((1, 2, 3, 3))).shape, probe.output.shape
    ((1, 18), (1, 2, 3, 3))
    """
    probe = Probe()
    twin = _probed(model, layer, probe) if isinstance(model, Graph) and isinstance(layer, str) else None
    if twin is None:
        expected = "the name of a layer in a container, as summary(model) prints it"
        raise SettingError(f"{who} layer: expected {expected}, got {layer!r}")
    return twin, probe


def last_map(model: Layer, input_shape: Shape, who: str) -> str:
    """Name of the last layer of ``model`` whose output is a map (c, h, w) of more than one pixel.

    Raises
    ------
    SettingError
        If there is none in a container.

    Examples
    --------
    >>> from convnet.models import lenet
    >>> last_map(lenet(), (1, 28, 28), "docs")
    '5'
    """
    name = ""
    for found, shape in _outputs("", model, input_shape):
        if len(shape) == 3 and shape[1] * shape[2] > 1:
            name = found
    if not name:
        raise SettingError(f"{who} model: expected a container with a layer whose output is a map, got {model!r}")
    return name


def _probed(graph: Graph, path: str, probe: Probe) -> Graph | None:
    for name, node in graph.nodes.items():
        if path == name:
            return _with_reader(graph, name, probe)
        if path.startswith(f"{name}.") and isinstance(node.layer, Graph):
            inner = _probed(node.layer, path.removeprefix(f"{name}."), probe)
            if inner is not None:
                return graph.rewired({**graph.nodes, name: Node(inner, node.inputs)}, graph.output)
    return None


def _with_reader(graph: Graph, name: str, probe: Probe) -> Graph:
    """Put a probe behind a node; whoever reads the node then reads the probe."""
    place = f"{name}.probe"
    nodes: dict[str, Node] = {}
    for own, node in graph.nodes.items():
        sources = tuple(place if source == name else source for source in node.sources)
        nodes[own] = Node(node.layer, sources)
        if own == name:
            nodes[place] = Node(probe, name)
    return graph.rewired(nodes, place if graph.output == name else graph.output)


def _outputs(name: str, layer: Layer, input_shape: Shape) -> Iterator[tuple[str, Shape]]:
    """Name and output shape of each layer that is not a container."""
    if not isinstance(layer, Graph):
        return
    for child_name, child, before, after in layer.walk(input_shape):
        full = f"{name}.{child_name}" if name else child_name
        if isinstance(child, Graph):
            yield from _outputs(full, child, before)
        else:
            yield full, after
