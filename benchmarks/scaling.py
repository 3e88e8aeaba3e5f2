"""Show how time and memory of a training step grow: straight lines, or there is a cliff to find.

    python benchmarks/scaling.py --threads 2 --json scaling.json --chart scaling.png > scaling.md

Each sweep changes one thing and keeps the rest. What is printed beside the median time is the cost: time over work,
relative to the cheapest point of the sweep. Small work costs more, as every call has a price, so the cost should fall
and then stay; a point that costs a quarter more than the one before is named, as that is what a cliff looks like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import machine
import memory
import numpy as np
from sides.base import channels_last
from tables import table, three_digits
from turns import alternate, summarised

import convnet

CLIFF = 1.25
"""How much more than the point before it a point may cost before it is named."""


class Sweep(NamedTuple):
    """One thing that changes."""

    title: str
    points: Sequence[int]
    work: Callable[[int], float]
    """What the time should be proportional to."""
    step: Callable[[int], Callable[[], object]]
    """Builds the step of a point."""


def step_of(model: convnet.Layer, input_shape: tuple[int, int, int], batch: int) -> Callable[[], object]:
    """One training step towards zeros; the rate is so low that thousands of them lead nowhere else."""
    x = channels_last(np.random.default_rng(0).random((batch, *input_shape), np.float32))
    y = np.zeros((batch, *model.output_shape(input_shape)), np.float32)
    trainer = convnet.Trainer(model, convnet.MeanSquaredError(), convnet.optim.SGD(1e-9, momentum=0.9))
    return lambda: trainer.step(x, y)


def _convolutions(depth: int, channels: int) -> convnet.Sequential:
    rng = np.random.default_rng(0)
    layers = [(convnet.Conv2d(channels, channels, 3, padding=1, rng=rng), convnet.ReLU()) for _ in range(depth)]
    return convnet.Sequential(*(layer for pair in layers for layer in pair))


def _with_threads(threads: int) -> Callable[[], object]:
    step = step_of(_convolutions(2, 64), (64, 56, 56), 8)

    def run() -> None:
        before = convnet.get_num_threads()
        convnet.set_num_threads(threads)
        step()
        convnet.set_num_threads(before)

    return run


SWEEPS = {
    "batch": Sweep(
        "lenet, against the batch size",
        [1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256],
        float,
        lambda n: step_of(convnet.models.lenet(rng=0), (1, 28, 28), n),
    ),
    "side": Sweep(
        "two 3×3 convolutions of 16 channels, batch 4, against the side of the images",
        [4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 224],
        lambda side: side**2,
        lambda side: step_of(_convolutions(2, 16), (16, side, side), 4),
    ),
    "channels": Sweep(
        "two 3×3 convolutions of 28×28, batch 4, against the channels",
        [1, 2, 3, 4, 6, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 64, 96, 128, 192, 256],
        lambda channels: channels**2,
        lambda channels: step_of(_convolutions(2, channels), (channels, 28, 28), 4),
    ),
    "depth": Sweep(
        "3×3 convolutions of 16 channels, 28×28, batch 4, against their number",
        [1, 2, 4, 8, 16, 32, 64],
        float,
        lambda depth: step_of(_convolutions(depth, 16), (16, 28, 28), 4),
    ),
    "threads": Sweep(
        "two 3×3 convolutions of 64 channels, 56×56, batch 8, against the threads",
        range(1, (os.cpu_count() or 1) + 1),
        lambda threads: 1 / threads,
        _with_threads,
    ),
}


def main() -> None:
    """Run, or read the JSON of a run, and show it."""
    options = _options()
    run = json.loads(Path(options.read).read_text()) if options.read else measure(options)
    if options.json:
        Path(options.json).write_text(json.dumps(run, indent=1) + "\n")
    print(report(run))
    if options.chart:
        from charts import chart_scaling

        chart_scaling(run, options.chart)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the sweeps that are asked for."""
    convnet.set_num_threads(options.threads)
    sweeps = {}
    for name in options.sweeps:
        print(name, file=sys.stderr, flush=True)
        sweep = SWEEPS[name]
        points = [point for point in sweep.points if point <= options.largest]
        memories = [_memory(sweep, point) for point in points]
        times = alternate({point: sweep.step(point) for point in points}, options.seconds, rest=0)
        sweeps[name] = {
            "title": sweep.title,
            "points": [
                {"x": x, "work": sweep.work(x), "memory": peak, **summarised(times[x])}
                for x, peak in zip(points, memories, strict=True)
            ],
        }
    return {"machine": machine.described(options.threads), "seconds": options.seconds, "sweeps": sweeps}


def _memory(sweep: Sweep, point: int) -> int | None:
    """Peak bytes of the third step, over what the process held before there was a model; None where nobody can tell."""
    if not memory.measurable():
        return None
    convnet.empty_cache()
    memory.give_back()
    before = memory.held()
    step = sweep.step(point)
    for _ in range(2):
        step()
    return memory.peak_during(step) - before


def costs(points: Sequence[dict[str, Any]]) -> list[float]:
    """Time over work, relative to the cheapest point."""
    absolute = [point["ms"] / point["work"] for point in points]
    return [cost / min(absolute) for cost in absolute]


def cliffs(points: Sequence[dict[str, Any]]) -> dict[int, float]:
    """The points that cost more than the one before, and how many times more."""
    cost = costs(points)
    rises = {point["x"]: after / before for point, before, after in zip(points[1:], cost, cost[1:], strict=False)}
    return {x: rise for x, rise in rises.items() if rise > CLIFF}


def report(run: dict[str, Any]) -> str:
    """All sweeps as Markdown tables."""
    parts = [machine.in_words(run["machine"])]
    for name, sweep in run["sweeps"].items():
        points = sweep["points"]
        rows = [_row(point, cost) for point, cost in zip(points, costs(points), strict=True)]
        found = ", ".join(f"{x} ({rise:.2f} times the point before)" for x, rise in cliffs(points).items())
        parts.append(f"### {sweep['title'][0].upper()}{sweep['title'][1:]}")
        parts.append(table([name, "ms", "cost", "MB"], rows))
        parts.append(f"Cliffs: {found or 'none'}.")
    return "\n\n".join(parts)


def _row(point: dict[str, Any], cost: float) -> list[str]:
    held = "–" if point["memory"] is None else three_digits(point["memory"] / 1e6)
    return [str(point["x"]), three_digits(point["ms"]), f"{cost:.2f}", held]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", nargs="+", default=list(SWEEPS), choices=list(SWEEPS), help="which")
    parser.add_argument("--largest", type=int, default=1000, help="leave out points beyond this")
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each point")
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--read", metavar="FILE", help="measure nothing, show the figures that --json wrote")
    parser.add_argument("--chart", metavar="FILE", help="also draw time and memory into this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
