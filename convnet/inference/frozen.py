"""Inference as a function with a gradient."""

# Merges take and return tuples where other layers take and return one array.
# mypy: disable-error-code="override"

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from convnet.context import Context
from convnet.errors import UnsupportedError
from convnet.functional import batch_norm_inference
from convnet.layers import AuxiliaryHead, BatchNorm2d, Dropout, Graph, Identity, Layer, Merge, Node, ReLU, Sequential
from convnet.layers.fused import AddReLU, BatchNormAddReLU, BatchNormReLU
from convnet.layers.merge import Gradients
from convnet.parameter import Parameter

__all__ = ["frozen"]

_Memo = dict[int, Any]


def frozen(model: Layer) -> Layer:
    """Return a model whose training pass computes what inference does, so that `backward` gives its gradient.

    Batch normalisations take their running averages and do not move them; dropout and auxiliary heads do nothing.
    Weights are shared, their gradients are not: nothing that is done with the result changes ``model``. Layers of your
    own are taken as they are but for the parameters and layers among their attributes.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    Layer
        Of the same kind, with the same names.

    Raises
    ------
    UnsupportedError
        If batch normalisation or dropout is where it cannot be replaced: neither in a `Graph` nor an attribute of a
        layer, or of a type derived from theirs.

    Examples
    --------
    >>> model = Sequential(BatchNorm2d(2), Dropout(0.5))
    >>> ctx, x = Context(), np.ones((1, 2, 1, 1), np.float32)
    >>> bool(np.all(frozen(model).forward(x, ctx) == model(x)))
    True
    """
    twin = _frozen(model, {})
    for name, layer in _inside("", twin):
        if isinstance(layer, BatchNorm2d | Dropout):
            expected = "in a container or an attribute of a layer, and no derived type"
            raise UnsupportedError(f"frozen: expected {type(layer).__name__} {expected}, got {name or 'itself'}")
    return twin


def _frozen(layer: Layer, memo: _Memo) -> Layer:
    """Whatever is shared stays shared: ``memo`` has what was made of layers and parameters, by their identity."""
    if id(layer) not in memo:
        rewrite = _REWRITES.get(type(layer))  # not a subclass, which may do anything
        memo[id(layer)] = _copied(layer, memo) if rewrite is None else rewrite(layer, memo)
    frozen_layer: Layer = memo[id(layer)]
    return frozen_layer


def _copied(layer: Layer, memo: _Memo) -> Layer:
    twin = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, Parameter):
            setattr(twin, name, memo.setdefault(id(value), Parameter(value.value)))
        elif isinstance(value, Layer):
            setattr(twin, name, _frozen(value, memo))
    if isinstance(twin, Graph):
        nodes = {name: Node(_frozen(node.layer, memo), node.inputs) for name, node in twin.nodes.items()}
        return twin.rewired(nodes, twin.output)
    return twin


def _inside(name: str, layer: Layer) -> Iterator[tuple[str, Layer]]:
    yield name, layer
    for child_name, child in layer.named_children():
        yield from _inside(f"{name}.{child_name}" if name else child_name, child)


class _FixedNorm(Layer):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` with the numbers of a `BatchNorm2d` in inference."""

    def __init__(self, norm: BatchNorm2d) -> None:
        self._mean, self._var, self._eps = norm.running_mean, norm.running_var, norm.eps
        self._weight = None if norm.weight is None else norm.weight.value
        self._bias = None if norm.bias is None else norm.bias.value

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        return batch_norm_inference(x, self._mean, self._var, self._weight, self._bias, eps=self._eps)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray:
        """The same without what is added: the function is linear but for that."""
        return batch_norm_inference(dy, np.zeros_like(self._mean), self._var, self._weight, eps=self._eps)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(input_shape)


class _FixedNormAddReLU(Merge):
    """``relu(norm(xs[0]) + xs[1])``."""

    def __init__(self, norm: Layer) -> None:
        self.norm, self._join = norm, AddReLU()

    def forward(self, xs: Sequence[np.ndarray], ctx: Context | None = None) -> np.ndarray:
        return self._join.forward((self.norm.forward(xs[0]), xs[1]), ctx)

    def backward(self, dy: np.ndarray, ctx: Context) -> Gradients:
        first, second = self._join.backward(dy, ctx)
        return None if first is None else self.norm.backward(first, ctx), second

    def output_shape(self, input_shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return self._join.output_shape(input_shapes)


def _norm_relu(layer: BatchNormReLU, memo: _Memo) -> Layer:
    rest = [] if layer.pool is None else [layer.pool]
    return Sequential(_frozen(layer.norm, memo), ReLU(), *rest)


_REWRITES: dict[type[Layer], Callable[[Any, _Memo], Layer]] = {
    AuxiliaryHead: lambda layer, memo: Identity(),
    BatchNorm2d: lambda layer, memo: _FixedNorm(layer),
    BatchNormAddReLU: lambda layer, memo: _FixedNormAddReLU(_frozen(layer.norm, memo)),
    BatchNormReLU: _norm_relu,
    Dropout: lambda layer, memo: Identity(),
}
