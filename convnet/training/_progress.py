"""The live progress bar."""

import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from convnet.training._history import Epoch
from convnet.training._meter import Meter

__all__ = ["ProgressBar"]

INTERVAL = 0.1
"""Seconds between two pictures: a step may take less than a millisecond, and a picture takes a tenth of that."""

ROWS = 20
"""What tqdm takes for the height of a terminal that does not tell it; one bar needs no more."""

FORMAT = "{desc} {percentage:3.0f} %|{bar}| {remaining} left{postfix}"
ENDLESS_FORMAT = "{desc} {n_fmt} images{postfix}"


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    monitor_interval = 0  # no watching thread: it would make every later fork unsafe
    _lock = threading.RLock()  # tqdm's own is shared between processes, which costs imports and a semaphore


def _columns(stream: TextIO) -> int | None:
    """Columns to draw in, without the last, where some terminals break the line; None for all that there is to say.

    Terminals without a size (serial lines, containers, some services that run builds) report 0.
    """
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):  # no real file behind the stream
        return None
    return columns - 1 if columns > 0 else None


class ProgressBar:
    """One bar for a whole run: epoch, time left, loss, accuracy, images a second; or a line an epoch.

    Parameters
    ----------
    images : int or None
        Images of one epoch; None where nobody knows.
    epochs : int
        Epochs of the run.
    shown : bool or "plain"
        False shows nothing, "plain" writes a line an epoch, True shows the bar, where standard error is a terminal.
    before : int
        Images of the run that were done before a break.
    """

    def __init__(self, images: int | None, epochs: int, shown: bool | str, before: int = 0) -> None:
        self._images, self._epochs, self._before = images, epochs, before
        self._plain = shown == "plain"
        self._bar = _Bar(
            total=None if images is None else images * epochs,
            initial=before,
            disable=None if shown is True else True,  # None: where standard error is no terminal
            bar_format=ENDLESS_FORMAT if images is None else FORMAT,
            ncols=_columns(sys.stderr),
            nrows=ROWS,
            mininterval=0,
        )
        self._seen = (1, 0, 0)  # an epoch, the images before it, the images of it so far
        self._begun = self._drawn = time.perf_counter()
        if not self._bar.disable:
            self._draw(1 if images is None else min(before // images + 1, epochs), before, "")

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, epoch: int, meter: Meter) -> None:
        """Tell that ``meter`` has grown in ``epoch``; drawn from time to time."""
        if time.perf_counter() - self._drawn >= INTERVAL:
            self.show(epoch, meter)

    def finish(self, epoch: Epoch) -> None:
        """Write the line of an epoch, if there are lines."""
        if self._plain:
            sys.stderr.write(f"{epoch}\n")
            sys.stderr.flush()

    def show(self, epoch: int, meter: Meter) -> None:
        """Draw the state now."""
        self._drawn = time.perf_counter()
        if not self._bar.disable:
            done = self._done(epoch, meter.images)
            self._draw(epoch, done, self._figures(done, meter))

    def _done(self, epoch: int, images: int) -> int:
        """Images of the run, of which this epoch has seen so many."""
        if self._images is not None:
            return (epoch - 1) * self._images + images
        number, before, seen = self._seen
        self._seen = (epoch, before + seen if epoch > number else before, images)
        return self._seen[1] + images

    def _draw(self, epoch: int, done: int, figures: str) -> None:
        self._bar.ncols = _columns(sys.stderr)  # windows change their size
        self._bar.set_description_str(f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(figures, refresh=False)
        self._bar.update(done - self._bar.n)

    def _figures(self, done: int, meter: Meter) -> str:
        parts = [f"loss {meter.loss:.4f}"]
        if meter.accuracy is not None:
            parts.append(f"accuracy {100 * meter.accuracy:.2f} %")
        parts.append(f"{(done - self._before) / (self._drawn - self._begun):,.0f} images/s")
        return ", ".join(parts)
