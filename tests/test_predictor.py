"""The compiled plan: the numbers of the model, whatever the batch, the threads and what happens to the model later."""

import threading

import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits
from layouts import freeze
from plan_models import MODELS

import convnet
from convnet import (
    Add,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    DTypeError,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    Layer,
    MaxPool2d,
    Multiply,
    Parallel,
    Predictor,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    SettingError,
    ShapeError,
    SiLU,
    UnsupportedError,
)
from convnet.functional import Plan
from convnet.inference._places import assign
from convnet.inference._program import lower
from convnet.inference._simplify import simplify


def _integers(name, dtype, n, seed=0):
    """A model and a batch on which every order of summation gives the same."""
    rng = np.random.default_rng(seed)
    model, shape = MODELS[name](dtype)
    for parameter in model.parameters():
        parameter.value[...] = rng.integers(-2, 3, parameter.shape)
    kind = model.parameters()[0].dtype if model.parameters() else np.float32
    return model, shape, rng.integers(-2, 3, (n, *shape)).astype(kind)


@pytest.mark.parametrize("n", [1, 7, 130])
@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_of_the_model(name, n, dtype):
    model, shape, x = _integers(name, dtype, n)
    expected = model(x)
    freeze(x)
    y = Predictor(model, shape)(x)
    assert_equal(y, expected)
    assert y.dtype == expected.dtype
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits_for_any_threads_and_any_batch(name):
    model, shape = MODELS[name](np.float32)
    x = np.random.default_rng(1).standard_normal((40, *shape)).astype(np.float32)
    predictor = Predictor(model, shape)
    convnet.set_num_threads(1)
    expected = predictor(x)
    for threads in 2, 3:
        convnet.set_num_threads(threads)
        assert_same_bits(predictor(x), expected, f"{threads} threads")
    parts = [predictor(x[i:end]) for i, end in ((0, 1), (1, 3), (3, 40))]
    assert_same_bits(np.concatenate(parts), expected, "parts of the batch")


def test_batches_run_in_passes(rng):
    """Wide maps: one image takes more than a pass has room for."""
    model = Sequential(Conv2d(1, 32, 1, rng=0), ReLU(), Conv2d(32, 1, 1, rng=1))
    x = rng.integers(-3, 4, (3, 1, 400, 400)).astype(np.float32)
    for parameter in model.parameters():
        parameter.value[...] = np.round(4 * parameter.value)
    assert_equal(Predictor(model, (1, 400, 400))(x), model(x))


def test_an_empty_batch():
    model, shape = MODELS["lenet"](np.float32)
    assert Predictor(model, shape)(np.zeros((0, *shape), np.float32)).shape == (0, 10)


def test_any_strides(rng):
    model, shape, x = _integers("overlapping", np.float32, 6)
    expected = model(x)
    predictor = Predictor(model, shape)
    assert_equal(predictor(np.asfortranarray(x)), expected)
    assert_equal(predictor(np.repeat(x, 2, axis=3)[..., ::2]), expected)
    assert_equal(predictor(x[::-1]), expected[::-1])


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_stays_in_its_window(poison):
    model, shape, x = _integers("folded", np.float32, 2)
    x[1, 0, 4, 7] = poison
    with np.errstate(invalid="ignore"):
        assert_equal(Predictor(model, shape)(x), model(x))


@pytest.mark.parametrize("rectifier", [ReLU, ReLU6])
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_the_chosen_algorithm_runs(algorithm, rectifier, set_algorithm, rng):
    """With the same algorithm, the model's convolutions and the plan's give the same bits."""
    set_algorithm(algorithm)
    model = Sequential(Conv2d(5, 9, 3, padding=1, rng=0), rectifier(), MaxPool2d(2), Conv2d(9, 4, 3, bias=False, rng=1))
    x = 8 * rng.standard_normal((6, 5, 17, 12)).astype(np.float32)
    assert_same_bits(Predictor(model, (5, 17, 12))(x), model(x))


