"""Fused models compute what the models they stand for compute."""

import copy

import numpy as np
import pytest
from gradcheck import away_from_kinks, check_layer

from convnet import (
    Add,
    AvgPool2d,
    Concat,
    Context,
    Conv2d,
    Dense,
    Flatten,
    Graph,
    MaxPool2d,
    Parallel,
    ReLU,
    Sequential,
    SettingError,
    ShapeError,
    fuse,
    models,
)
from convnet.layers.fused import ConvReLU, DenseReLU


def _types(model):
    return [type(layer) for layer in model]


def test_lenet():
    fused = fuse(models.lenet(rng=0))
    assert _types(fused) == [ConvReLU, ConvReLU, Flatten, DenseReLU, DenseReLU, Dense]
    assert [name for name, _ in fused.named_children()] == ["0", "3", "6", "7", "9", "11"]


class _Louder(ReLU):
    pass


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(2)], [ConvReLU]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d((2, 3))], [ConvReLU]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(3, 2)], [ConvReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(2, padding=1)], [ConvReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(2, dilation=2)], [ConvReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(2, ceil_mode=True)], [ConvReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU(), MaxPool2d(16)], [ConvReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU(), AvgPool2d(2)], [ConvReLU, AvgPool2d]),
        ([Conv2d(1, 2, 3), MaxPool2d(2), ReLU()], [Conv2d, MaxPool2d, ReLU]),
        ([Conv2d(1, 2, 3), _Louder()], [Conv2d, _Louder]),
        ([Dense(2, 3), ReLU(), ReLU()], [DenseReLU, ReLU]),
        ([ReLU()], [ReLU]),
        ([], []),
    ],
    ids=repr,
)
def test_patterns(layers, expected):
    assert _types(fuse(Sequential(*layers))) == expected


def test_nested_models_are_rewritten_and_others_left():
    dense = Dense(2, 2)
    fused = fuse(Sequential(Sequential(dense, ReLU()), ReLU()))
    assert _types(fused) == [Sequential, ReLU]
    assert _types(fused[0]) == [DenseReLU]
    assert fuse(dense) is dense


def _read(graph):
    return {name: (type(node.layer), node.sources) for name, node in graph.nodes.items()}


def test_chains_of_a_graph_are_rewritten_and_their_readers_told():
    graph = Graph(
        {
            "c": (Conv2d(1, 2, 3), "x"),
            "r": (ReLU(), "c"),
            "p": (MaxPool2d(2), "r"),
            "d": (Conv2d(2, 2, 1), "p"),
            "s": (ReLU(), "d"),
            "add": (Add(), ("s", "p")),
            "e": (Conv2d(2, 2, 1), "add"),
            "t": (ReLU(), "e"),
        }
    )
    assert _read(fuse(graph)) == {
        "c": (ConvReLU, ("x",)),
        "d": (ConvReLU, ("c",)),
        "add": (Add, ("d", "c")),
        "e": (ConvReLU, ("add",)),
    }
    assert fuse(graph).output == "e"


def test_an_array_that_somebody_else_reads_stays():
    c, r = Conv2d(1, 1, 1), ReLU()
    shared = Graph({"c": (c, "x"), "r": (r, "c"), "add": (Add(), ("r", "c"))})
    assert _read(fuse(shared)) == _read(shared)
    both = Graph({"c": (c, "x"), "add": (Add(), ("c", "c"))})
    assert _read(fuse(both)) == _read(both)
    pool, added = MaxPool2d(2), (Add(), ("p", "q"))
    pooled = Graph({"c": (c, "x"), "r": (r, "c"), "p": (pool, "r"), "q": (pool, "r"), "add": added})
    assert [kind for kind, _ in _read(fuse(pooled)).values()] == [ConvReLU, MaxPool2d, MaxPool2d, Add]


def test_branches_are_rewritten():
    branch = Sequential(Conv2d(1, 1, 1), ReLU())
    fused = fuse(Parallel({"a": branch, "b": Sequential()}, merge=Concat()))
    assert type(fused) is Parallel
    assert _read(fused) == {"a": (Sequential, ("",)), "b": (Sequential, ("",)), "merge": (Concat, ("a", "b"))}
    assert _types(fused.nodes["a"].layer) == [ConvReLU]


