"""Ctrl-C between two steps, never inside one."""

import signal
import threading
from types import FrameType, TracebackType

__all__ = ["InterruptBetweenSteps"]


class InterruptBetweenSteps:
    """Holds Ctrl-C (SIGINT) back until the caller can stop without leaving anything half done.

    Inside the ``with`` block the signal is only noted; `check` and the end of the block then do what the signal would
    have done, as a rule raise KeyboardInterrupt. Outside the main thread, where Python delivers no signals, nothing is
    changed.

    Examples
    --------
    >>> with InterruptBetweenSteps() as interrupt:
    ...     for _ in range(3):
    ...         interrupt.check()
    """

    def __enter__(self) -> "InterruptBetweenSteps":
        self._pending: tuple[int, FrameType | None] | None = None
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT) if in_main_thread else None
        if callable(self._before):  # neither ignored nor left to the operating system
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending = number, frame

    def check(self) -> None:
        """Let a signal that came meanwhile take effect."""
        if self._pending is not None and callable(self._before):
            number, frame = self._pending
            self._pending = None
            self._before(number, frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if callable(self._before):
            signal.signal(signal.SIGINT, self._before)
        self.check()
