import copy
import math
import pickle

import numpy as np
import pytest

from convnet.errors import DivergedError, SettingError, ShapeError
from convnet.layers import BatchNorm2d, Conv2d, Dense, Sequential
from convnet.optim import SGD, Adam, AdamW, ClipNorm, ClipValue, OneCycle, RMSprop, WeightsOnly
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


def scalar_adamw(value, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    """The formula for one number."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        value *= 1 - lr * weight_decay
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        value -= lr * (m / (1 - betas[0] ** t)) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
    return value


def scalar_rmsprop(value, gradients, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    """The formula for one number."""
    square = velocity = mean = 0.0
    for gradient in gradients:
        g = gradient + weight_decay * value
        square = alpha * square + (1 - alpha) * g * g
        mean = alpha * mean + (1 - alpha) * g
        step = g / (math.sqrt(square - mean * mean if centered else square) + eps)
        velocity = momentum * velocity + step
        value -= lr * velocity
    return value


CASES = {
    "sgd": (SGD, scalar_sgd, {"lr": 0.1}),
    "sgd-decay": (SGD, scalar_sgd, {"lr": 0.1, "weight_decay": 0.2}),
    "sgd-momentum": (SGD, scalar_sgd, {"lr": 0.1, "momentum": 0.9}),
    "sgd-nesterov": (SGD, scalar_sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2}),
    "adam": (Adam, scalar_adam, {"lr": 0.1}),
    "adam-general": (Adam, scalar_adam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2}),
    "adamw": (AdamW, scalar_adamw, {"lr": 0.1}),
    "adamw-general": (AdamW, scalar_adamw, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2}),
    "rmsprop": (RMSprop, scalar_rmsprop, {"lr": 0.01}),
    "rmsprop-momentum": (RMSprop, scalar_rmsprop, {"lr": 0.01, "alpha": 0.8, "momentum": 0.5, "weight_decay": 0.2}),
    "rmsprop-centred": (RMSprop, scalar_rmsprop, {"lr": 0.01, "alpha": 0.8, "eps": 0.1, "centered": True}),
}
OPTIMIZERS = [SGD, Adam, AdamW, RMSprop]
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
    for build in OPTIMIZERS:
        optimizer = build(lr=0.1)
        optimizer.step([])
        assert optimizer.steps == 1


@pytest.mark.parametrize("build", OPTIMIZERS)
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


@pytest.mark.parametrize("build", OPTIMIZERS)
def test_the_learning_rate_may_be_a_schedule(build):
    optimizer, parameter = build(lr=lambda step: [0.5, 0.25][step]), Parameter(np.zeros(1))
    assert optimizer.learning_rate == 0.5
    optimizer.step([parameter])
    assert optimizer.learning_rate == 0.25


def test_a_schedule_scales_each_step():
    parameter = run(SGD(lr=lambda step: 1 / 2**step), np.zeros(1), np.ones((3, 1)))
    np.testing.assert_array_equal(parameter.value, [-1.75])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(OneCycle(0.1, 9), momentum=0.9, clip=ClipNorm(1.0), weight_decay=WeightsOnly(0.1)),
        AdamW(clip=ClipValue(0.1)),
        RMSprop(momentum=0.5, centered=True),
    ],
    ids=repr,
)
def test_a_copy_of_optimizer_and_parameter_goes_on_alike(optimizer, duplicate):
    optimizer, parameter = duplicate(optimizer), Parameter(np.zeros(2))
    parameter.grad += 1
    optimizer.step([parameter])
    twins = duplicate((optimizer, parameter))
    for o, p in ((optimizer, parameter), twins):
        p.grad += 1
        o.step([p])
    np.testing.assert_array_equal(twins[1].value, parameter.value)
    assert repr(twins[0]) == repr(optimizer)


# ---- weight decay ----------------------------------------------------------------------------------------------------


def test_decay_of_weights_only_leaves_biases_and_normalisation_alone():
    model = Sequential(Conv2d(1, 2, 3, rng=0), BatchNorm2d(2), Dense(2, 2, rng=0))
    before = {name: p.value.copy() for name, p in model.named_parameters()}
    SGD(lr=0.5, weight_decay=WeightsOnly(0.5)).step(model.parameters())
    for name, parameter in model.named_parameters():
        factor = 0.75 if name in ("0.weight", "2.weight") else 1
        np.testing.assert_array_equal(parameter.value, before[name] * factor, err_msg=name)


@every_optimizer
def test_a_decay_by_parameter_is_as_with_an_optimizer_each(build, scalar, settings, rng):
    values, gradients = rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))
    pair = [Parameter(value.copy()) for value in values]
    decays = dict(zip(pair, (0.0, 0.1, 0.2), strict=True))
    optimizer = build(**settings | {"weight_decay": decays.get})
    for gradient in gradients:
        for parameter, g in zip(pair, gradient, strict=True):
            parameter.grad += g
        optimizer.step(pair)
    for i, parameter in enumerate(pair):
        alone = run(build(**settings | {"weight_decay": decays[parameter]}), values[i], gradients[:, i])
        np.testing.assert_array_equal(parameter.value, alone.value)


def test_groups_by_decay_agree_with_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    values, gradients = [rng.standard_normal(shape) for shape in ((3, 4), (4,))], rng.standard_normal((STEPS, 3, 4))
    twins = [torch.tensor(value, requires_grad=True) for value in values]
    groups = [{"params": twins[:1], "weight_decay": 0.1}, {"params": twins[1:], "weight_decay": 0.0}]
    theirs, ours = torch.optim.AdamW(groups, lr=0.01), AdamW(lr=0.01, weight_decay=WeightsOnly(0.1))
    parameters = [Parameter(value.copy()) for value in values]
    for gradient in gradients:
        for twin, parameter, g in zip(twins, parameters, (gradient, gradient[0]), strict=True):
            twin.grad = torch.tensor(g)
            parameter.grad += g
        theirs.step()
        ours.step(parameters)
    for twin, parameter in zip(twins, parameters, strict=True):
        np.testing.assert_allclose(parameter.value, twin.detach().numpy(), rtol=0, atol=STEPS * 40 * 2.2e-16)


# ---- clipping --------------------------------------------------------------------------------------------------------


def test_the_norm_is_that_of_all_gradients_together():
    a, b = Parameter(np.zeros(1), np.array([3.0])), Parameter(np.zeros((1, 1)), np.array([[-4.0]]))
    SGD(lr=1, clip=ClipNorm(2.5)).step([a, b])
    np.testing.assert_array_equal([a.value[0], b.value[0, 0]], [-1.5, 2])


def test_small_gradients_stay_as_they_are(rng):
    gradient = rng.standard_normal(100)
    for clip in ClipNorm(float(np.linalg.norm(gradient)) * 1.01), ClipValue(float(abs(gradient).max())):
        clipped, plain = (run(SGD(lr=0.1, clip=each), np.zeros(100), [gradient]) for each in (clip, None))
        np.testing.assert_array_equal(clipped.value, plain.value)


def test_the_penalty_is_added_to_clipped_gradients():
    """As in PyTorch, where clipping comes before the optimizer's step."""
    assert run(SGD(lr=1, weight_decay=0.5, clip=ClipValue(1.0)), np.array([4.0]), [8.0]).value == 4 - (1 + 2)


@every_optimizer
def test_clipped_steps_agree_with_torch(build, scalar, settings, rng):
    torch = pytest.importorskip("torch")
    value, gradients = rng.standard_normal((3, 11)), rng.standard_normal((STEPS, 3, 11))
    twin = torch.tensor(value, requires_grad=True)
    theirs = getattr(torch.optim, build.__name__)([twin], **settings)
    for gradient in gradients:
        twin.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_value_([twin], 0.5)
        theirs.step()
    actual = run(build(**settings, clip=ClipValue(0.5)), value, gradients).value
    np.testing.assert_allclose(actual, twin.detach().numpy(), rtol=0, atol=STEPS * 40 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_optimizer
def test_a_norm_that_is_not_finite_makes_no_step(build, scalar, settings, bad, rng):
    optimizer, good = build(**settings, clip=ClipNorm(1.0)), rng.standard_normal(5)
    spoilt, fine = Parameter(np.ones(5), np.full(5, bad)), Parameter(np.ones(5), good.copy())
    with pytest.raises(DivergedError, match=rf"^{build.__name__}.step: expected gradients of a finite norm, got {bad}"):
        optimizer.step([spoilt, fine])
    for parameter in spoilt, fine:
        np.testing.assert_array_equal(parameter.value, 1)
        np.testing.assert_array_equal(parameter.grad, 0)
    assert optimizer.steps == 0
    fine.grad += good  # and the averages are as they were
    optimizer.step([fine])
    np.testing.assert_array_equal(fine.value, run(build(**settings, clip=ClipNorm(1.0)), np.ones(5), [good]).value)


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SGD(lr=math.nan), "SGD lr: expected a finite number of at least 0, got nan"),
        (lambda: SGD(lr=-1), "SGD lr: expected a finite number of at least 0, got -1"),
        (lambda: SGD(lr=0.1, momentum=-0.9), r"SGD momentum: expected a number in \[0, 1\), got -0.9"),
        (lambda: SGD(lr=0.1, momentum=1), r"SGD momentum: expected a number in \[0, 1\), got 1"),
        (lambda: SGD(lr=0.1, clip=1.0), "SGD clip: expected a ClipNorm, a ClipValue or None, got 1.0"),
        (lambda: Adam(betas=0.9), r"Adam betas: expected a pair of numbers in \[0, 1\), got 0.9"),
        (lambda: AdamW(betas=(0.9, 0.99, 1)), r"AdamW betas: expected a pair of numbers .*, got \(0.9, 0.99, 1\)"),
        (lambda: SGD(lr=0.1, weight_decay=math.inf), "SGD weight_decay: expected a finite number"),
        (lambda: SGD(lr=0.1, nesterov=True), "SGD nesterov: expected a momentum above 0, got 0"),
        (lambda: Adam(lr="fast"), "Adam lr: expected a finite number of at least 0, got 'fast'"),
        (lambda: Adam(betas=(0.9, 1.0)), r"Adam betas\[1\]: expected a number in \[0, 1\), got 1.0"),
        (lambda: Adam(betas=(math.nan, 0.9)), r"Adam betas\[0\]: expected a number in \[0, 1\), got nan"),
        (lambda: Adam(eps=-1), "Adam eps: expected a finite number of at least 0, got -1"),
        (lambda: AdamW(weight_decay=-1), "AdamW weight_decay: expected a finite number of at least 0, got -1"),
        (lambda: AdamW(betas=(2, 0.9)), r"AdamW betas\[0\]: expected a number in \[0, 1\), got 2"),
        (lambda: RMSprop(alpha=1), r"RMSprop alpha: expected a number in \[0, 1\), got 1"),
        (lambda: RMSprop(eps=math.nan), "RMSprop eps: expected a finite number of at least 0, got nan"),
        (lambda: RMSprop(momentum=-1), r"RMSprop momentum: expected a number in \[0, 1\), got -1"),
        (lambda: RMSprop(lr=None), "RMSprop lr: expected a finite number of at least 0, got None"),
        (lambda: WeightsOnly(-1), "WeightsOnly decay: expected a finite number of at least 0, got -1"),
        (lambda: ClipNorm(math.inf), "ClipNorm limit: expected a finite number of at least 0, got inf"),
        (lambda: ClipValue(-0.5), "ClipValue limit: expected a finite number of at least 0, got -0.5"),
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


@every_optimizer
def test_a_bad_decay_of_a_parameter_changes_nothing(build, scalar, settings):
    decays = [-1.0]
    given = settings | {"weight_decay": lambda parameter: decays[-1], "clip": ClipNorm(0.5)}
    optimizer, parameter, fresh = build(**given), *(Parameter(np.ones(2), np.ones(2)) for _ in range(2))
    with pytest.raises(SettingError, match=rf"{build.__name__} weight_decay: expected a finite number of .*, got -1"):
        optimizer.step([parameter])
    np.testing.assert_array_equal([parameter.value, parameter.grad], 1)
    assert optimizer.steps == 0
    decays.append(0.0)
    optimizer.step([parameter])
    build(**given).step([fresh])
    np.testing.assert_array_equal(parameter.value, fresh.value)


def test_reprs():
    assert repr(SGD(0.1, 0.9)) == "SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0)"
    assert repr(Adam(0.1)) == "Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0)"
    assert repr(AdamW(0.1)) == "AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)"
    rmsprop = "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=WeightsOnly(decay=0.5), momentum=0, centered=False"
    assert repr(RMSprop(weight_decay=WeightsOnly(0.5))) == f"{rmsprop})"
    assert repr(RMSprop(weight_decay=WeightsOnly(0.5), clip=ClipNorm(2.0))) == f"{rmsprop}, clip=ClipNorm(limit=2.0))"