class _Own(Sequential):
    pass


def test_containers_of_ones_own_stay():
    own = _Own(Conv2d(1, 1, 1), ReLU())
    assert fuse(own) is own


def test_a_fused_graph_computes_the_same(rng):
    """Conv2d, ReLU, and a residual connection around them, in integers so that no sum is rounded."""
    conv = Conv2d(3, 3, 3, padding=1, rng=0)
    conv.weight.value[...] = rng.integers(-1, 2, conv.weight.shape)
    nodes = {"c": (conv, "x"), "r": (ReLU(), "c"), "add": (Add(), ("r", "x"))}
    results = []
    for graph in Graph(nodes), fuse(Graph(nodes)):
        conv.weight.grad[...] = 0
        x, dy = np.random.default_rng(1).integers(-3, 4, (2, 2, 3, 5, 5)).astype(np.float32)
        ctx = Context()
        results.append([graph.forward(x, ctx), graph(x), graph.backward(dy, ctx), conv.weight.grad.copy()])
    for plain, fused in zip(*results, strict=True):
        np.testing.assert_array_equal(fused, plain)


def test_the_model_itself_stays_and_shares_its_parameters():
    model = models.simple_cnn(rng=0)
    before = repr(model)
    fused = fuse(model)
    assert repr(model) == before
    assert all(a is b for a, b in zip(model.parameters(), fused.parameters(), strict=True))


@pytest.mark.parametrize("make", [models.simple_cnn, models.lenet], ids=lambda make: make.__name__)
def test_same_outputs_and_gradients(make, rng):
    model = make(rng=0)
    for parameter in model.parameters():  # small integers, so that sums in another order are the same sums
        parameter.value[...] = rng.integers(-1, 2, parameter.shape)
    other = copy.deepcopy(model)
    x = rng.integers(0, 2, (5, 1, 28, 28)).astype(np.float32)
    dy = rng.integers(-1, 2, (5, 10)).astype(np.float32)
    ctx, other_ctx = Context(), Context()
    fused = fuse(other)
    np.testing.assert_array_equal(fused.forward(x, other_ctx), model.forward(x, ctx))
    np.testing.assert_array_equal(fused(x), model(x))
    np.testing.assert_array_equal(fused.backward(dy, other_ctx), model.backward(dy, ctx))
    for a, b in zip(other.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)
    assert other_ctx.nbytes < ctx.nbytes / 2


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ConvReLU(Conv2d(2, 3, 3, padding=1, rng=0, dtype=np.float64)), (2, 2, 5, 6)),
        (ConvReLU(Conv2d(2, 3, 3, padding=1, rng=0, dtype=np.float64), MaxPool2d(2)), (2, 2, 5, 6)),
        (ConvReLU(Conv2d(2, 4, 2, bias=False, rng=0, dtype=np.float64), MaxPool2d((1, 2))), (2, 2, 4, 5)),
        (DenseReLU(Dense(6, 4, rng=3, dtype=np.float64)), (3, 6)),  # no sum within 0.03 of the kink
    ],
    ids=repr,
)
def test_gradients(layer, shape, rng):
    check_layer(layer, away_from_kinks(rng, shape), rng)
    assert layer.output_shape(shape[1:]) == layer(np.zeros(shape)).shape[1:]


def test_without_anybody_who_wants_dx(rng):
    layer = ConvReLU(Conv2d(1, 2, 3, rng=0), MaxPool2d(2))
    ctx = Context(wants_dx=False)
    y = layer.forward(np.ones((1, 1, 6, 6), np.float32), ctx)
    assert layer.backward(y, ctx) is None


def test_multiply_adds_are_those_of_the_layers():
    model = models.lenet(rng=0)
    assert fuse(model).multiply_adds((1, 28, 28)) == model.multiply_adds((1, 28, 28))


def test_errors_name_the_layer():
    with pytest.raises(SettingError, match="ConvReLU pool: expected windows that lie side by side"):
        ConvReLU(Conv2d(1, 2, 3), MaxPool2d(3, 2))
    fused = fuse(Sequential(Conv2d(1, 2, 3), ReLU(), MaxPool2d(2)))
    with pytest.raises(ShapeError, match=r"Sequential\[0\] Conv2d: expected"):
        fused(np.zeros((1, 3, 8, 8), np.float32))
