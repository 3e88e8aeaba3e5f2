import math

import numpy as np
import pytest

from convnet.errors import SettingError
from convnet.optim import Cosine, OneCycle, StepDecay


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
        (lambda: Cosine(-1, 1), "Cosine lr: expected a finite number of at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused(build, text):
    with pytest.raises(SettingError, match=text):
        build()


def test_a_schedule_is_a_value():
    assert OneCycle(1, 10) == OneCycle(1, 10)
    assert repr(StepDecay(1.0, 10)) == "StepDecay(lr=1.0, every=10, factor=0.1)"