@pytest.mark.parametrize(("batch_size", "algorithm"), [(1, "direct"), (16, "winograd")])
def test_the_algorithm_is_chosen_for_the_batch_size(batch_size, algorithm, set_algorithm, rng):
    """Many small maps share the transformed weights, which one would spend its time to read."""
    model = Sequential(Conv2d(128, 128, 3, padding=1, rng=0))
    predictor = Predictor(model, (128, 4, 4), batch_size=batch_size)
    x = rng.standard_normal((3, 128, 4, 4)).astype(np.float32)
    set_algorithm(algorithm)
    assert_same_bits(predictor(x), model(x))


def test_later_training_does_not_show():
    model, shape, x = _integers("lenet", np.float32, 3)
    predictor = Predictor(model, shape)
    before = predictor(x)
    for parameter in model.parameters():
        parameter.value[...] = 1
    assert_same_bits(predictor(x), before)


def test_threads_may_share_one():
    model, shape, x = _integers("lenet", np.float32, 64)
    predictor, expected = Predictor(model, shape), model(x)
    results = [None] * 8

    def work(i):
        for _ in range(20):
            results[i] = predictor(x[i : i + 8])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, result in enumerate(results):
        assert_equal(result, expected[i : i + 8])


def test_neighbours_are_merged():
    predictor = Predictor(convnet.models.lenet(rng=0), (1, 28, 28))
    assert str(predictor).splitlines()[1:] == [
        "  conv2d relu pool=(2, 2)  (6, 12, 12)",
        "  conv2d relu pool=(2, 2)  (16, 4, 4)",
        "  dense relu               (120,)",
        "  dense relu               (84,)",
        "  dense                    (10,)",
    ]


def test_relu6_is_merged_too():
    model = Sequential(
        Conv2d(3, 4, 3), BatchNorm2d(4), ReLU6(), MaxPool2d(2), ReLU6(), Flatten(), Dense(36, 2), ReLU6()
    )
    assert str(Predictor(model, (3, 8, 8))).splitlines()[1:] == [
        "  conv2d relu6  (4, 6, 6)",
        "  max_pool2d    (4, 3, 3)",
        "  relu6         (4, 3, 3)",
        "  dense relu6   (2,)",
    ]


def _places(model, shape):
    program = lower(model, shape)
    simplify(program)
    places, total = assign(program)
    return [places[operation.output] for operation in program.operations], total


def test_functions_of_each_element_work_in_place():
    """One map is alive at a time, but where it is read again, or is the caller's."""
    conv, silu, output = Conv2d(4, 4, 1), SiLU(), Plan.OUTPUT
    assert _places(Sequential(conv, silu, PReLU(4), conv, silu), (4, 8, 8)) == (
        [0, 0, 0, output, output],
        256,
    )
    assert _places(Sequential(silu, silu, conv), (4, 8, 8)) == ([0, 0, output], 256)
    again = {"a": (conv, "x"), "b": (silu, "a"), "c": (conv, "b"), "d": (Add(), ("c", "a")), "e": (conv, "d")}
    assert _places(Graph(again), (4, 8, 8)) == ([0, 256, 512, 512, output], 768)
    gate = Parallel(Sequential(GlobalAvgPool2d(), silu), silu, merge=Multiply())
    assert _places(Sequential(conv, gate, conv), (4, 8, 8)) == ([0, 256, 256, 0, 0, output], 272)


