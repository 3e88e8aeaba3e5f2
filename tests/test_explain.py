"""Explanations: by hand where the answer is known, by differences, and what is refused; models stay as they are."""

import copy

import numpy as np
import pytest
from gradcheck import away_from_kinks, directional_derivative, tolerance, unit

from convnet import (
    AuxiliaryHead,
    BatchNorm2d,
    Context,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    Layer,
    MaxPool2d,
    Parallel,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    fuse,
    models,
)
from convnet.errors import DataError, DTypeError, SettingError, ShapeError, UnsupportedError
from convnet.explain import grad_cam, occlusion, saliency
from convnet.inference.frozen import frozen
from convnet.inference.probe import last_map, probed

F64 = {"dtype": np.float64}


class Block(Layer):
    """A layer of one's own with layers as attributes."""

    def __init__(self, *layers):
        self.first, self.second = layers

    def forward(self, x, ctx=None):
        if ctx is None:
            return self.second(self.first(x))
        return self.second.forward(self.first.forward(x, ctx.child("first")), ctx.child("second"))

    def backward(self, dy, ctx):
        return self.first.backward(self.second.backward(dy, ctx.child("second")), ctx.child("first"))

    def output_shape(self, input_shape):
        return self.second.output_shape(self.first.output_shape(input_shape))


def _norm(channels, rng, **settings):
    """A batch normalisation that has seen something."""
    norm = BatchNorm2d(channels, **settings, **F64)
    norm.running_mean[:] = rng.standard_normal(channels)
    norm.running_var[:] = rng.uniform(0.5, 2, channels)
    if norm.weight is not None:
        norm.weight.value[:] = rng.uniform(0.5, 2, channels)
        norm.bias.value[:] = rng.standard_normal(channels)
    return norm


def _network(rng):
    """Everything that trains in another way than it infers, in every place where it may be."""
    residual = Parallel(
        Sequential(Conv2d(4, 4, 3, padding=1, rng=1, **F64), _norm(4, rng)),
        Block(_norm(4, rng, affine=False), Dropout(0.3, rng=2)),
    )
    return Sequential(
        Conv2d(2, 4, 3, padding=1, rng=0, **F64),
        _norm(4, rng),
        ReLU(),
        MaxPool2d(2),
        AuxiliaryHead(Sequential(Flatten(), Dense(36, 3, rng=0, **F64))),
        residual,
        ReLU(),
        Dropout(0.5, rng=3),
        Sequential(_norm(4, rng), ReLU(), Flatten(), Dense(36, 3, rng=4, **F64)),
    )


@pytest.mark.parametrize("wrapped", [Identity, fuse], ids=["plain", "fused"])
def test_the_gradient_is_that_of_inference(wrapped):
    rng = np.random.default_rng(0)
    model = _network(rng)
    fast = model if wrapped is Identity else fuse(model)
    x, dy, ctx = away_from_kinks(rng, (3, 2, 6, 6)), rng.standard_normal((3, 3)), Context()
    twin = frozen(fast)
    y = twin.forward(x, ctx)
    np.testing.assert_array_equal(y, fast(x))
    direction = unit(rng, x.shape)
    numeric = directional_derivative(lambda x: float(np.sum(model(x) * dy)), [x], [direction])
    analytic = float(np.sum(twin.backward(dy, ctx) * direction))
    assert abs(analytic - numeric) <= tolerance(np.sum(np.abs(y * dy)) + 1)


def test_the_model_stays_as_it_is():
    model = _network(np.random.default_rng(1))
    x, before = np.random.default_rng(2).random((2, 2, 6, 6)), copy.deepcopy(model)
    x.flags.writeable = False
    grad_cam(model, x), saliency(model, x, samples=2), occlusion(model, x, 3)
    assert repr(model) == repr(before)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before.state_dict()[name])
    assert all(parameter._grad is None for parameter in model.parameters())
    np.testing.assert_array_equal(model.forward(x, Context()), before.forward(x, Context()))  # the same dropout


def test_frozen_weights_are_shared_as_before():
    conv = Conv2d(2, 2, 1, rng=0)
    model = Sequential(conv, ReLU(), conv)
    twin = frozen(model)
    assert twin[0] is twin[2]
    assert len(twin.parameters()) == 2
    assert twin[0].weight.value is conv.weight.value
    assert twin[0].weight is not conv.weight


class _OwnNorm(BatchNorm2d):
    pass


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Sequential(Sequential(_OwnNorm(2))), "frozen: expected _OwnNorm in a container .* type, got 0.0"),
        (_OwnNorm(2), "expected _OwnNorm .* got itself"),
    ],
)
def test_what_cannot_be_frozen_is_refused(model, text):
    with pytest.raises(UnsupportedError, match=text):
        frozen(model)


