"""Compare convnet with other libraries, side by side in one process, and check that they compute the same.

    python benchmarks/compare.py --threads 2 --json run.json --chart run.png > tables.md

Three kinds of work are compared: training steps (zero gradients, forward, loss, backward, update by SGD with momentum)
and inference of the networks in `networks.py`, and the three passes of the convolutions in `shapes.py`. All sides
start from the same weights and images, in the memory layout that each likes best; their results are compared with
PyTorch's in float64 before anything is timed (`cases.py` derives the limits). Then they take turns (`turns.py`). What
is printed are medians, as Markdown tables; progress goes to standard error. A library that is not installed, or fails,
is left out and said to be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import machine
import memory
from cases import Arrays, Case, check, convolution_case, inference_case, step_case
from networks import NETWORKS
from peak import peak_gflops
from shapes import PASSES, SHAPES
from sides import OURS, SIDES, THROUGH_ONNX, NotOfferedError, Side, UnavailableError, Work, reference
from tables import report
from turns import alternate, summarised

import convnet


def main() -> None:
    """Run, or read the JSON of a run, and show it."""
    options = _options()
    run = json.loads(Path(options.read).read_text()) if options.read else compare(options)
    if options.json:
        Path(options.json).write_text(json.dumps(run, indent=1) + "\n")
    print(report(run))
    if options.chart:
        from charts import chart_comparison

        chart_comparison(run, options.chart)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all that is asked for."""
    machine.keep_to_cpus(options.threads)
    peaks = [peak_gflops(options.threads)]
    sides, absent = _sides(options)
    try:
        exact = reference(options.threads)
    except UnavailableError as error:
        raise SystemExit(f"compare.py measures all numbers against PyTorch: {error}") from error
    results: list[dict[str, Any]] = []
    makes, begun = list(_cases(options)), time.perf_counter()
    for make in makes:
        case = make()
        left = _left(time.perf_counter() - begun, len(results), len(makes))
        _say(f"{len(results) + 1}/{len(makes)} {case.kind} {case.name}, batch {case.batch}{left}")
        result = _measure(case, sides, exact, options.seconds)
        if case.kind == "step" and options.memory:
            result["memory"] = _memory(case, options.threads, result["sides"])
        results.append(result)
    peaks.append(peak_gflops(options.threads))
    return {
        "machine": machine.described(options.threads),
        "versions": {name: side.version for name, side in sides.items()},
        "absent": absent,
        "seconds": options.seconds,
        "peak_gflops": max(filter(None, peaks), default=None),
        "cases": results,
    }


def _left(seconds: float, done: int, count: int) -> str:
    """How long the rest will take if cases go on as they did so far."""
    return f" (about {seconds / done * (count - done) / 60:.0f} min left)" if done else ""


def _cases(options: argparse.Namespace) -> Iterator[Callable[[], Case]]:
    """What makes each case, one after the other, as their arrays fill gigabytes."""
    for network in NETWORKS:
        if network.name in options.networks:
            yield lambda network=network: step_case(network)
            for batch in sorted({1, network.batch}):
                yield lambda network=network, batch=batch: inference_case(network, batch)
    for shape in SHAPES:
        if any(part in str(shape) for part in options.shapes):
            for which in PASSES:
                yield lambda shape=shape, which=which: convolution_case(shape, which)


def _measure(case: Case, sides: dict[str, Side], exact: Side, seconds: float) -> dict[str, Any]:
    """Check one case, time it, and describe the outcome."""
    expected = _results(case, case.work(exact))
    works, skipped = {}, {}
    for name, side in sides.items():
        try:
            works[name] = case.work(side)
            check(case, expected, _results(case, works[name]))
        except NotOfferedError:
            continue
        except Exception as error:
            if name == OURS:
                raise
            works.pop(name, None)
            skipped[name] = _reason(error)
            _say(f"  {name} is left out: {skipped[name]}")
    times = alternate({name: work.run for name, work in works.items()}, seconds, give_up=20)
    described = {
        "kind": case.kind,
        "name": case.name,
        "batch": case.batch,
        "flops": case.flops,
        "algorithm": case.algorithm,
    }
    return described | {"sides": {name: summarised(t) for name, t in times.items()}, "skipped": skipped}


def _results(case: Case, work: Work) -> Arrays:
    for _ in range(case.runs):
        work.run()
    return {name: array.copy() for name, array in work.results().items()}


def _reason(error: Exception) -> str:
    """What kept a side out, in one line."""
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, (UnavailableError, ArithmeticError)) else f"{type(error).__name__}: {first}"


def _memory(case: Case, threads: int, timed: Collection[str]) -> dict[str, int]:
    """Peak bytes of a step of each side that took part."""
    peaks = {}
    for name in timed:
        try:
            peaks[name] = memory.peak_of_step(name, case.name, threads)
        except UnavailableError as error:
            _say(f"  no memory of {name}: {error}")
    return peaks


def _sides(options: argparse.Namespace) -> tuple[dict[str, Side], dict[str, str]]:
    """The sides that take part, and why others do not."""
    sides, absent = {}, {}
    for name, make in SIDES.items():
        if name not in options.sides or (name == "torch compile" and not options.compile):
            continue
        try:
            sides[name] = make(options.threads)
        except UnavailableError as error:
            absent[name] = str(error)
            _say(f"{name} is left out: {error}")
    return sides, absent


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names, others = [network.name for network in NETWORKS], [name for name in SIDES if name != THROUGH_ONNX]
    parser.add_argument(
        "--networks", nargs="*", default=names, choices=names, help="which; none after the option: none"
    )
    parser.add_argument(
        "--shapes", nargs="*", default=[""], metavar="TEXT", help="only shapes whose name has this in it"
    )
    parser.add_argument("--sides", nargs="+", default=others, choices=list(SIDES), help="which libraries")
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="without torch.compile, which is slow"
    )
    parser.add_argument(
        "--no-memory", dest="memory", action="store_false", help="without the processes that measure it"
    )
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each side of each case")
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--read", metavar="FILE", help="measure nothing, show the figures that --json wrote")
    parser.add_argument("--chart", metavar="FILE", help="also draw the ratios into this file")
    options = parser.parse_args(arguments)
    options.sides = list(dict.fromkeys([OURS, *options.sides]))
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
