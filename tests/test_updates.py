"""The fused parameter updates of SGD and Adam, over several steps and every size of a tail."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal

from convnet.functional import adam_update, sgd_update

SIZES = [*range(1, 40), 1000, 4097, 100_003]
ROUNDINGS = 8  # of one step: at most so many operations in a row round the same number, each by half an eps

SGD_SETTINGS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decay": {"weight_decay": 0.05},
    "all": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
}
ADAM = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
ADAM_SETTINGS = {
    "plain": ADAM,
    "decay": ADAM | {"weight_decay": 0.05},
    "decoupled": ADAM | {"weight_decay": 0.05, "decoupled": True},
    "other": ADAM | {"lr": 0.3, "betas": (0.5, 0.7), "eps": 0.1},
}


def _assert_near(got, exact, scale, what):
    limit = ROUNDINGS / 2 * np.finfo(got.dtype).eps * scale + np.finfo(got.dtype).tiny
    assert np.all(np.abs(np.float64(got) - exact) <= limit), what


@pytest.mark.parametrize("settings", SGD_SETTINGS.values(), ids=SGD_SETTINGS)
@pytest.mark.parametrize("size", SIZES)
def test_sgd(size, settings, dtype, rng):
    settings = {"momentum": 0, "weight_decay": 0} | settings | {"lr": 0.1}
    value, velocity = rng.standard_normal((2, size)).astype(dtype)
    for _ in range(3):
        grad = rng.standard_normal(size).astype(dtype)
        expected = oracles.sgd(np.float64(value), grad, velocity, **settings)
        steepness = abs(grad) + settings["weight_decay"] * abs(value) + settings["momentum"] * abs(velocity)
        scale = abs(value) + 0.1 * 2 * steepness
        sgd_update(value, grad, velocity if settings["momentum"] else None, **settings)
        _assert_near(value, expected[0], scale, "value")
        if settings["momentum"]:
            _assert_near(velocity, expected[1], steepness, "velocity")
        assert_equal(grad, np.zeros(size))


@pytest.mark.parametrize("settings", ADAM_SETTINGS.values(), ids=ADAM_SETTINGS)
@pytest.mark.parametrize("size", SIZES)
def test_adam(size, settings, dtype, rng):
    value, mean, variance = rng.standard_normal(size).astype(dtype), np.zeros(size, dtype), np.zeros(size, dtype)
    for step in range(1, 4):
        grad = rng.standard_normal(size).astype(dtype)
        expected = oracles.adam(value, grad, mean, variance, step=step, **settings)
        decay = settings["weight_decay"] * abs(np.float64(value))
        steepness = abs(mean) + abs(grad) + decay
        correction = np.sqrt(expected[2] / (1 - settings["betas"][1] ** step)) + settings["eps"]
        stride = settings["lr"] / (1 - settings["betas"][0] ** step) * steepness / correction
        scale = abs(value) + stride * (1 + steepness**2 / np.maximum(expected[2], 1e-30))
        adam_update(value, grad, mean, variance, step=step, **settings)
        _assert_near(mean, expected[1], steepness, "mean")
        _assert_near(variance, expected[2], abs(expected[2]) + steepness**2, "variance")
        _assert_near(value, expected[0], scale, "value")
        assert_equal(grad, np.zeros(size))


def test_sgd_by_hand(dtype):
    """Two steps on one number, with everything on: exact in binary."""
    value, grad, velocity = (np.array([a], dtype) for a in (2, 3, 0))
    settings = {"lr": 0.5, "momentum": 0.5, "nesterov": True, "weight_decay": 0.25}
    sgd_update(value, grad, velocity, **settings)
    assert (value[0], grad[0], velocity[0]) == (2 - 0.5 * (3.5 + 0.5 * 3.5), 0, 3.5)
    value[0], grad[0] = 2, 1
    sgd_update(value, grad, velocity, **settings)
    assert (value[0], velocity[0]) == (2 - 0.5 * (1.5 + 0.5 * 3.25), 3.25)


def test_adam_moves_by_the_learning_rate_first(dtype):
    """The first step is lr times the sign of the gradient, whatever its size (arXiv:1412.6980, section 2.1)."""
    value, grad = np.zeros(3, dtype), np.array([1e-3, -1, 1e6], dtype)
    adam_update(value, grad, np.zeros(3, dtype), np.zeros(3, dtype), step=1, **(ADAM | {"eps": 0.0}))
    np.testing.assert_allclose(value, [-0.01, 0.01, -0.01], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(), (3, 1), (8, 3, 5, 5), (0, 4)], ids=str)
def test_every_shape(shape, dtype, rng):
    value, grad = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    expected, _ = oracles.sgd(np.float64(value), grad, np.zeros(shape), lr=0.5)
    sgd_update(value, grad, None, lr=0.5)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert_equal(grad, np.zeros(shape))
    adam_update(value, grad, np.zeros(shape, dtype), np.zeros(shape, dtype), step=1, **ADAM)


def test_nan_gradients_are_not_hidden(dtype):
    value, grad = np.ones(40, dtype), np.zeros(40, dtype)
    grad[::3] = np.nan
    sgd_update(value, grad, np.zeros(40, dtype), lr=0.1, momentum=0.9)
    assert_equal(np.isnan(value), np.arange(40) % 3 == 0)
    assert_equal(grad, np.zeros(40))
