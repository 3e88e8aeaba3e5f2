import copy
import math
import pickle

import numpy as np
import pytest

from convnet.errors import SettingError, ShapeError
from convnet.optim import SGD, Adam, OneCycle
from convnet.parameter import Parameter

STEPS = 7


def scalar_sgd(value, gradients, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """The formula for one number."""
    velocity = 0.0
    for gradient in gradients:
        g = gradient + weight_decay * value
        velocity = momentum * velocity + g
        value -= lr * (g + momentum * velocity if nesterov else velocity)
    return value


def scalar_adam(value, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """The formula for one number."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient + weight_decay * value
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        value -= lr * (m / (1 - betas[0] ** t)) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
    return value


CASES = {
    "sgd": (SGD, scalar_sgd, {"lr": 0.1}),
    "sgd-decay": (SGD, scalar_sgd, {"lr": 0.1, "weight_decay": 0.2}),
    "sgd-momentum": (SGD, scalar_sgd, {"lr": 0.1, "momentum": 0.9}),
    "sgd-nesterov": (SGD, scalar_sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2}),
    "adam": (Adam, scalar_adam, {"lr": 0.1}),
    "adam-general": (Adam, scalar_adam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2}),
}
every_optimizer = pytest.mark.parametrize(("build", "scalar", "settings"), CASES.values(), ids=CASES.keys())


def run(optimizer, value, gradients):
    parameter = Parameter(value.copy())
    for gradient in gradients:
        parameter.grad += gradient
        optimizer.step([parameter])
    return parameter


@every_optimizer
def test_steps_follow_the_formula(build, scalar, settings, rng):
    value, gradients = rng.standard_normal((3, 11)), rng.standard_normal((STEPS, 3, 11))
    parameter = run(build(**settings), value, gradients)
    for index in np.ndindex(value.shape):
        expected = scalar(float(value[index]), gradients[(slice(None), *index)].tolist(), **settings)
        # at most ten roundings a step, of numbers of size at most 4
        assert abs(parameter.value[index] - expected) < STEPS * 10 * 4 * np.finfo(np.float64).eps


@every_optimizer
def test_steps_agree_with_torch(build, scalar, settings, rng, dtype):
    torch = pytest.importorskip("torch")
    value, gradients = rng.standard_normal((3, 11)).astype(dtype), rng.standard_normal((STEPS, 3, 11)).astype(dtype)
    twin = torch.tensor(value, requires_grad=True)
    optimizer = getattr(torch.optim, build.__name__)([twin], **settings)
    for gradient in gradients:
        twin.grad = torch.tensor(gradient)
        optimizer.step()
    actual = run(build(**settings), value, gradients).value
    np.testing.assert_allclose(actual, twin.detach().numpy(), rtol=0, atol=STEPS * 10 * 4 * np.finfo(dtype).eps)


@every_optimizer
def test_gradients_are_cleared_in_place_and_steps_counted(build, scalar, settings):
    optimizer, parameter = build(**settings), Parameter(np.ones(3, np.float32))
    value, gradient = parameter.value, parameter.grad
    gradient += 1
    optimizer.step([parameter])
    assert parameter.value is value
    assert parameter.grad is gradient
    assert not gradient.any()
    assert optimizer.steps == 1


@every_optimizer
def test_each_parameter_has_its_own_averages(build, scalar, settings, rng):
    a, b = rng.standard_normal((2, 4))
    gradients = rng.standard_normal((STEPS, 2, 4))
    optimizer, pair = build(**settings), [Parameter(a.copy()), Parameter(b.copy())]
    for gradient in gradients:
        for parameter, g in zip(pair, gradient, strict=True):
            parameter.grad += g
        optimizer.step(iter(pair))
    np.testing.assert_array_equal(pair[0].value, run(build(**settings), a, gradients[:, 0]).value)
    np.testing.assert_array_equal(pair[1].value, run(build(**settings), b, gradients[:, 1]).value)


@every_optimizer
def test_arrays_put_in_place_of_others_are_seen(build, scalar, settings, rng):
    """What an optimizer remembers of its parameters' arrays is made again when these are others."""
    start, gradients = rng.standard_normal(5), rng.standard_normal((STEPS, 5))
    optimizer, parameter = build(**settings), Parameter(start.copy())
    for number, gradient in enumerate(gradients):
        if number % 2:
            parameter.value = parameter.value.copy()
        parameter.grad = gradient.copy()
        optimizer.step([parameter])
        assert not parameter.grad.any()
    np.testing.assert_array_equal(parameter.value, run(build(**settings), start, gradients).value)


@every_optimizer
def test_a_parameter_given_twice_is_updated_once(build, scalar, settings):
    once, twice = Parameter(np.zeros(3), np.ones(3)), Parameter(np.zeros(3), np.ones(3))
    build(**settings).step([once])
    build(**settings).step([twice, twice])
    np.testing.assert_array_equal(once.value, twice.value)


@every_optimizer
def test_types_may_be_mixed_and_arrays_empty(build, scalar, settings, rng):
    shapes = (3,), (0, 4), (20_000,), (2, 5)
    values = [rng.standard_normal(s).astype(t) for s, t in zip(shapes, ("f4", "f8", "f8", "f4"), strict=True)]
    together = [Parameter(value.copy(), np.ones_like(value)) for value in values]
    build(**settings).step(together)
    for value, parameter in zip(values, together, strict=True):
        np.testing.assert_array_equal(parameter.value, run(build(**settings), value, np.ones(1)).value)


def test_no_parameters():
    for build in SGD, Adam:
        optimizer = build(lr=0.1)
        optimizer.step([])
        assert optimizer.steps == 1


@pytest.mark.parametrize("build", [SGD, Adam])
def test_arrays_that_cannot_be_updated_are_refused(build):
    parameter = Parameter(np.zeros(3, np.float32))
    parameter.value = np.zeros((2, 3))[:, 0]
    parameter.grad = np.zeros(2)
    with pytest.raises(
        ShapeError, match=rf"{build.__name__}.step: expected value to be a writeable C-contiguous array"
    ):
        build(lr=0.1).step([parameter])


def test_a_parameter_that_joins_late_starts_its_own_bias_correction():
    optimizer, early, late = Adam(lr=0.5), Parameter(np.zeros(1)), Parameter(np.zeros(1))
    run_alone = run(Adam(lr=0.5), late.value, [np.ones(1)]).value
    for _ in range(3):
        early.grad += 1
        optimizer.step([early])
    late.grad += 1
    optimizer.step([early, late])
    np.testing.assert_array_equal(late.value, run_alone)


@pytest.mark.parametrize("build", [SGD, Adam])
def test_the_learning_rate_may_be_a_schedule(build):
    optimizer, parameter = build(lr=lambda step: [0.5, 0.25][step]), Parameter(np.zeros(1))
    assert optimizer.learning_rate == 0.5
    optimizer.step([parameter])
    assert optimizer.learning_rate == 0.25


def test_a_schedule_scales_each_step():
    parameter = run(SGD(lr=lambda step: 1 / 2**step), np.zeros(1), np.ones((3, 1)))
    np.testing.assert_array_equal(parameter.value, [-1.75])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_optimizer_and_parameter_goes_on_alike(duplicate):
    optimizer, parameter = SGD(OneCycle(0.1, 9), momentum=0.9), Parameter(np.zeros(2))
    parameter.grad += 1
    optimizer.step([parameter])
    twins = duplicate((optimizer, parameter))
    for o, p in ((optimizer, parameter), twins):
        p.grad += 1
        o.step([p])
    np.testing.assert_array_equal(twins[1].value, parameter.value)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SGD(lr=math.nan), "SGD lr: expected a finite number of at least 0, got nan"),
        (lambda: SGD(lr=-1), "SGD lr: expected a finite number of at least 0, got -1"),
        (lambda: SGD(lr=0.1, momentum=-0.9), "SGD momentum: expected a finite number of at least 0, got -0.9"),
        (lambda: SGD(lr=0.1, weight_decay=math.inf), "SGD weight_decay: expected a finite number"),
        (lambda: SGD(lr=0.1, nesterov=True), "SGD nesterov: expected a momentum above 0, got 0"),
        (lambda: Adam(lr="fast"), "Adam lr: expected a finite number of at least 0, got 'fast'"),
        (lambda: Adam(betas=(0.9, 1.0)), r"Adam betas\[1\]: expected a number in \[0, 1\), got 1.0"),
        (lambda: Adam(betas=(math.nan, 0.9)), r"Adam betas\[0\]: expected a number in \[0, 1\), got nan"),
        (lambda: Adam(eps=-1), "Adam eps: expected a finite number of at least 0, got -1"),
        (lambda: SGD(lr=lambda step: math.nan).learning_rate, "SGD lr: expected a finite number .* got nan"),
    ],
)
def test_bad_settings_are_refused(build, text):
    with pytest.raises(SettingError, match=text):
        build()


def test_a_bad_schedule_changes_nothing():
    optimizer, parameter = SGD(lr=lambda step: -1.0), Parameter(np.ones(2), np.ones(2))
    with pytest.raises(SettingError, match="SGD lr: expected a finite number of at least 0, got -1"):
        optimizer.step([parameter])
    np.testing.assert_array_equal(parameter.value, 1)
    assert optimizer.steps == 0


def test_reprs():
    assert repr(SGD(0.1, 0.9)) == "SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0)"
    assert repr(Adam(0.1)) == "Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0)"
