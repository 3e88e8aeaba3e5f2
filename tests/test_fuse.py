"""Fused models compute what the models they stand for compute."""

import copy

import numpy as np
import pytest
from gradcheck import away_from_kinks, check_layer

from convnet import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Context,
    Conv2d,
    Dense,
    Flatten,
    Graph,
    MaxPool2d,
    Parallel,
    ReLU,
    ReLU6,
    Sequential,
    SettingError,
    ShapeError,
    fuse,
    models,
)
from convnet.layers.fused import AddReLU, BatchNormAddReLU, BatchNormReLU, ConvReLU, DenseReLU


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
        ([Conv2d(1, 2, 3), BatchNorm2d(2), ReLU()], [Conv2d, BatchNormReLU]),
        ([Conv2d(1, 2, 3), BatchNorm2d(2), ReLU(), MaxPool2d(2)], [Conv2d, BatchNormReLU]),
        ([BatchNorm2d(2), ReLU(), MaxPool2d(3, 2)], [BatchNormReLU, MaxPool2d]),
        ([BatchNorm2d(2), ReLU6(), MaxPool2d(2)], [BatchNormReLU, MaxPool2d]),
        ([Conv2d(1, 2, 3), ReLU6(), ReLU6()], [Conv2d, ReLU6, ReLU6]),
        ([BatchNorm2d(2), MaxPool2d(2), ReLU()], [BatchNorm2d, MaxPool2d, ReLU]),
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


def residual(dtype=np.float64):
    """The end of a residual block whose both sides end in a batch normalisation."""
    sides = [BatchNorm2d(3, dtype=dtype) for _ in range(2)]
    for seed, side in enumerate(sides):
        side.weight.value[...] = np.random.default_rng(seed).random(3) + 0.5
    return Graph(
        {
            "c": (Conv2d(3, 3, 3, padding=1, rng=0, dtype=dtype), "x"),
            "b": (sides[0], "c"),
            "d": (sides[1], "x"),
            "a": (Add(), ("b", "d")),
            "r": (ReLU(), "a"),
        }
    )


def test_the_end_of_a_residual_block_becomes_one_layer():
    expected = {"c": (Conv2d, ("x",)), "d": (BatchNorm2d, ("x",)), "b": (BatchNormAddReLU, ("c", "d"))}
    assert _read(fuse(residual())) == expected
    three = Graph({"b": (BatchNorm2d(3), "x"), "a": (Add(), ("b", "x", "x")), "r": (ReLU(), "a")})
    assert _read(fuse(three)) == {"b": (BatchNorm2d, ("x",)), "a": (AddReLU, ("b", "x", "x"))}


def test_a_sum_takes_in_the_relu_that_follows_its_container():
    sides = {"a": Sequential(Conv2d(1, 1, 1), ReLU()), "b": Sequential()}
    (fused,) = fuse(Sequential(Parallel(sides), ReLU()))
    assert _read(fused) == {"a": (Sequential, ("",)), "b": (Sequential, ("",)), "merge": (AddReLU, ("a", "b"))}
    assert _types(fused.nodes["a"].layer) == [ConvReLU]
    (fused,) = fuse(fuse(Sequential(Parallel(BatchNorm2d(1), Sequential()), ReLU())))
    assert _read(fused) == {"1": (Sequential, ("",)), "0": (BatchNormAddReLU, ("", "1"))}
    assert _types(fuse(Sequential(Parallel(sides, merge=Concat()), ReLU()))) == [Parallel, ReLU]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_rectified_sum(count, dtype, rng):
    xs = list(rng.integers(-4, 5, (count, 2, 3, 4, 5)).astype(dtype))
    layer, ctx = AddReLU(), Context()
    y = layer.forward(xs, ctx)
    np.testing.assert_array_equal(y, np.maximum(sum(xs), 0), strict=True)
    np.testing.assert_array_equal(layer(xs), y)
    dy = rng.standard_normal(y.shape).astype(dtype)
    for gradient in layer.backward(dy, ctx):
        np.testing.assert_array_equal(gradient, np.where(y > 0, dy, 0))
    assert len(layer.backward(dy, ctx)) == count
    ctx.wants_dx = False
    assert layer.backward(dy, ctx) == (None,) * count
    assert layer.output_shape([(3, 4, 5)] * count) == (3, 4, 5)
    with pytest.raises(ShapeError, match="Add: expected arrays of one shape, got"):
        layer([*xs, xs[0][:1]])