NORMALIZED = {
    "conv": lambda: Sequential(Conv2d(3, 5, 3, bias=False), BatchNorm2d(5), ReLU(), MaxPool2d(2)),
    "bias": lambda: Sequential(Conv2d(3, 5, 3), BatchNorm2d(5, affine=False)),
    "first": lambda: Sequential(BatchNorm2d(3), ReLU(), Conv2d(3, 4, 3)),
    "transposed": lambda: Sequential(ConvTranspose2d(3, 20, 3, 2, bias=False), BatchNorm2d(20), ReLU()),
    "transposed in groups": lambda: Sequential(
        Conv2d(3, 6, 1), ReLU(), ConvTranspose2d(6, 4, 2, 2, groups=2), BatchNorm2d(4)
    ),
    "cut off": lambda: Sequential(BatchNorm2d(3), ReLU6(), Conv2d(3, 4, 3), BatchNorm2d(4), ReLU6()),
    "behind ReLU": lambda: Sequential(Conv2d(3, 4, 3), ReLU(), BatchNorm2d(4)),
    "residual": lambda: Graph(
        {
            "conv": (Conv2d(3, 3, 3, padding=1, bias=False), "x"),
            "norm": (BatchNorm2d(3), "conv"),
            "add": (Add(), ("norm", "x")),
            "relu": (ReLU(), "add"),
        }
    ),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_batch_normalisation_with_round_numbers_is_exact(name, rng):
    """Powers of two: scaling the weights or the result is the same."""
    model = NORMALIZED[name]()
    for parameter in model.parameters():
        parameter.value[...] = rng.integers(-2, 3, parameter.shape)
    for layer in (child for _, child in model.named_children()):
        if isinstance(layer, BatchNorm2d):
            layer.running_mean[...] = rng.integers(-3, 4, layer.running_mean.shape)
            layer.running_var[...] = 4.0 ** rng.integers(-1, 2, layer.running_var.shape)
            layer.eps = 0.0
    x = rng.integers(-3, 4, (3, 3, 8, 8)).astype(np.float32)
    assert_equal(Predictor(model, (3, 8, 8))(x), model(x))


def test_a_residual_network(rng):
    """Rounding: the deepest path has 18 weight layers; each adds a few ulp of the largest activation."""
    model = convnet.models.resnet18(classes=10, width=16, rng=0)
    x = rng.standard_normal((3, 3, 64, 64)).astype(np.float32)
    for _ in range(3):
        model.forward(x, convnet.Context())  # running averages that are those of the activations
    expected = model(x)
    y = Predictor(model, (3, 64, 64))(x)
    assert np.abs(y - expected).max() <= 18 * 8 * np.finfo(np.float32).eps * np.abs(expected).max()


class Own(Layer):
    def forward(self, x, ctx=None):
        return x

    def backward(self, dy, ctx):
        return dy

    def output_shape(self, input_shape):
        return input_shape


class OwnReLU(ReLU):
    pass


@pytest.mark.parametrize("layer", [Own, OwnReLU])
def test_layers_of_others(layer):
    with pytest.raises(
        UnsupportedError, match=rf"^Sequential\[1\] Predictor: expected layers among .*, got {layer.__name__}$"
    ):
        Predictor(Sequential(ReLU(), layer()), (3,))


def test_what_does_not_fit():
    model = Sequential(Conv2d(3, 4, 3), ReLU())
    predictor = Predictor(model, (3, 8, 8))
    with pytest.raises(ShapeError, match=r"^Predictor: expected x of shape \(n, 3, 8, 8\), got \(2, 3, 8, 9\)$"):
        predictor(np.zeros((2, 3, 8, 9), np.float32))
    with pytest.raises(ShapeError, match=r"^Predictor: expected x of shape \(n, 3, 8, 8\), got \(3, 8, 8\)$"):
        predictor(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(DTypeError, match=r"^Predictor: expected x of dtype float32, got float64$"):
        predictor(np.zeros((2, 3, 8, 8)))
    with pytest.raises(DTypeError, match=r"^Predictor: expected x of dtype float32 or float64, got uint8; scale"):
        predictor(np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ShapeError, match=r"^Sequential\[0\] Conv2d: expected"):
        Predictor(model, (1, 8, 8))
    with pytest.raises(SettingError, match=r"^Predictor input_shape: expected"):
        Predictor(model, (3, 0, 8))
    with pytest.raises(SettingError, match=r"^Predictor batch_size: expected an integer of at least 1, got 0$"):
        Predictor(model, (3, 8, 8), batch_size=0)
