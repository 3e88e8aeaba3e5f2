"""Auxiliary heads: beside the trunk, in training only."""

import numpy as np
import pytest
from bounds import assert_equal
from gradcheck import directional_derivative, tolerance, unit

from convnet import (
    AuxiliaryHead,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    Predictor,
    ReLU,
    Sequential,
    SettingError,
    ShapeError,
    SoftmaxCrossEntropy,
    Trainer,
    fuse,
)
from convnet.layers import Context
from convnet.losses import auxiliary_loss
from convnet.optim import SGD


def model(dtype=np.float64, weight=0.3, least_size=1):
    head = Sequential(
        {
            "conv": Conv2d(4, 3, 1, rng=1, dtype=dtype),
            "relu": ReLU(),
            "pool": GlobalAvgPool2d(),
            "flatten": Flatten(),
            "fc": Dense(3, 5, rng=2, dtype=dtype),
        }
    )
    return Sequential(
        {
            "conv": Conv2d(2, 4, 3, rng=0, dtype=dtype),
            "aux": AuxiliaryHead(head, weight, least_size),
            "relu": ReLU(),
            "pool": GlobalAvgPool2d(),
            "flatten": Flatten(),
            "fc": Dense(4, 5, rng=3, dtype=dtype),
        }
    )


def step(run, x, labels, ctx):
    loss = SoftmaxCrossEntropy()
    value = loss.forward(run.forward(x, ctx), labels, ctx) + auxiliary_loss(loss, labels, ctx)
    return value, run.backward(loss.backward(ctx), ctx)


@pytest.mark.parametrize("rewrite", [lambda layer: layer, fuse], ids=["plain", "fused"])
def test_the_gradient_is_that_of_all_losses(rewrite, rng):
    x, labels = rng.standard_normal((3, 2, 6, 7)), np.array([4, 0, 2])
    net = model()
    net[0].bias.value[...] = [8, -8, 8, -8]  # no ReLU near its kink
    net[1].head[0].weight.value *= 0.1
    net[1].head[0].bias.value[...] = [3, -3, 3]
    parameters = net.parameters()
    _, dx = step(rewrite(net), x, labels, Context())
    gradients = [dx, *(p.grad.copy() for p in parameters)]
    assert all(gradient.any() for gradient in gradients)
    values = [x, *(p.value.copy() for p in parameters)]
    directions = [unit(rng, value.shape) for value in values]

    def f(x, *weights):
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.value[...] = weight
        return step(net, x, labels, Context())[0]

    analytic = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    numeric = directional_derivative(f, values, directions)
    assert abs(analytic - numeric) <= tolerance(10), (analytic, numeric)


def test_the_loss_of_the_head_is_weighed(rng):
    x, labels, loss = rng.standard_normal((3, 2, 6, 7)), np.array([4, 0, 2]), SoftmaxCrossEntropy()
    net, ctx = model(weight=0.25), Context()
    logits = net.forward(x, ctx)
    head = net[1].head.forward(net[0](x), Context())
    assert auxiliary_loss(loss, labels, ctx) == 0.25 * loss.forward(head, labels)
    assert auxiliary_loss(loss, labels, Context()) == 0
    np.testing.assert_array_equal(logits, net(x))


def test_without_a_loss_of_its_own_it_is_the_identity(rng):
    net, ctx = model(), Context()
    x = rng.standard_normal((3, 2, 6, 7))
    step(net, x, np.array([4, 0, 2]), ctx)
    for parameter in net.parameters():
        parameter.grad[...] = 0
    net.backward(np.ones_like(net.forward(x, ctx)), ctx)  # the same context again: nothing is left from before
    trained = {name.split(".")[0] for name, p in net.named_parameters() if p.grad.any()}
    assert trained == {"conv", "fc"}


def test_a_trainer_trains_it(rng):
    net = model(np.float32)
    before, x, labels = net.state_dict(), rng.random((8, 2, 6, 7), np.float32), rng.integers(0, 5, 8)
    twin = model(np.float32)
    expected, _ = step(twin, x, labels, Context(wants_dx=False))
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1))
    assert trainer.step(x, labels) == pytest.approx(expected, rel=1e-5)
    assert all((before[name] != value).any() for name, value in net.state_dict().items())
    assert trainer.evaluate((x, labels))["loss"] == pytest.approx(SoftmaxCrossEntropy().forward(net(x), labels))


def test_the_weights_have_the_names_of_the_head():
    names = ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    assert [name for name in model().state_dict() if name.startswith("aux")] == [f"aux.{name}" for name in names]
    assert repr(model()[1]).startswith("AuxiliaryHead(weight=0.3, least_size=1\n  (conv): Conv2d(4, 3, kernel_size=1)")


def test_inference_leaves_the_head_alone(rng):
    net, x = model(np.float32), rng.integers(-3, 4, (2, 2, 6, 7)).astype(np.float32)
    for parameter in net.parameters():
        parameter.value[...] = np.round(2 * parameter.value)
    expected = net(x)
    net[1].head[0].weight.value[...] = np.nan
    assert_equal(net(x), expected)
    assert_equal(Predictor(net, (2, 6, 7))(x), expected)
    assert "aux" not in repr(Predictor(net, (2, 6, 7)))


def test_too_small_a_map_is_refused_in_training():
    net = model(np.float32, least_size=(4, 5))
    x = np.zeros((1, 2, 5, 7), np.float32)
    assert net(x).shape == (1, 5)
    text = r"Sequential\[aux\] AuxiliaryHead: expected maps of at least \(c, 4, 5\) in training, got \(4, 3, 5\)"
    with pytest.raises(ShapeError, match=text):
        net.forward(x, Context())
    with pytest.raises(ShapeError, match=text):
        net.check_training(1, (2, 5, 7))
    assert net.output_shape((2, 5, 7)) == (5,)
    with pytest.raises(ShapeError, match=r"Sequential\[aux\] Sequential\[conv\] Conv2d"):
        Sequential({"aux": AuxiliaryHead(net[1].head)}).check_training(1, (3, 5, 7))


@pytest.mark.parametrize(
    ("settings", "text"), [((-1,), "weight: .*-1"), ((0.3, 0), "least_size: .* at least 1, got 0")]
)
def test_settings_are_checked(settings, text):
    with pytest.raises(SettingError, match="AuxiliaryHead head: expected a Layer, got 3"):
        AuxiliaryHead(3)
    with pytest.raises(SettingError, match=f"AuxiliaryHead {text}"):
        AuxiliaryHead(Flatten(), *settings)
