import copy
import math
import pickle

import numpy as np
import pytest

from convnet.errors import SettingError
from convnet.optim import SGD, Cosine, OneCycle, Plateau, StepDecay, Warmup


def test_one_cycle_at_its_landmarks():
    lr = OneCycle(max_lr=1.0, steps=100, pct_start=0.3, div_factor=20, final_div_factor=50)
    assert lr(0) == pytest.approx(1 / 20, rel=1e-15)
    assert lr(29) == 1.0
    assert lr(99) == pytest.approx(1 / 20 / 50, rel=1e-12)
    assert lr(1000) == lr(99)
    # half a wave up, then half a wave down: the mean of both ends lies half-way
    assert lr(29 / 2) == pytest.approx((1 / 20 + 1) / 2, rel=1e-14)
    assert lr(29 + 70 / 2) == pytest.approx((1 / 1000 + 1) / 2, rel=1e-14)


def test_one_cycle_rises_then_falls():
    rates = [OneCycle(0.5, 200)(step) for step in range(200)]
    top = int(np.argmax(rates))
    assert top == 59
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize("pct_start", [0.05, 0.25, 0.3, 0.9])
@pytest.mark.parametrize("steps", [11, 40, 333])
def test_one_cycle_agrees_with_torch(steps, pct_start):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.7, total_steps=steps, pct_start=pct_start, cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            scheduler.step()
    lr = OneCycle(0.7, steps, pct_start)
    # a cosine and four operations on numbers of at most max_lr
    np.testing.assert_allclose([lr(step) for step in range(steps)], expected, rtol=0, atol=16 * 0.7 * 2.2e-16)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("pct_start", [0.0, 0.3, 0.99])
def test_the_shortest_cycles_are_defined(steps, pct_start):
    lr = OneCycle(1.0, steps, pct_start)
    assert all(0 < lr(step) <= 1 for step in range(steps + 2))
    assert lr(steps) == pytest.approx(1 / 25 / 1e4, rel=1e-9)


def test_step_decay():
    lr = StepDecay(1.0, every=3, factor=0.5)
    assert [lr(step) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_cosine():
    lr = Cosine(1.0, steps=8, final_lr=0.5)
    assert lr(0) == 1.0
    assert lr(4) == pytest.approx(0.75, rel=1e-15)
    assert lr(2) == pytest.approx(0.5 + 0.25 * (1 + math.cos(math.pi / 4)), rel=1e-15)
    assert lr(8) == lr(80) == 0.5


def rates_of_torch(scheduler, steps):
    """The learning rate of each step of a scheduler of PyTorch."""
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("every", "factor"), [(1, 0.96), (7, 0.1), (30, 0.5), (100, 0.1)])
def test_step_decay_agrees_with_torch(every, factor):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    expected = rates_of_torch(torch.optim.lr_scheduler.StepLR(optimizer, every, factor), 60)
    lr = StepDecay(0.7, every, factor)
    # torch multiplies once a change, of which there are at most 60: as many roundings
    np.testing.assert_allclose([lr(step) for step in range(60)], expected, rtol=60 * 2.2e-16)


@pytest.mark.parametrize("final_lr", [0.0, 0.05])
@pytest.mark.parametrize("steps", [1, 8, 55])
def test_cosine_agrees_with_torch(steps, final_lr):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    expected = rates_of_torch(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, final_lr), steps + 1)
    lr = Cosine(0.7, steps, final_lr)
    # torch goes from each rate to the next by a factor: about four roundings a step, of numbers of at most 0.7
    actual = [lr(step) for step in range(steps + 1)]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=4 * (steps + 1) * 0.7 * 2.2e-16)


# ---- warm-up ---------------------------------------------------------------------------------------------------------


def test_warmup_to_a_rate():
    lr = Warmup(0.5, steps=4, start_factor=0.5)
    assert [lr(step) for step in range(6)] == [0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5]


def test_after_the_warmup_the_schedule_starts():
    after = StepDecay(1.0, every=2, factor=0.5)
    lr = Warmup(after, steps=3, start_factor=0.25)
    assert [lr(step) for step in range(3)] == [0.25, 0.5, 0.75]
    assert [lr(step) for step in range(3, 10)] == [after(step) for step in range(7)]


