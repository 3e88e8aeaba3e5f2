"""What is compared: training steps, inference and single convolutions, with the limits that their numbers keep.

Every side's result is measured against float64. With products of random sign, K of them added one after the other, the
error relative to the sum is about 0.2 eps sqrt(K) (see `tests/bounds.py`); 4 eps sqrt(K) leaves a factor of 20, of
which Winograd's transforms take 5. Errors of layers in a row add up: that is the limit of outputs.

Gradients are not continuous: a ReLU or a maximum near its kink may decide otherwise after a rounding. Where a fraction
f of the terms of a gradient changes, it moves by about sqrt(f) of its norm. In each layer f is about the relative error
of its maps, at most that of the outputs, and the layers' fractions add up: so the limit of an update is the square root
of the number of layers times the limit of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from networks import Network, batch_of
from shapes import Shape, arrays_of
from sides import Side, Work
from sides.ours import algorithm

import convnet

EPS = float(np.finfo(np.float32).eps)
Arrays = dict[str, np.ndarray]


class Case(NamedTuple):
    """One line of the comparison."""

    kind: str
    name: str
    batch: int
    flops: float
    runs: int
    """How often each side runs before the results are compared."""
    work: Callable[[Side], Work]
    limits: Callable[[Arrays], dict[str, float]]
    """From the results in float64: how far each array may lie from them, in the Euclidean norm."""
    algorithm: str | None = None
    """What convnet chose, where there is a choice to see."""


def step_case(network: Network) -> Case:
    """A training step; after two of them, the second with momentum, the weights are compared."""
    x, y = batch_of(network)
    model, runs = network.make(), 2
    before, tolerance = model.state_dict(), (len(_sums(model)) * _rounding(model)) ** 0.5

    def limits(exact: Arrays) -> dict[str, float]:
        moved = {name: _norm(w - before[name]) for name, w in exact.items()}
        # A gradient that is zero but for rounding, as of a bias before batch norm, is measured against all of them.
        floor = 1e-3 * _norm(np.array(list(moved.values())))
        return {name: tolerance * (moved[name] + floor) + runs * EPS * _norm(w) for name, w in exact.items()}

    multiply_adds = 3 * model.multiply_adds(network.input_shape) - _first_layer(model, network.input_shape)
    flops = 2 * network.batch * multiply_adds
    return Case("step", network.name, network.batch, flops, runs, lambda side: side.step(network, x, y), limits)


def inference_case(network: Network, batch: int) -> Case:
    """Apply the network to some images."""
    x, model = batch_of(network)[0][:batch], network.make()
    tolerance, flops = _rounding(model), 2 * batch * model.multiply_adds(network.input_shape)

    def limits(exact: Arrays) -> dict[str, float]:
        return {name: tolerance * _norm(y) for name, y in exact.items()}

    return Case("inference", network.name, batch, flops, 1, lambda side: side.inference(network, x), limits)


def convolution_case(shape: Shape, which: str) -> Case:
    """One pass of one convolution."""
    arrays = arrays_of(shape)

    def limits(exact: Arrays) -> dict[str, float]:
        return {name: 4 * EPS * (shape.multiply_adds / y.size) ** 0.5 * _norm(y) for name, y in exact.items()}

    def work(side: Side) -> Work:
        return side.convolution(shape, arrays, which)

    flops = 2 * shape.multiply_adds
    return Case(which, str(shape), shape.batch, flops, 1, work, limits, algorithm(shape, which))


def check(case: Case, exact: Arrays, results: Arrays) -> None:
    """Raise ArithmeticError if a side's results lie too far from those in float64."""
    if missing := sorted(exact.keys() ^ results.keys()):
        raise ArithmeticError(f"{case.kind} {case.name}: only one side has {missing}")
    for name, limit in case.limits(exact).items():
        error = _norm(results[name] - exact[name])
        if not error <= limit:
            raise ArithmeticError(
                f"{case.kind} {case.name}: {name} lies {error:.2g} from the result in float64, {limit:.2g} is allowed"
            )


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(x, np.float64)))


def _rounding(model: convnet.Layer) -> float:
    """The limit of the outputs' relative error."""
    return 4 * EPS * sum(products**0.5 for products in _sums(model))


def _sums(model: convnet.Layer) -> list[int]:
    """How many products an element is the sum of, for each layer with weights."""
    return [parameter.value[0].size for parameter in model.parameters() if parameter.value.ndim > 1]


def _first_layer(layer: convnet.Layer, input_shape: tuple[int, ...]) -> int:
    """The multiply-adds of the layer whose data gradient nobody wants."""
    if hasattr(layer, "walk"):
        for _, child, before, _ in layer.walk(input_shape):
            if child.multiply_adds(before):
                return _first_layer(child, before)
    return layer.multiply_adds(input_shape)