def test_layers_in_a_list_cannot_be_frozen():
    class Listed(Block):
        def __init__(self, *layers):
            self.layers = layers

        def named_children(self):
            yield from zip("ab", self.layers, strict=True)

    with pytest.raises(UnsupportedError, match=r"expected Dropout in a container or an attribute .* got 0.b"):
        frozen(Sequential(Listed(ReLU(), Dropout(0.5))))


# ---- grad_cam --------------------------------------------------------------------------------------------------------


def _corner():
    """Class 1 is the sum of the 2x2 pixels in the upper left, class 0 their negative."""
    w = np.zeros((2, 6, 6))
    w[1, :2, :2], w[0, :2, :2] = 1, -1
    dense = Dense(36, 2, bias=False, **F64)
    dense.weight.value[:] = w.reshape(2, 36)
    return Sequential(Conv2d(1, 1, 1, bias=False, **F64), Flatten(), dense)


def _with_weight(model, value):
    model[0].weight.value[...] = value
    return model


CORNER = np.zeros((6, 6))
CORNER[:2, :2] = 1


def test_grad_cam_by_hand():
    """Maps x and -2x; class 0 wants the first with mean gradient 1/2, the second with -1/4."""
    conv, dense = Conv2d(1, 2, 1, bias=False, **F64), Dense(2, 2, bias=False, **F64)
    conv.weight.value[:] = np.array([1.0, -2]).reshape(2, 1, 1, 1)
    dense.weight.value[:] = [[2, -1], [-3, 1]]
    model = Sequential(conv, GlobalAvgPool2d(), Flatten(), dense)
    x = np.array([[1.0, -2], [0, 3]]).reshape(1, 1, 2, 2)
    np.testing.assert_allclose(grad_cam(model, x, 0)[0], np.maximum(2 * x[0, 0] / 4 + 2 * x[0, 0] / 4, 0), rtol=1e-15)
    np.testing.assert_allclose(grad_cam(model, x, 1)[0], np.maximum(-5 * x[0, 0] / 4, 0), rtol=1e-15)
    np.testing.assert_array_equal(grad_cam(model, x), grad_cam(model, x, model(x).argmax()))
    np.testing.assert_array_equal(grad_cam(model, x, layer="0"), grad_cam(model, x))


def test_grad_cam_is_interpolated_to_the_size_of_the_image():
    model = Sequential(MaxPool2d(2), Flatten(), Dense(4, 2, bias=False, **F64))
    model[2].weight.value[:] = 1
    x = np.repeat(np.repeat(np.array([[0.0, 4], [0, 4]]), 2, axis=0), 2, axis=1)[None, None]
    np.testing.assert_allclose(grad_cam(model, x, 0)[0], [[0, 1, 3, 4]] * 4)


def test_grad_cam_by_differences():
    """The gradient with respect to the bias of a normalisation is the sum of that over the map."""
    model = _network(np.random.default_rng(3))
    norm, x, k = model[1], np.random.default_rng(4).random((1, 2, 6, 6)), np.eye(4)
    bias = norm.bias.value.copy()

    def output(shifted):
        norm.bias.value[:] = shifted
        return model(x)[0, 1]

    weights = np.array([directional_derivative(output, [bias], [k[i]]) for i in range(4)]) / 36
    norm.bias.value[:] = bias
    maps = model[:2](x)
    expected = np.maximum(np.sum(weights.reshape(-1, 1, 1) * maps[0], axis=0), 0)
    assert expected.any()
    np.testing.assert_allclose(grad_cam(model, x, 1, "1")[0], expected, atol=tolerance(np.abs(maps).sum()))


@pytest.mark.parametrize("layer", ["layer3", "layer3.2.conv1", "relu"])
def test_grad_cam_at_any_layer(layer):
    model, x = models.resnet20(rng=0), np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    maps = grad_cam(model, x, [3, 4], layer)
    assert (maps.shape, maps.dtype, maps.min() >= 0) == ((2, 32, 32), np.float32, True)
    np.testing.assert_allclose(grad_cam(model, x, [3, 4], layer, batch_size=1), maps, rtol=1e-4, atol=1e-6)


def test_the_default_layer_is_the_last_map():
    assert last_map(models.resnet20(), (3, 32, 32), "") == "layer3.2.relu"
    assert last_map(Sequential(MaxPool2d(2), MaxPool2d(2), Flatten()), (1, 4, 4), "") == "0"  # one pixel is no map


