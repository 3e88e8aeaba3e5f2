"""The fused parameter updates, over several steps and every size of a tail; gradients as a whole; averages."""

import math

import numpy as np
import oracles
import pytest
from bounds import assert_equal

from convnet.errors import DivergedError
from convnet.functional import Updates, adam_update, rmsprop_update, sgd_update

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
RMSPROP = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}
RMSPROP_SETTINGS = {
    "plain": RMSPROP,
    "momentum": RMSPROP | {"momentum": 0.9},
    "decay": RMSPROP | {"weight_decay": 0.05},
    "other": RMSPROP | {"lr": 0.3, "alpha": 0.7, "eps": 0.1, "momentum": 0.5, "weight_decay": 0.05},
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


@pytest.mark.parametrize("centered", [False, True], ids=["", "centred"])
@pytest.mark.parametrize("settings", RMSPROP_SETTINGS.values(), ids=RMSPROP_SETTINGS)
@pytest.mark.parametrize("size", SIZES)
def test_rmsprop(size, settings, centered, dtype, rng):
    value, (square, velocity, mean) = rng.standard_normal(size).astype(dtype), np.zeros((3, size), dtype)
    momentum, mean = settings.get("momentum", 0), mean if centered else None
    for _ in range(3):
        grad = rng.standard_normal(size).astype(dtype)
        expected = oracles.rmsprop(value, grad, square, velocity, mean, **settings)
        slope = abs(grad) + settings.get("weight_decay", 0) * abs(np.float64(value))
        steepness = slope + abs(mean if centered else 0)
        square_scale = square + steepness**2
        variance = expected[1] - (expected[3] ** 2 if centered else 0)
        step = slope / (np.sqrt(variance) + settings["eps"]) * (1 + square_scale / np.maximum(variance, 1e-30))
        speed = momentum * abs(velocity) + step
        scale = abs(value) + settings["lr"] * speed
        rmsprop_update(value, grad, square, velocity if momentum else None, mean, **settings)
        _assert_near(value, expected[0], scale, "value")
        _assert_near(square, expected[1], square_scale, "square")
        if momentum:
            _assert_near(velocity, expected[2], speed, "velocity")
        if centered:
            _assert_near(mean, expected[3], steepness, "mean")
        assert_equal(grad, np.zeros(size))


def test_rmsprop_by_hand(dtype):
    """Everything on, in numbers that are exact in binary."""
    value, grad, square, velocity, mean = (np.array([a], dtype) for a in (2, 3, 13, 1, 1.5))
    settings = {"lr": 0.5, "alpha": 0.5, "eps": 0.5, "momentum": 0.5, "weight_decay": 0.25}
    rmsprop_update(value, grad, square, velocity, mean, **settings)
    g = 3 + 0.25 * 2
    assert (square[0], mean[0], grad[0]) == (0.5 * 13 + 0.5 * g * g, 2.5, 0)
    step = g / (math.sqrt(square[0] - 2.5**2) + 0.5)
    assert velocity[0] == pytest.approx(0.5 + step, rel=4 * float(np.finfo(dtype).eps))
    assert value[0] == pytest.approx(2 - 0.5 * (0.5 + step), rel=4 * float(np.finfo(dtype).eps))


def test_a_constant_gradient_has_no_negative_variance():
    """square - mean**2 tends to 0; rounded averages that fall stop above their aim: no NaN may come of that."""
    value, below = np.zeros(400, np.float32), 0
    gradient = np.linspace(0.1, 7, 400, dtype=np.float32)
    square, mean = 4 * gradient**2, 2 * gradient
    for _ in range(300):
        rmsprop_update(value, gradient.copy(), square, None, mean, lr=1e-9, alpha=0.9, eps=1e-3)
        below += np.count_nonzero(np.float64(square) < np.float64(mean) ** 2)
    assert below > 0
    assert np.all(np.isfinite(value))


@pytest.mark.parametrize("kind", ["sgd", "adam", "decoupled", "rmsprop"])
def test_each_parameter_may_have_its_own_weight_decay(kind, dtype, rng):
    decays = [0.0, 0.5, 0.125]
    arrays = [np.abs(rng.standard_normal((5, 40))).astype(dtype) for _ in decays]
    together, alone = ([tuple(a.copy() for a in each) for each in arrays] for _ in range(2))
    _step(kind, together, decays)
    for one, decay in zip(alone, decays, strict=True):
        _step(kind, [one], decay)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(together[0][0], arrays[0][0])


def _step(kind, arrays, weight_decay):
    if kind == "sgd":
        Updates([a[:3] for a in arrays]).sgd(lr=0.1, momentum=0.9, weight_decay=weight_decay)
    elif kind == "rmsprop":
        Updates(arrays).rmsprop(**RMSPROP, weight_decay=weight_decay)
    else:
        settings = ADAM | {"weight_decay": weight_decay, "decoupled": kind == "decoupled"}
        Updates([a[:4] for a in arrays]).adam(steps=[1] * len(arrays), **settings)


def _gradients(rng, dtype, sizes):
    grads = [rng.standard_normal(size).astype(dtype) for size in sizes]
    return grads, Updates([(np.zeros_like(g), g, None) for g in grads], "SGD.step")


@pytest.mark.parametrize("sizes", [(1,), (5, 3), (17, 0, 4096, 1), (100_003, 4097, 33)], ids=str)
def test_clip_norm(sizes, dtype, rng):
    grads, updates = _gradients(rng, dtype, sizes)
    before = [g.copy() for g in grads]
    exact = math.sqrt(math.fsum(float(a) ** 2 for g in before for a in g))
    # float64 sums of positive terms: 256 rows of a task, its 16 columns, the tasks; squares of floats are exact
    roundings = 256 + 4 + sum(sizes) // 4096 + len(sizes) + 2
    assert updates.clip_norm(1e9) == pytest.approx(exact, rel=roundings * 2.3e-16)
    np.testing.assert_array_equal(np.concatenate(grads), np.concatenate(before))
    norm = updates.clip_norm(exact / 4)
    for got, g in zip(grads, before, strict=True):
        np.testing.assert_array_equal(got, g * dtype(exact / 4 / norm))
    assert updates.clip_norm(1e9) == pytest.approx(exact / 4, rel=2 * float(np.finfo(dtype).eps))


def test_the_norm_is_the_same_for_every_instruction_set(rng):
    """Sums of products in double precision, in an order of their own: the value stands here."""
    x = np.random.default_rng(3).integers(-1000, 1000, 100_003).astype(np.float32) / 1024
    sums = [math.fsum(np.float64(x[i : i + 4096]) ** 2) for i in range(0, x.size, 4096)]  # exact: 30 bits of squares
    assert Updates([(np.zeros_like(x), x, None)]).clip_norm(math.inf) == math.sqrt(sum(sums))


def test_gradients_too_large_for_their_squares(rng):
    grads, updates = _gradients(rng, np.float32, (40,))
    grads[0][...] = 1e30
    assert updates.clip_norm(1.0) == pytest.approx(1e30 * math.sqrt(40), rel=1e-7)
    np.testing.assert_allclose(grads[0], 1 / math.sqrt(40), rtol=4e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite(bad, dtype, rng):
    grads, updates = _gradients(rng, dtype, (5000, 7))
    grads[1][3] = bad
    before = [g.copy() for g in grads]
    with pytest.raises(DivergedError, match=r"^SGD.step: expected gradients of a finite norm, got (nan|inf); try"):
        updates.clip_norm(1.0)
    for got, g in zip(grads, before, strict=True):
        np.testing.assert_array_equal(got, g)


def test_no_gradients_have_norm_0():
    assert Updates([]).clip_norm(1.0) == 0
    zeros = np.zeros(3)
    assert Updates([(np.ones(3), zeros, None)]).clip_norm(0.0) == 0
    assert_equal(zeros, np.zeros(3))


def test_clip_value(dtype, rng):
    grads, updates = _gradients(rng, dtype, SIZES)
    grads[30][:5] = np.nan, np.inf, -np.inf, -0.0, 0.25
    before = [g.copy() for g in grads]
    updates.clip_value(0.25)
    for got, g in zip(grads, before, strict=True):
        np.testing.assert_array_equal(got, np.clip(g, dtype(-0.25), dtype(0.25)))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.4, 0.6, 1.0])
def test_average(share, dtype, rng):
    pairs = [tuple(rng.standard_normal((2, size)).astype(dtype)) for size in SIZES]
    before = [(mean.copy(), value.copy()) for mean, value in pairs]
    Updates(pairs).average(share)
    for (mean, value), (old_mean, old_value) in zip(pairs, before, strict=True):
        assert_equal(value, old_value)
        scale = abs(old_mean) + abs(old_value)
        exact = (1 - share) * np.float64(old_mean) + share * np.float64(old_value)
        _assert_near(mean, exact, scale, "mean")
        if share in (0, 1):
            assert_equal(mean, old_value if share else old_mean)
