import threading

import numpy as np
import pytest
from gradcheck import check_layer

from convnet.errors import DTypeError, ShapeError
from convnet.layers import Context, Conv2d, Dense, Flatten, Layer, MaxPool2d, ReLU, Sequential


def network(dtype=np.float32):
    return Sequential(
        Conv2d(1, 3, 3, rng=0, dtype=dtype), ReLU(), MaxPool2d(2), Flatten(), Dense(12, 4, rng=1, dtype=dtype)
    )


def test_the_gradient_of_a_whole_network(rng):
    model, x = network(np.float64), rng.standard_normal((2, 1, 6, 6))
    before_relu = model[0](x)
    assert np.abs(before_relu).min() > 0.003, "a kink is too near: choose another seed"
    check_layer(model, x, rng)


def test_children_are_named_by_position():
    model = network()
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3", "4"]
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "4.weight", "4.bias"]


def test_children_can_have_names_of_their_own():
    model = Sequential({"features": Sequential(Conv2d(1, 2, 3), ReLU()), "head": Flatten()})
    assert [name for name, _ in model.named_parameters()] == ["features.0.weight", "features.0.bias"]
    ctx = Context()
    model.forward(np.zeros((1, 1, 3, 3), np.float32), ctx)
    assert ctx.child("features").child("0").x.shape == (1, 1, 3, 3)


def test_length_iteration_index_and_slice():
    model = network()
    assert len(model) == 5
    assert [type(layer) for layer in model] == [Conv2d, ReLU, MaxPool2d, Flatten, Dense]
    assert isinstance(model[-1], Dense)
    head = model[3:]
    assert isinstance(head, Sequential)
    assert head[1].weight is model[4].weight


def test_a_layer_used_twice_is_one_layer(rng):
    shared = Dense(3, 3, rng=0, dtype=np.float64)
    model = Sequential(shared, ReLU(), shared)
    assert len(model.parameters()) == 2
    assert len(list(model.named_parameters())) == 4
    check_layer(Sequential(shared, shared), rng.standard_normal((2, 3)), rng)


def test_only_layers_up_to_the_first_with_parameters_are_told_that_nobody_wants_dx():
    model = Sequential(MaxPool2d(2), Conv2d(1, 2, 3), Flatten(), Dense(8, 1))
    ctx = Context(wants_dx=False)
    y = model.forward(np.ones((1, 1, 8, 8), np.float32), ctx)
    assert [ctx.child(str(i)).wants_dx for i in range(4)] == [False, False, True, True]
    assert model.backward(np.ones_like(y), ctx) is None
    assert model[1].weight.grad.any()
    ctx.wants_dx = True
    model.forward(np.ones((1, 1, 8, 8), np.float32), ctx)
    assert model.backward(np.ones_like(y), ctx).shape == (1, 1, 8, 8)


class Untouchable(ReLU):
    """A layer that must not be asked for a gradient nobody wants."""

    def backward(self, dy, ctx):
        raise AssertionError(f"backward({dy}) was called")


def test_layers_before_the_first_parameters_are_skipped_on_the_way_back():
    model, ctx = Sequential(Untouchable(), Dense(3, 2)), Context(wants_dx=False)
    y = model.forward(np.ones((1, 3), np.float32), ctx)
    assert model.backward(y, ctx) is None


def test_repr_is_a_tree():
    assert repr(Sequential(Sequential(ReLU()), Flatten())).splitlines() == [
        "Sequential(",
        "  (0): Sequential(",
        "    (0): ReLU()",
        "  )",
        "  (1): Flatten()",
        ")",
    ]


def test_multiply_adds_add_up():
    assert network().multiply_adds((1, 6, 6)) == 16 * 27 + 48


def test_errors_name_the_place():
    model = network()
    with pytest.raises(ShapeError, match=r"Sequential\[0\] Conv2d: expected x of shape \(n, 1, h, w\), got \(1, 3"):
        model(np.zeros((1, 3, 6, 6), np.float32))
    with pytest.raises(ShapeError, match=r"Sequential\[4\] Dense: expected x of shape \(n, 12\), got \(1, 27\)"):
        model(np.zeros((1, 1, 8, 8), np.float32))
    with pytest.raises(DTypeError, match=r"Sequential\[0\] Sequential\[0\] Conv2d: expected x of dtype float32, got"):
        Sequential(model)(np.zeros((1, 1, 6, 6)))
    with pytest.raises(ShapeError, match=r"Sequential\[4\] Dense: expected an input of shape \(12,\), got \(27,\)"):
        model.output_shape((1, 8, 8))
    with pytest.raises(TypeError, match=r"Sequential\[1\]: expected a Layer, got 'relu'"):
        Sequential(ReLU(), "relu")


def test_a_model_made_for_a_shape_is_checked_at_once():
    assert Sequential(Flatten(), Dense(4, 2), input_shape=(1, 2, 2)).input_shape == (1, 2, 2)
    with pytest.raises(ShapeError, match=r"Sequential\[1\] Dense: expected an input of shape \(4,\), got \(9,\)"):
        Sequential(Flatten(), Dense(4, 2), input_shape=(1, 3, 3))


def test_threads_may_share_a_model(rng):
    model, x = network(), rng.standard_normal((8, 16, 1, 6, 6)).astype(np.float32)
    expected, actual = [model(batch) for batch in x], [None] * len(x)

    def work(i):
        for _ in range(20):
            actual[i] = model(x[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(x))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(actual, expected)


class Residual(Layer):
    """A layer of somebody's own: x + f(x)."""

    def __init__(self, inner):
        self.inner = inner

    def forward(self, x, ctx=None):
        return x + self.inner.forward(x, None if ctx is None else ctx.child("inner"))

    def backward(self, dy, ctx):
        return dy + self.inner.backward(dy, ctx.child("inner"))

    def output_shape(self, input_shape):
        return self.inner.output_shape(input_shape)


def test_a_layer_of_ones_own_finds_its_children(rng):
    layer = Residual(Dense(3, 3, rng=0, dtype=np.float64))
    assert list(layer.state_dict()) == ["inner.weight", "inner.bias"]
    assert repr(layer) == "Residual(\n  (inner): Dense(3, 3)\n)"
    check_layer(Sequential(layer, layer), rng.standard_normal((2, 3)), rng)
