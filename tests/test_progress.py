"""The progress bar: on a terminal, not often, and nothing anywhere else."""

import contextlib
import io
import os
import sys
import threading

import numpy as np
import pytest

from convnet.layers import Dense
from convnet.losses import SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Trainer, _progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Every look at it takes a hundredth of a second."""

    now = 0.0

    def perf_counter(self):
        self.now += 0.01
        return self.now


def fit(**settings):
    x, y = np.zeros((200, 4), np.float32), np.zeros(200, int)
    Trainer(Dense(4, 3, rng=0), SoftmaxCrossEntropy(), SGD(0.0)).fit((x, y), epochs=2, batch_size=2, **settings)


def shown_on_a_terminal(**settings):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(**settings)
    return terminal.getvalue()


def pictures(text):
    return [picture for picture in text.replace("\n", "\r").split("\r") if picture.strip()]


def test_the_last_picture_tells_everything():
    text = shown_on_a_terminal()
    assert text.endswith("\n")
    for part in ("epoch 2/2", "100 %", "00:00 left", "loss ", "accuracy ", " images/s"):
        assert part in pictures(text)[-1]


def everything_on(master):
    """What was written to a pseudo-terminal that is closed again."""
    with open(master, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # the end is an error, EIO
        yield from iter(lambda: screen.read(4096), b"")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pseudo-terminals may lose what nobody has read yet")
@pytest.mark.parametrize("size", [(24, 120), (24, 40), (24, 0), (0, 0)], ids="{0[0]}x{0[1]}".format)
def test_a_terminal_of_any_size_shows_the_bar(size):
    termios, (master, slave) = pytest.importorskip("termios"), os.openpty()
    termios.tcsetwinsize(slave, size)
    with open(slave, "w") as terminal, contextlib.redirect_stderr(terminal):
        fit()
    last = pictures(b"".join(everything_on(master)).decode())[-1].rstrip()
    assert last.startswith("epoch 2/2 100 %|")
    assert "00:00 left" in last
    assert len(last) <= 39 if size[1] == 40 else last.endswith(" images/s")


def test_steps_are_not_all_drawn(monkeypatch):
    monkeypatch.setattr(_progress, "time", Clock())
    # 200 steps, a look at the clock each, are 2 s: ten pictures a second, and one at the start and at each epoch's end.
    assert 15 <= len(pictures(shown_on_a_terminal())) <= 26


def test_no_bar_if_not_wanted():
    assert shown_on_a_terminal(progress=False) == ""


def test_no_bar_where_there_is_no_terminal(capfd):
    fit()
    assert capfd.readouterr() == ("", "")


def test_no_thread_watches():
    shown_on_a_terminal()
    assert not [thread for thread in threading.enumerate() if "monitor" in type(thread).__name__.lower()]
