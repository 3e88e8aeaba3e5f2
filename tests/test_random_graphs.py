"""Random graphs: fused, planned or not, in whatever order their gradients meet, they compute the same."""

import numpy as np
import pytest

from convnet import Predictor, fuse
from convnet.layers import Add, Concat, Context, Conv2d, Graph, Identity, MaxPool2d, Multiply, ReLU, Sequential

CHANNELS = 2
many = pytest.mark.parametrize("seed", range(80))


def convolution(seed):
    """A 3x3 convolution that keeps the map, with weights -1, 0 and 1: sums stay exact in float64."""
    layer = Conv2d(CHANNELS, CHANNELS, 3, padding=1, rng=0, dtype=np.float64)
    layer.weight.value[...] = np.random.default_rng(seed).integers(-1, 2, layer.weight.shape)
    return layer


KINDS = {
    "conv": convolution,
    "relu": lambda seed: ReLU(),
    "pool": lambda seed: MaxPool2d(3, 1, 1),
    "add": lambda seed: Add(),
    "nested": lambda seed: Sequential(convolution(seed), ReLU()),
}


def random_graph(rng):
    """Up to eight nodes that keep the shape and read near ones, so that runs and forks are frequent.

    Those that nobody reads are added up.
    """
    nodes, loose = {}, ["x"]
    for i in range(rng.integers(9)):
        kind = rng.choice(list(KINDS), p=[0.3, 0.3, 0.1, 0.2, 0.1])
        near = ["x", *nodes][-3:]
        inputs = [str(rng.choice(near)) for _ in range(rng.integers(1, 4) if kind == "add" else 1)]
        nodes[f"n{i}"] = (KINDS[kind](i), inputs if kind == "add" else inputs[0])
        loose = [name for name in loose if name not in inputs] + [f"n{i}"]
    return Graph({**nodes, "sum": (Add(), loose), "end": (ReLU(), "sum")})


def run(model, graph, x, dy):
    for parameter in graph.parameters():
        parameter.grad[...] = 0
    ctx = Context()
    y = model.forward(x, ctx)
    return [y, model(x), model.backward(dy, ctx), *(p.grad.copy() for p in graph.parameters())]


@many
def test_a_fused_graph_computes_the_same(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    x, dy = rng.integers(-1, 2, (2, 2, CHANNELS, 3, 4)).astype(np.float64)
    plain, fused = (run(model, graph, x, dy) for model in (graph, fuse(graph)))
    for expected, actual in zip(plain, fused, strict=True):
        np.testing.assert_array_equal(actual, expected)


@many
def test_a_plan_of_it_computes_the_same(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    x = rng.integers(-1, 2, (2, CHANNELS, 3, 4)).astype(np.float64 if graph.parameters() else np.float32)
    np.testing.assert_array_equal(Predictor(graph, x.shape[1:])(x), graph(x))


@many
def test_gradients_are_those_of_the_written_out_tree(seed):
    """Give each path from the input to the output layers of its own: a tree, where no array is read twice."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    x, dy = rng.integers(-1, 2, (2, 2, CHANNELS, 3, 4)).astype(np.float64)
    _, _, expected, *_ = run(graph, graph, x, dy)

    def gradient(name, dy):
        """Gradient in x of the node ``name``, alone on its path."""
        if name == "x":
            return dy
        layer, inputs = graph.nodes[name].layer, graph.nodes[name].sources
        ctx = Context()
        values = [value(source) for source in inputs]
        layer.forward(values if isinstance(layer, Add) else values[0], ctx)
        back = layer.backward(dy, ctx)
        parts = back if isinstance(layer, Add) else [back]
        return sum(gradient(source, part) for source, part in zip(inputs, parts, strict=True))

    def value(name):
        if name == "x":
            return x
        layer, inputs = graph.nodes[name].layer, graph.nodes[name].sources
        values = [value(source) for source in inputs]
        return layer(values if isinstance(layer, Add) else values[0])

    np.testing.assert_array_equal(gradient("end", dy), expected)


def test_merges_of_merges(rng):
    """Squares and joints by hand: y = [x * (x + x), x * x], and its gradient 4 x, 2 x."""
    nodes = {
        "a": (Add(), ("x", "x")),
        "m": (Multiply(), ("x", "a")),
        "i": (Identity(), "x"),
        "s": (Multiply(), ("i", "x")),
        "y": (Concat(), ("m", "s")),
    }
    x, ctx = rng.integers(-4, 5, (2, 3, 4, 4)).astype(np.float32), Context()
    for graph in Graph(nodes), fuse(Graph(nodes)):
        y = graph.forward(x, ctx)
        np.testing.assert_array_equal(y, np.concatenate([2 * x * x, x * x], axis=1))
        np.testing.assert_array_equal(graph.backward(np.ones_like(y), ctx), 4 * x + 2 * x)
