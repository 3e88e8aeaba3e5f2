"""Timing in turns, so that a change of the machine's speed hits all sides alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

REST = 0.05
"""Seconds before a turn, for the threads of the side before to fall asleep: OpenMP's spin for milliseconds, on the
core that the next side wants."""

TURN, WARM = 0.2, 0.05
"""Seconds a turn lasts, and its first part, in which threads wake up and caches fill and which is not timed."""

LEAST_TURNS = 3


def alternate(sides: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Run the sides in turn for about ``seconds`` a side; return all times of each, in milliseconds.

    Training runs step after step, so a turn is up to 40 runs after up to 10 that are not timed. What takes longer than
    a turn runs once a turn, and not before it.
    """
    lengths = {name: _duration(run) for name, run in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    end, turns = time.perf_counter() + seconds * len(sides), 0
    while turns < LEAST_TURNS or time.perf_counter() < end:
        for name, run in sides.items():
            time.sleep(REST)
            for _ in range(min(10, int(WARM / lengths[name]))):
                run()
            times[name] += [1e3 * _duration(run) for _ in range(max(1, min(40, int(TURN / lengths[name]))))]
        turns += 1
    return times


def summarised(times: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    low, median, high = statistics.quantiles(times, n=4)
    return {"ms": median, "ms_quartile_low": low, "ms_quartile_high": high, "runs": len(times)}


def _duration(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
