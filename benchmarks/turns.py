"""Timing in turns, so that a change of the machine's speed hits all sides alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

REST = 0.05
"""Seconds before a turn, for the threads of the side before to fall asleep: OpenMP's spin for milliseconds, on the
core that the next side wants."""

TURN, LEAST_TURNS = 0.2, 3
"""Seconds a turn lasts, or less where the time is too short for the least number of them."""


def alternate(
    sides: Mapping[Name, Callable[[], object]], seconds: float, rest: float = REST, give_up: float = math.inf
) -> dict[Name, list[float]]:
    """Run the sides in turn for about ``seconds`` a side; return all times of each, in milliseconds.

    Training runs step after step, so a turn is up to 40 runs after up to 10 that are not timed, in which threads wake
    up and caches fill. What takes longer than a turn runs once a turn, and not before it. A side that takes
    ``give_up`` times as long as the fastest has one turn.
    """
    turn = min(TURN, seconds / LEAST_TURNS)
    lengths = {name: _duration(run) for name, run in sides.items()}
    times: dict[Name, list[float]] = {name: [] for name in sides}
    running, end, turns = dict(sides), time.perf_counter() + seconds * len(sides), 0
    while turns < LEAST_TURNS or time.perf_counter() < end:
        for name, run in running.items():
            time.sleep(rest)
            times[name] += _turn(run, int(turn / lengths[name]))
        running = {name: run for name, run in sides.items() if lengths[name] <= give_up * min(lengths.values())}
        turns += 1
    return times


def summarised(times: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    low, median, high = statistics.quantiles(times * 2 if len(times) == 1 else times, n=4)
    return {"ms": median, "ms_quartile_low": low, "ms_quartile_high": high, "runs": len(times)}


def _turn(run: Callable[[], object], count: int) -> list[float]:
    for _ in range(min(10, count // 4)):
        run()
    return [1e3 * _duration(run) for _ in range(max(1, min(40, count)))]


def _duration(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
