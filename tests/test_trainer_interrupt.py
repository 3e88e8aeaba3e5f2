"""Ctrl-C between two steps, never inside one."""

import os
import signal

import numpy as np
import pytest

from convnet.layers import Dense
from convnet.losses import SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Trainer
from convnet.training._interrupt import InterruptBetweenSteps

pytestmark = pytest.mark.skipif(os.name != "posix", reason="os.kill sends SIGINT on POSIX only")


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class CtrlCInForward(Dense):
    """Presses Ctrl-C in its third training step."""

    calls = 0

    def forward(self, x, ctx=None):
        self.calls += 1
        if self.calls in (7, 8):  # again, by an impatient user, in the same step or the next
            press_ctrl_c()
        return super().forward(x, ctx)


def test_fit_finishes_the_step_and_keeps_the_history(rng):
    x, y = rng.random((20, 4)).astype(np.float32), rng.integers(3, size=20)
    before = signal.getsignal(signal.SIGINT)
    stopped = Trainer(CtrlCInForward(4, 3, rng=0), SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit((x, y), epochs=5, batch_size=5, shuffle=False)
    whole = Trainer(Dense(4, 3, rng=0), SoftmaxCrossEntropy(), SGD(0.1))
    for step in range(7):
        start = 5 * (step % 4)
        whole.step(x[start : start + 5], y[start : start + 5])
    assert stopped.optimizer.steps == 7
    np.testing.assert_array_equal(stopped.model.weight.value, whole.model.weight.value)
    np.testing.assert_array_equal(stopped.model.weight.grad, 0)
    assert [epoch.epoch for epoch in stopped.history] == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_late_in_the_block_is_not_lost():
    reached = []

    def press_late():
        with InterruptBetweenSteps():
            press_ctrl_c()
            reached.append("the end of the block")

    with pytest.raises(KeyboardInterrupt):
        press_late()
    assert reached


def test_a_handler_of_the_user_is_called_instead(monkeypatch):
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        with InterruptBetweenSteps() as interrupt:
            press_ctrl_c()
            assert caught == []
            interrupt.check()
            assert caught == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with InterruptBetweenSteps() as interrupt:
            press_ctrl_c()
            interrupt.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
