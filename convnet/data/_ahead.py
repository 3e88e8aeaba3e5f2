"""Work done in threads ahead of the one that needs it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

_AHEAD = 2
"""Results a thread is ahead at most: one in the making, one that waits."""


def ahead(prepare: Callable[[int], T], numbers: Iterable[int], workers: int) -> Iterator[T]:
    """Yield ``prepare(number)`` for each number, in order, each call begun in order in one of ``workers`` threads.

    The threads live as long as the iterator. An error appears where its result is asked for.
    """
    pool = ThreadPoolExecutor(workers, "convnet-data")
    waiting: deque[Future[T]] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(prepare, number))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
