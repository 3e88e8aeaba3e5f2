import gc
import weakref
from typing import ClassVar

import numpy as np
import pytest
from gradcheck import away_from_kinks, check_layer

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.layers import (
    Add,
    Concat,
    Context,
    Conv2d,
    Dense,
    Graph,
    Layer,
    Merge,
    Multiply,
    Parallel,
    ReLU,
    Sequential,
)


def block(dtype=np.float64):
    """A residual block with a projection; "relu" is read twice."""
    return Graph(
        {
            "conv1": (Conv2d(2, 3, 3, padding=1, rng=0, dtype=dtype), "x"),
            "conv2": (Conv2d(3, 3, 3, padding=1, rng=1, dtype=dtype), "conv1"),
            "shortcut": (Sequential(Conv2d(2, 3, 1, rng=2, dtype=dtype)), "x"),
            "add": (Add(), ("conv2", "shortcut", "conv1")),
        }
    )


def test_the_gradient_of_a_block(rng):
    check_layer(block(), rng.standard_normal((2, 2, 4, 5)), rng)
    check_layer(Sequential(ReLU(), block(), ReLU()), away_from_kinks(rng, (1, 2, 3, 3)), rng)


def test_names_are_those_of_the_nodes():
    assert [name for name in block().state_dict() if "weight" in name] == [
        "conv1.weight",
        "conv2.weight",
        "shortcut.0.weight",
    ]


def test_every_path_counts(rng):
    """y = x (x w + x) + x, so that an array read four times gets the sum of four gradients."""
    w = Dense(1, 1, bias=False, dtype=np.float64)
    w.weight.value[...] = 5
    graph = Graph({"w": (w, "x"), "a": (Add(), ("w", "x")), "m": (Multiply(), ("a", "x")), "y": (Add(), ("m", "x"))})
    x, ctx = np.array([[3.0]]), Context()
    assert graph.forward(x, ctx) == 3 * (15 + 3) + 3
    assert graph.backward(np.ones((1, 1)), ctx) == 2 * 3 * 6 + 1
    assert w.weight.grad == 9


def test_an_array_read_twice_by_one_layer(rng):
    graph, ctx = Graph({"square": (Multiply(), ("x", "x"))}), Context()
    x = rng.standard_normal((2, 3))
    np.testing.assert_array_equal(graph.forward(x, ctx), x * x)
    np.testing.assert_array_equal(graph.backward(np.ones_like(x), ctx), 2 * x)


def test_a_graph_without_nodes_passes_its_input_on(rng):
    graph = Graph({}, input_shape=(3,))
    x, ctx = rng.standard_normal((2, 3)), Context()
    assert graph.forward(x, ctx) is x
    assert graph.backward(x, ctx) is x
    assert graph.output_shape((3,)) == (3,)


class Untouchable(ReLU):
    """A layer that must not be asked for a gradient nobody wants."""

    def backward(self, dy, ctx):
        raise AssertionError(f"backward({dy}) was called")


def test_gradients_nobody_wants_are_not_computed():
    graph = Graph(
        {
            "idle": (Untouchable(), "x"),
            "first": (Dense(3, 3), "idle"),
            "beside": (Untouchable(), "x"),
            "add": (Add(), ("first", "beside")),
            "second": (Dense(3, 2), "add"),
        }
    )
    ctx = Context(wants_dx=False)
    y = graph.forward(np.ones((1, 3), np.float32), ctx)
    wanted = {name: ctx.child(name).wants_dx for name, _ in graph.named_children()}
    assert wanted == {"idle": False, "first": False, "beside": False, "add": True, "second": True}
    assert graph.backward(y, ctx) is None
    assert all(p.grad.any() for p in graph.parameters())


def test_a_context_is_told_anew_in_each_pass():
    graph, ctx = block(np.float32), Context(wants_dx=False)
    x = np.ones((1, 2, 3, 3), np.float32)
    y = graph.forward(x, ctx)
    assert graph.backward(y, ctx) is None
    ctx.wants_dx = True
    graph.forward(x, ctx)
    assert graph.backward(y, ctx).shape == x.shape


class Probe(Layer):
    """Passes a copy on, and counts how many copies of all probes are alive."""

    alive: ClassVar = weakref.WeakSet()
    seen: ClassVar = ()

    def forward(self, x, ctx=None):
        gc.collect()
        Probe.seen = (*Probe.seen, len(Probe.alive))
        y = np.copy(x).view(Tracked)
        Probe.alive.add(y)
        return y

    def backward(self, dy, ctx):
        return dy

    def output_shape(self, input_shape):
        return input_shape