def test_the_end_of_a_residual_block_computes_the_same(dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3, 6, 5)).astype(dtype)
    results = []
    for make in (lambda graph: graph, fuse):
        graph, ctx = residual(dtype), Context()
        model = make(graph)
        results.append(
            [model.forward(x, ctx), model(x), model.backward(dy, ctx), *(p.grad for p in graph.parameters())]
        )
        results[-1] += [value for _, value in graph.named_buffers()]
    # two roundings fewer in y; then sums of 120 numbers of size 1, and a convolution of 27 products, twice
    for plain, fused in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=0, atol=27 * 120**0.5 * np.finfo(dtype).eps * abs(plain).max())


def test_gradients_of_the_end_of_a_residual_block(rng):
    graph, x = residual(), rng.standard_normal((2, 3, 4, 5))
    before_relu = Graph({name: node for name, node in graph.nodes.items() if name != "r"}).forward(x, Context())
    assert np.abs(before_relu).min() > 0.005, "a kink is too near: choose another seed"
    check_layer(fuse(graph), x, rng)


def test_the_sum_of_a_fused_block_names_the_layer():
    layer = BatchNormAddReLU(BatchNorm2d(2))
    assert layer.output_shape([(2, 3, 3)] * 2) == (2, 3, 3)
    with pytest.raises(ShapeError, match=r"Add: expected arrays of one shape, got \(1, 2, 3, 3\), \(1, 2, 1, 1\)"):
        layer([np.zeros((1, 2, 3, 3), np.float32), np.zeros((1, 2, 1, 1), np.float32)])
    with pytest.raises(ShapeError, match=r"Add: expected arrays of one shape, got \(2, 3, 3\), \(2, 1, 1\)"):
        layer.output_shape([(2, 3, 3), (2, 1, 1)])


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


def _small_normal_model(*last):
    return Sequential(Conv2d(2, 5, 3, rng=0), BatchNorm2d(5), ReLU(), BatchNorm2d(5), ReLU(), *last)


@pytest.mark.parametrize(("last", "size"), [([], 5), ([MaxPool2d(2)], 2), ([MaxPool2d((1, 5))], (5, 1))], ids=repr)
def test_batch_norm_keeps_its_running_averages_in_the_model_itself(last, size, rng):
    model, other = _small_normal_model(*last), _small_normal_model(*last)
    fused = fuse(other)
    assert _types(fused) == [Conv2d, BatchNormReLU, BatchNormReLU]
    for _ in range(3):
        x = rng.standard_normal((4, 2, 7, 7)).astype(np.float32)
        dy = rng.standard_normal((4, 5, *np.broadcast_to(size, 2))).astype(np.float32)
        ctx, other_ctx = Context(), Context()
        np.testing.assert_array_equal(fused.forward(x, other_ctx), model.forward(x, ctx))
        np.testing.assert_array_equal(fused.backward(dy, other_ctx), model.backward(dy, ctx))
    for (name, a), (_, b) in zip(model.named_buffers(), other.named_buffers(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)
    np.testing.assert_array_equal(fused(x), model(x))
    assert all(a is b for (_, a), (_, b) in zip(fused.named_buffers(), other.named_buffers(), strict=True))
    assert other_ctx.nbytes < ctx.nbytes


def test_relu6_behind_batch_norm(rng):
    models_of_both = [Sequential(BatchNorm2d(5), ReLU6()) for _ in range(2)]
    x, dy = rng.standard_normal((2, 4, 5, 7, 7)).astype(np.float32)
    results = []
    for model, used in zip(models_of_both, (models_of_both[0], fuse(models_of_both[1])), strict=True):
        ctx = Context()
        model[0].weight.value[...] = 8
        results.append([used.forward(x, ctx), used.backward(dy, ctx), used(x), model[0].weight.grad.copy()])
    assert results[0][0].max() == 6
    for plain, fused in zip(*results, strict=True):
        np.testing.assert_array_equal(fused, plain)
    assert repr(used) == "Sequential(\n  (0): BatchNormReLU(ceiling=6\n    (norm): BatchNorm2d(5)\n  )\n)"


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
    with pytest.raises(SettingError, match="BatchNormReLU pool: expected windows that lie side by side"):
        BatchNormReLU(BatchNorm2d(2), MaxPool2d(3, 2))
    with pytest.raises(SettingError, match=r"^BatchNormReLU ceiling: expected None with a pool, got 6$"):
        BatchNormReLU(BatchNorm2d(2), MaxPool2d(2), ceiling=6)
    with pytest.raises(SettingError, match=r"^BatchNormReLU ceiling: expected a finite number of at least 0, got -1$"):
        BatchNormReLU(BatchNorm2d(2), ceiling=-1)
    fused = fuse(Sequential(Conv2d(1, 2, 3), ReLU(), MaxPool2d(2)))
    with pytest.raises(ShapeError, match=r"Sequential\[0\] Conv2d: expected"):
        fused(np.zeros((1, 3, 8, 8), np.float32))
