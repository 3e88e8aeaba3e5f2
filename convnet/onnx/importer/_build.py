"""A graph of layers in the making."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from convnet.errors import UnsupportedError
from convnet.layers import Graph, Layer, Merge, Parallel, Sequential
from convnet.layers._layer import Shape
from convnet.onnx.importer._read import Network, Operator

__all__ = ["Builder", "Inputs", "Map", "Value"]


MOST = 1 << 30
"""Numbers of an image, and bytes of computed arrays together: more is no network, but a file that wants the memory."""


@dataclass(frozen=True)
class Map:
    """What a node gives: its name, and the shape for one image."""

    source: str
    shape: Shape


Value: TypeAlias = "np.ndarray | Map | None"
Inputs: TypeAlias = "list[Value]"


class Builder:
    """Nodes so far, and where the arrays of the file are.

    Attributes
    ----------
    opset : int
    dtype : numpy.dtype
        Of the weights.
    images : int or None
        The size of a batch in the file.
    values : dict
        Arrays that are known, and outputs of nodes, by their names in the file.
    """

    def __init__(self, network: Network, input_shape: Shape) -> None:
        self.opset, self.dtype, self.images = network.opset, network.dtype, network.images
        self._maps = {Graph.input: Map(Graph.input, input_shape)}
        self.values: dict[str, Value] = {**network.constants, network.input: self._maps[Graph.input]}
        self._computed = 0
        self._nodes: dict[str, tuple[Layer, tuple[str, ...]]] = {}
        self._readers = Counter(name for each in network.operators for name in set(filter(None, each.inputs)))
        self._readers.update(network.outputs)
        self._stems = {id(array): name for name, array in network.constants.items()}

    def put(self, operator: Operator, layer: Layer, *sources: Map, weight: Any = None) -> Map:
        """Add a node; it is called as its weight or as in the file, as far as Python allows."""
        shapes = [source.shape for source in sources]
        shape = layer.output_shape(shapes) if isinstance(layer, Merge) else layer.output_shape(shapes[0])
        if math.prod(shape) > MOST:
            raise self.unsupported(operator, f"at most {MOST:,} numbers of an image", f"an output of shape {shape}")
        name = self._name(operator, weight)
        self._nodes[name] = (layer, tuple(source.source for source in sources))
        self._maps[name] = Map(name, tuple(shape))
        return self._maps[name]

    def known(self, operator: Operator, array: np.ndarray) -> np.ndarray:
        """Take in an array that was computed while the file is read."""
        self._computed += array.nbytes
        if self._computed > MOST:
            raise self.unsupported(operator, f"at most {MOST:,} bytes of computed arrays", f"{self._computed:,}")
        return array

    def layer(self, value: Value) -> Layer | None:
        """The layer that gives a map; None for the input and for arrays."""
        return self._nodes[value.source][0] if isinstance(value, Map) and value.source in self._nodes else None

    def read(self, value: Map) -> Map:
        """What the node of a map reads."""
        (source,) = self._nodes[value.source][1]
        return self._maps[source]

    def alone(self, value: Value) -> bool:
        """Whether only one operator reads a map, so that the layer before may be changed for it."""
        names = [name for name, known in self.values.items() if isinstance(known, Map) and known == value]
        return len(names) == 1 and self._readers[names[0]] == 1

    def is_read(self, name: str) -> bool:
        """Whether an array of the file is an output, or an operator reads it."""
        return bool(name) and self._readers[name] > 0

    def array(self, operator: Operator, value: Value, what: str) -> np.ndarray:
        """An array that must be known when the file is read.

        Raises
        ------
        UnsupportedError
            If it is computed from the images.
        """
        if not isinstance(value, np.ndarray):
            raise self.unsupported(operator, f"{what} that the file holds", "one that is computed" if value else "none")
        return value

    def weights(self, operator: Operator, value: Value, what: str) -> np.ndarray:
        """As `array`, copied, of the dtype of the weights."""
        return np.array(self.array(operator, value, what), self.dtype, order="C")

    def map(self, operator: Operator, value: Value, *axes: int) -> Map:
        """An array that is computed from the images, with so many axes for one image.

        Raises
        ------
        UnsupportedError
            If it is known before, or has another number of axes.
        """
        if not isinstance(value, Map):
            raise self.unsupported(operator, "an input that is computed from the images", "one that the file holds")
        if axes and len(value.shape) not in axes:
            kinds = {3: "images (n, c, h, w)", 1: "rows (n, c)"}
            expected = " or ".join(kinds[count] for count in axes)
            raise self.unsupported(operator, expected, f"an input of shape (n, {', '.join(map(str, value.shape))})")
        return value

    def unsupported(self, operator: Operator, expected: str, got: object) -> UnsupportedError:
        """An error that names the operator."""
        return UnsupportedError(f"{operator}: expected {expected}, got {got} (opset {self.opset})")

    def model(self, output: Map, input_shape: Shape) -> Graph:
        """The nodes that lead to an output: a `Sequential` or a `Parallel` where they are one."""
        nodes = self._leading_to(output.source)
        layers = {name: layer for name, (layer, _) in nodes.items()}
        sources = [inputs for _, inputs in nodes.values()]
        if sources == [(name,) for name in (Graph.input, *nodes)][: len(nodes)]:
            return Sequential(layers, input_shape=input_shape)
        *branches, last = nodes
        merge = layers[last]
        if isinstance(merge, Merge) and sources == [(Graph.input,)] * len(branches) + [tuple(branches)]:
            return Parallel({name: layers[name] for name in branches}, merge=merge, input_shape=input_shape)
        return Graph(dict(nodes), output.source, input_shape=input_shape)

    def _leading_to(self, output: str) -> dict[str, tuple[Layer, tuple[str, ...]]]:
        wanted = {output}
        for name, (_, inputs) in reversed(self._nodes.items()):
            if name in wanted:
                wanted.update(inputs)
        return {name: node for name, node in self._nodes.items() if name in wanted}

    def _name(self, operator: Operator, weight: Value) -> str:
        stem = self._stems.get(id(weight), "")
        wanted = stem.removesuffix(".weight") if stem.endswith(".weight") else operator.name or operator.kind.lower()
        plain = re.sub(r"[^\w.]+", "_", wanted, flags=re.ASCII).strip("_.") or operator.kind.lower()
        name, count = plain, 1
        while name in self._nodes or name in (Graph.input, "merge"):
            count += 1
            name = f"{plain}_{count}"
        return name