def test_a_probe_sees_the_gradient_of_all_readers():
    """A residual block: the layer before it gets both gradients."""
    dense = Dense(4, 2, bias=False, **F64)
    dense.weight.value[:] = [[1, 2, 3, 4], [0, 0, 0, 0]]
    model = Sequential(ReLU(), Parallel(Identity(), Identity()), Flatten(), dense)
    twin, probe = probed(model, "0", "")
    ctx = Context()
    twin.forward(np.ones((1, 1, 2, 2)), ctx)
    twin.backward(np.array([[1.0, 0]]), ctx)
    assert probe.gradient.ravel().tolist() == [2, 4, 6, 8]


# ---- saliency --------------------------------------------------------------------------------------------------------


def test_saliency_of_a_network_that_looks_at_a_corner():
    model, x = _with_weight(_corner(), 3), np.random.default_rng(0).random((2, 1, 6, 6))
    np.testing.assert_array_equal(saliency(model, x), 3 * np.stack([CORNER, CORNER]))
    np.testing.assert_allclose(saliency(model, x, 0, samples=3), 3 * np.stack([CORNER, CORNER]), rtol=1e-15)


def test_saliency_takes_the_largest_channel():
    dense = Dense(3, 1, bias=False, **F64)
    dense.weight.value[:] = [[1, -5, 2]]
    assert saliency(Sequential(Flatten(), dense), np.ones((1, 3, 1, 1))).tolist() == [[[5]]]


def test_smoothing_averages_the_gradient_over_noisy_copies():
    """relu(x) on zero: half the copies have slope 1; on a constant image there is no range, hence no noise."""
    model = Sequential(ReLU(), Flatten(), Dense(2, 1, bias=False, **F64))
    model[2].weight.value[:] = 1
    smooth = saliency(model, np.array([[[[0.0, 10]]]]), samples=400, noise=0.1)[0, 0]
    assert abs(smooth[0] - 0.5) < 4 * 0.5 / np.sqrt(400)
    assert smooth[1] == 1
    assert saliency(model, np.ones((1, 1, 1, 2)), samples=2, noise=9).tolist() == [[[1, 1]]]


def test_the_noise_does_not_depend_on_the_batch():
    model, x = models.lenet(rng=0), np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    maps = saliency(model, x, 2, samples=2, rng=5)
    np.testing.assert_allclose(saliency(model, x, 2, samples=2, rng=5, batch_size=2), maps, rtol=1e-4, atol=1e-6)
    assert np.abs(saliency(model, x, 2, samples=2, rng=6) - maps).max() > 1e-3


# ---- occlusion -------------------------------------------------------------------------------------------------------


def test_occlusion_of_a_network_that_looks_at_a_corner():
    """Windows of 3x3 from 0 and 3: only the first sees the corner, and covering it halves the odds of 1:e**8."""
    model, x = _with_weight(_corner(), 1), np.ones((1, 1, 6, 6))
    expected = np.zeros((6, 6))
    expected[:3, :3] = 1 / (1 + np.exp(-8)) - 0.5
    np.testing.assert_allclose(occlusion(model, x, 3, 3)[0], expected, atol=1e-15)
    np.testing.assert_allclose(occlusion(model, x, 3, 3, 0)[0], -expected, atol=1e-15)
    assert not occlusion(model, x, 3, 3, fill=1).any()


def test_overlapping_windows_are_averaged_and_reach_over_the_edge():
    """One row of 5 pixels of which the first counts: windows from 0, 2, 4 (over the edge) of 3."""
    dense = Dense(5, 1, bias=False, **F64)
    dense.weight.value[:] = [[2, 0, 0, 0, 0]]
    model, p = Sequential(Flatten(), dense, Sigmoid()), 1 / (1 + np.exp(-2)) - 0.5
    drop = occlusion(model, np.ones((1, 1, 1, 5)), (1, 3), (1, 2))[0, 0]
    np.testing.assert_allclose(drop, [p, p, p / 2, 0, 0], atol=1e-15)
    np.testing.assert_array_equal(
        occlusion(Sequential(Flatten(), dense), np.ones((1, 1, 1, 5)), (1, 3), (1, 2))[0, 0], drop
    )


def test_occlusion_knows_probabilities():
    model, x = _with_weight(_corner(), 0.1), np.random.default_rng(0).random((3, 1, 6, 6))
    ends = Sequential(*model, Softmax())
    np.testing.assert_allclose(occlusion(Sequential(ends), x, 2), occlusion(model, x, 2), atol=1e-15)
    np.testing.assert_allclose(occlusion(model, x, 2, batch_size=3), occlusion(model, x, 2), atol=1e-15)


def test_a_colour_may_cover():
    dense = Dense(3, 2, bias=False, **F64)
    dense.weight.value[:] = [[1, 10, 100], [0, 0, 0]]
    model = Sequential(Flatten(), dense)
    assert occlusion(
        model, np.full((1, 3, 1, 1), 0.01), 1, fill=[1.0, 0, 0.0011], class_index=1
    ).item() == pytest.approx(1 / (1 + np.exp(1.11)) - 1 / (1 + np.exp(1.11)))