@pytest.mark.parametrize("start_factor", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_warmup_agrees_with_torch(steps, start_factor):
    torch = pytest.importorskip("torch")
    of = torch.optim.lr_scheduler
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    up = of.LinearLR(optimizer, start_factor=start_factor, total_iters=steps)
    down = of.CosineAnnealingLR(optimizer, T_max=30)
    scheduler, expected = of.SequentialLR(optimizer, [up, down], milestones=[steps]), []
    for _ in range(steps + 30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    lr = Warmup(Cosine(0.7, steps=30), steps, start_factor)
    # torch goes from each rate to the next by a factor: three roundings a step, of numbers of at most 0.7
    actual = [lr(step) for step in range(steps + 30)]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=3 * (steps + 30) * 0.7 * 2.2e-16)


# ---- plateau ---------------------------------------------------------------------------------------------------------

SETTINGS = {
    "default": {},
    "impatient": {"patience": 0, "factor": 0.5},
    "cooling": {"patience": 1, "cooldown": 3, "factor": 0.5},
    "strict": {"patience": 1, "threshold": 0.1, "factor": 0.5},
    "bounded": {"patience": 0, "factor": 0.1, "final_lr": 0.02},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_plateau_agrees_with_torch(settings, rng):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    theirs = {"min_lr" if name == "final_lr" else name: value for name, value in settings.items()}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **{"patience": 10, "eps": 0} | theirs)
    lr, rates = Plateau(0.7, **settings), set()
    for loss in 1 + 0.2 * rng.random(80) + np.exp(-np.arange(80) / 5):
        scheduler.step(float(loss))
        lr.observe(float(loss))
        assert lr(0) == optimizer.param_groups[0]["lr"]
        rates.add(lr(0))
    assert len(rates) > 2


def test_plateau_waits_its_patience():
    lr = Plateau(1.0, factor=0.5, patience=2)
    rates = []
    for loss in (3, 2, 2, 2, 2, 1, 1, 1, 1):  # the first to count as no improvement is the third
        lr.observe(loss)
        rates.append(lr(123))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("losses", [(-1.0, -1.0), (0.0, 0.0), (-1.0, -1.00001), (1.0, math.nan), (math.inf, math.inf)])
def test_what_is_no_improvement(losses):
    """Equal losses are none, of whatever sign."""
    lr = Plateau(1.0, factor=0.5, patience=0)
    lr.observe(losses[0])
    before = lr(0)
    lr.observe(losses[1])
    assert lr(0) == before / 2


def test_a_negative_loss_may_improve():
    lr = Plateau(1.0, patience=0)
    for loss in -0.5, -0.6, -0.7:
        lr.observe(loss)
    assert lr(0) == 1


def test_a_rate_below_the_final_one_is_not_raised():
    lr = Plateau(0.1, patience=0, final_lr=0.5)
    for _ in range(3):
        lr.observe(1.0)
    assert lr(0) == 0.1


def test_the_optimizer_passes_the_loss_on():
    inner = Plateau(1.0, factor=0.5, patience=0)
    optimizer = SGD(Warmup(inner, steps=1, start_factor=0.1))
    for _ in range(2):
        optimizer.observe(1.0)
    assert (inner(0), optimizer.learning_rate) == (0.5, 0.05)
    for lr in 0.1, Cosine(1, 10), Warmup(0.1, 3), lambda step: 0.1:
        SGD(lr).observe(1.0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda lr: pickle.loads(pickle.dumps(lr))])
def test_a_copy_of_a_plateau_goes_on_by_itself(duplicate):
    lr = Plateau(1.0, factor=0.5, patience=1)
    lr.observe(1.0)
    lr.observe(1.0)
    twin = duplicate(lr)
    assert twin == lr
    twin.observe(1.0)
    assert (lr(0), twin(0)) == (1, 0.5)


# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: OneCycle(math.nan, 10), "OneCycle max_lr: expected a finite number of at least 0, got nan"),
        (lambda: OneCycle(1, 0), "OneCycle steps: expected an integer of at least 1, got 0"),
        (lambda: OneCycle(1, 10, pct_start=1), r"OneCycle pct_start: expected a number in \[0, 1\), got 1"),
        (lambda: OneCycle(1, 10, 0.3, 0.5), "OneCycle div_factor: expected a finite number of at least 1, got 0.5"),
        (lambda: OneCycle(1, 10, 0.3, 9, 0), "OneCycle final_div_factor: expected a finite number of at least 1"),
        (lambda: StepDecay(-1, 10), "StepDecay lr: expected a finite number of at least 0, got -1"),
        (lambda: StepDecay(1, 2.5), "StepDecay every: expected an integer, got 2.5"),
        (lambda: StepDecay(1, 2, math.nan), "StepDecay factor: expected a finite number of at least 0, got nan"),
        (lambda: Cosine(1, -1), "Cosine steps: expected an integer of at least 1, got -1"),
        (lambda: Cosine(1, 1, math.inf), "Cosine final_lr: expected a finite number of at least 0, got inf"),
        (lambda: Warmup(-1, 10), "Warmup lr: expected a finite number of at least 0, got -1"),
        (lambda: Warmup("fast", 10), "Warmup lr: expected a finite number of at least 0, got 'fast'"),
        (lambda: Warmup(1, 0), "Warmup steps: expected an integer of at least 1, got 0"),
        (lambda: Warmup(1, 10, -0.5), "Warmup start_factor: expected a finite number of at least 0, got -0.5"),
        (lambda: Plateau(math.nan), "Plateau lr: expected a finite number of at least 0, got nan"),
        (lambda: Plateau(1, factor=1), r"Plateau factor: expected a number in \[0, 1\), got 1"),
        (lambda: Plateau(1, patience=-1), "Plateau patience: expected an integer of at least 0, got -1"),
        (lambda: Plateau(1, threshold=-1), "Plateau threshold: expected a finite number of at least 0, got -1"),
        (lambda: Plateau(1, cooldown=0.5), "Plateau cooldown: expected an integer, got 0.5"),
        (lambda: Plateau(1, final_lr=math.inf), "Plateau final_lr: expected a finite number of at least 0, got inf"),
        (lambda: Cosine(-1, 1), "Cosine lr: expected a finite number of at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused(build, text):
    with pytest.raises(SettingError, match=text):
        build()


def test_a_schedule_is_a_value():
    assert OneCycle(1, 10) == OneCycle(1, 10)
    assert repr(StepDecay(1.0, 10)) == "StepDecay(lr=1.0, every=10, factor=0.1)"
    assert (
        repr(Warmup(Cosine(1, 9), 10)) == "Warmup(lr=Cosine(lr=1, steps=9, final_lr=0.0), steps=10, start_factor=0.01)"
    )
    shown = "Plateau(lr=1.0, factor=0.1, patience=10, threshold=0.0001, cooldown=0, final_lr=0.0)"
    assert repr(Plateau(1.0)) == shown