class Tracked(np.ndarray):
    """An array that can be weakly referenced and hashed."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


def test_inference_lets_go_of_an_array_after_its_last_reader():
    probes = [Probe() for _ in range(5)]
    Sequential(*probes)(np.ones((1, 2)))
    assert Probe.seen == (0, 1, 1, 1, 1)
    Probe.seen = ()
    nodes = {"a": (Probe(), "x"), "b": (Probe(), "a"), "c": (Probe(), "b"), "d": (Probe(), "c")}
    Graph({**nodes, "add": (Add(), ("d", "a"))})(np.ones((1, 2)))
    assert Probe.seen == (0, 1, 2, 2)


def test_shapes_and_costs():
    graph = block()
    assert graph.output_shape((2, 4, 5)) == (3, 4, 5)
    assert graph.multiply_adds((2, 4, 5)) == 20 * (54 + 81 + 6)
    befores = {name: before for name, _, before, _ in graph.walk((2, 4, 5))}
    assert befores["conv2"] == (3, 4, 5)
    assert befores["add"] == ((3, 4, 5),) * 3


def test_all_nodes_lead_to_the_output():
    graph = Graph({"a": (Dense(2, 3), "x"), "b": (ReLU(), "a")}, output="b")
    assert graph.output == "b"
    with pytest.raises(
        SettingError, match=r"Graph: expected all nodes to lead to the output 'a', got \['b'\] beside it"
    ):
        Graph({"a": (Dense(2, 3), "x"), "b": (ReLU(), "a")}, output="a")
    with pytest.raises(SettingError, match="Graph: expected all nodes to lead to the output 'c'"):
        Graph({"a": (Dense(2, 3), "x")}, output="c")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ((ReLU(), "b"), r"Graph\[n\]: expected inputs among x, a, got 'b'"),
        ((ReLU(), "n"), r"Graph\[n\]: expected inputs among x, a, got 'n'"),
        ((ReLU(), ("x", "a")), r"Graph\[n\]: expected one input of ReLU, got \('x', 'a'\)"),
        ((ReLU(), ()), r"Graph\[n\]: expected one input of ReLU, got \(\)"),
        ((Add(), ()), r"Graph\[n\]: expected one or more inputs of Add, got \(\)"),
    ],
)
def test_nodes_that_do_not_fit_are_refused(node, text):
    with pytest.raises(SettingError, match=text):
        Graph({"a": (ReLU(), "x"), "n": node})


def test_errors_name_the_place():
    graph = block(np.float32)
    with pytest.raises(ShapeError, match=r"Graph\[conv1\] Conv2d: expected x of shape \(n, 2, h, w\), got \(1, 3"):
        graph(np.zeros((1, 3, 6, 6), np.float32))
    with pytest.raises(DTypeError, match=r"Graph\[conv1\] Conv2d: expected x of dtype float32, got float64"):
        graph(np.zeros((1, 2, 6, 6)))
    with pytest.raises(ShapeError, match=r"Graph\[conv1\] Conv2d: expected an input of shape \(2, h, w\), got \(3, 6"):
        graph.output_shape((3, 6, 6))
    with pytest.raises(ShapeError, match=r"Graph\[add\] Add: expected arrays of one shape, got \(3,\), \(2,\)"):
        Graph({"a": (Dense(2, 3), "x"), "add": (Add(), ("a", "x"))}, input_shape=(2,))
    with pytest.raises(TypeError, match=r"Graph\[relu\]: expected a Layer, got 'relu'"):
        Graph({"relu": ("relu", "x")})
    with pytest.raises(SettingError, match=r"Graph\[x\]: expected another name than that of the input, got 'x'"):
        Graph({"x": (ReLU(), "x")})


def test_parallel_is_what_its_merge_makes_of_its_branches(rng):
    x = rng.standard_normal((2, 4))
    a, b = (Dense(4, 4, rng=seed, dtype=np.float64) for seed in (0, 1))
    np.testing.assert_array_equal(Parallel(a, b)(x), a(x) + b(x))
    np.testing.assert_array_equal(Parallel(a, b, merge=Concat())(x), np.hstack([a(x), b(x)]))
    np.testing.assert_array_equal(Parallel({"a": a, "x": b}, merge=Multiply())(x), a(x) * b(x))
    np.testing.assert_array_equal(Parallel(a, Sequential())(x), a(x) + x)


def test_parallel_names_its_branches():
    assert list(Parallel(Dense(2, 2), Dense(2, 2)).state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert repr(Parallel({"a": ReLU(), "b": Sequential()})).splitlines() == [
        "Parallel(",
        "  (a): ReLU()",
        "  (b): Sequential()",
        "  (merge): Add()",
        ")",
    ]


def test_parallel_refuses_what_it_cannot_merge():
    with pytest.raises(SettingError, match=r"Parallel: expected branches, with other names than 'merge', got \[\]"):
        Parallel()
    with pytest.raises(SettingError, match=r"Parallel: expected branches, .* got \['merge'\]"):
        Parallel({"merge": ReLU()})
    with pytest.raises(SettingError, match=r"Parallel merge: expected a Merge such as Add\(\), got ReLU\(\)"):
        Parallel(ReLU(), merge=ReLU())
    with pytest.raises(TypeError, match=r"Parallel\[1\]: expected a Layer, got 'relu'"):
        Parallel(ReLU(), "relu")
    with pytest.raises(ShapeError, match=r"Parallel\[merge\] Add: expected arrays of one shape, got \(3,\), \(2,\)"):
        Parallel(Dense(2, 3), Sequential(), input_shape=(2,))


class Difference(Merge):
    """A merge of somebody's own."""

    def forward(self, xs, ctx=None):
        return xs[0] - xs[1]

    def backward(self, dy, ctx):
        return dy, -dy

    def output_shape(self, input_shapes):
        return input_shapes[0]


def test_a_merge_of_ones_own(rng):
    check_layer(
        Parallel(Dense(3, 3, rng=0, dtype=np.float64), Sequential(), merge=Difference()), rng.random((2, 3)), rng
    )