# ---- what all share --------------------------------------------------------------------------------------------------

EXPLAIN = [grad_cam, saliency, lambda model, x, *more, **settings: occlusion(model, x, 2, None, *more, **settings)]
every = pytest.mark.parametrize("explain", EXPLAIN, ids=["grad_cam", "saliency", "occlusion"])


@every
def test_bytes_are_scaled(explain):
    model, x = models.lenet(rng=0), np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), np.uint8)
    np.testing.assert_array_equal(explain(model, x), explain(model, x.astype(np.float32) / 255))


@every
def test_no_images(explain):
    assert explain(models.lenet(rng=0), np.zeros((0, 1, 28, 28), np.float32)).shape == (0, 28, 28)


@every
@pytest.mark.parametrize(
    ("x", "classes", "error", "text"),
    [
        (np.zeros((1, 28, 28), np.float32), None, ShapeError, "expected x that fits the model, got shape"),
        (np.zeros((1, 1, 28, 28)), None, DTypeError, "expected x of dtype uint8, .* float32, got float64"),
        (np.zeros((2, 1, 28, 28), np.uint8), 10, DataError, "class_index: expected classes in 0..9, got 10"),
        (np.zeros((2, 1, 28, 28), np.uint8), [0, -1], DataError, r"expected classes in 0..9, got \[0, -1\]"),
        (
            np.zeros((2, 1, 28, 28), np.uint8),
            [0, 1, 2],
            ShapeError,
            r"expected one or 2, one an image, got shape \(3,\)",
        ),
        (np.zeros((2, 1, 28, 28), np.uint8), 1.0, DTypeError, "class_index: expected integers, got 1.0"),
    ],
)
def test_bad_images_and_classes(explain, x, classes, error, text):
    with pytest.raises(error, match=text):
        explain(models.lenet(rng=0), x, classes)


@every
def test_models_that_do_not_classify(explain):
    with pytest.raises(
        ShapeError, match=r"expected one that gives \(n, classes\), got outputs of shape \(n, 2, 4, 4\)"
    ):
        explain(Sequential(Conv2d(1, 2, 3, rng=0)), np.zeros((1, 1, 6, 6), np.float32))
    with pytest.raises(ShapeError, match=r"expected x of shape \(n, c, h, w\), got \(1, 4\)"):
        explain(Dense(4, 2, rng=0), np.zeros((1, 4), np.float32))


def test_a_layer_that_gives_no_gradient():
    class First(Identity):
        def backward(self, dy, ctx):
            return None

    model, x = Sequential(First(), *models.lenet(rng=0)), np.zeros((1, 1, 28, 28), np.uint8)
    assert grad_cam(model, x).shape == (1, 28, 28)
    with pytest.raises(UnsupportedError, match=r"saliency model: expected layers that give the gradient .* got None"):
        saliency(model, x)


X = np.zeros((1, 1, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda m: grad_cam(m, X, layer="99"),
            SettingError,
            r"grad_cam layer: expected the name .* prints it, got '99'",
        ),
        (lambda m: grad_cam(m, X, layer=3), SettingError, "got 3"),
        (lambda m: grad_cam(m, X, layer="7"), ShapeError, r"a layer that gives \(n, c, h, w\), got '7': \(1, 120\)"),
        (lambda m: grad_cam(m, X, batch_size=0), SettingError, "grad_cam batch_size: expected an integer"),
        (
            lambda m: grad_cam(Sequential(*m[6:7]), X.reshape(-1, 16, 7, 7)),
            SettingError,
            "grad_cam model: expected a container with a layer",
        ),
        (lambda m: saliency(m, X, samples=-1), SettingError, "saliency samples: expected an integer of at least 0"),
        (lambda m: saliency(m, X, samples=1, noise=-1), SettingError, "saliency noise: expected a finite number"),
        (lambda m: occlusion(m, X, 29), SettingError, r"occlusion size: expected at most .* \(28, 28\), got 29"),
        (lambda m: occlusion(m, X, 0), SettingError, "occlusion size: expected an integer of at least 1"),
        (lambda m: occlusion(m, X, 4, 5), SettingError, r"stride: expected at most the window's size \(4, 4\), got 5"),
        (
            lambda m: occlusion(m, X, 4, fill=[0, 1]),
            ShapeError,
            "occlusion fill: expected a number or 1, one a channel",
        ),
    ],
)
def test_bad_settings(call, error, text):
    with pytest.raises(error, match=text):
        call(models.lenet(rng=0))
