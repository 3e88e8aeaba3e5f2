"""Show where the time of a training step goes, layer by layer, and how far each layer is from what the machine allows.

    python benchmarks/roofline.py --network resnet18 --threads 2 --json roofline-resnet18.json > resnet18.md

The step is `convnet.Trainer`'s own, of the fused model; timers are put around `forward` and `backward` of each layer,
the loss, the update and the sums of gradients where paths part. What remains of the step is Python between them, the
timers' microsecond a call included. Figures are means over the half of the steps in the middle, by time, so that they
add up.

Operations are the multiplications and additions with weights of the direct sum, whatever the algorithm (so Winograd's
may exceed the peak). Bytes are the least that a pass must move: every array that it reads or writes once, gradients of
weights, which are added to, twice; what is small enough to stay in a cache may beat the memory. The roofline of a pass
is the longer of the times that both take at the peaks of `peak.c`, measured in the same run: no implementation of the
direct sum, on data that lies in memory, can beat it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from networks import NETWORKS, Network, batch_of
from peak import bandwidth_gbytes, peak_gflops
from sides.base import LR, MOMENTUM, channels_last
from tables import table, three_digits

import convnet
from convnet.layers import graph

SMALL, OTHER = "3×3 convolutions of stride 1", "other convolutions"
KINDS = {
    "batch normalisation": (convnet.BatchNorm2d,),
    "pooling": (
        convnet.MaxPool2d,
        convnet.AvgPool2d,
        convnet.AdaptiveAvgPool2d,
        convnet.AdaptiveMaxPool2d,
        convnet.GlobalAvgPool2d,
    ),
    "dense": (convnet.Dense,),
}
SUMS, UPDATE, BETWEEN = "sums of gradients", "update", "Python between layers"

Key = tuple[str, str]
"""The name of a row and of a pass."""


class Cost(NamedTuple):
    """What a pass must do at least."""

    flops: float
    bytes: float


class Clock:
    """Seconds of each pass in each step, and the costs of the first step."""

    def __init__(self) -> None:
        self.spent: dict[Key, float] = defaultdict(float)
        self.costs: dict[Key, Cost] = {}
        self.counting = False

    def around(self, key: Key, function: Callable[..., Any], cost: Callable[..., Cost]) -> Callable[..., Any]:
        """Return the function with a timer around it; ``cost`` takes its arguments and its result."""

        def timed(*args: Any) -> Any:
            begun = time.perf_counter()
            result = function(*args)
            self.spent[key] += time.perf_counter() - begun
            if self.counting:
                before = self.costs.get(key, Cost(0, 0))
                self.costs[key] = Cost(*map(sum, zip(before, cost(*args, result), strict=True)))
            return result

        return timed

    def step(self, run: Callable[[], object]) -> tuple[float, dict[Key, float]]:
        """Run; return the seconds of all and of each pass."""
        self.spent.clear()
        begun = time.perf_counter()
        run()
        return time.perf_counter() - begun, dict(self.spent)


class Wired:
    """A trainer with timers in all places, and what is known about each before it runs."""

    def __init__(self, model: convnet.Layer, clock: Clock) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        loss, optimizer = convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(LR, momentum=MOMENTUM)
        self.trainer = convnet.Trainer(model, loss, optimizer)
        for name, layer in _leaves("", self.trainer._fused):
            self._time_layer(name, layer, clock)
        self.rows["loss"] = {"kind": "loss"}
        for which in ("forward", "backward"):
            setattr(loss, which, clock.around(("loss", which), getattr(loss, which), _traffic))
        self._sums = graph.add
        graph.add = clock.around((SUMS, "backward"), graph.add, lambda a, b, y: Cost(0, _bytes([a, b, y])))
        optimizer.step = clock.around((UPDATE, UPDATE), optimizer.step, lambda parameters, _: _update(parameters))
        self.rows |= {SUMS: {"kind": SUMS}, UPDATE: {"kind": UPDATE}}

    def unwire(self) -> None:
        """Take the timer away that others would see."""
        graph.add = self._sums

    def _time_layer(self, name: str, layer: convnet.Layer, clock: Clock) -> None:
        row = self.rows[name] = {"kind": _kind(layer), "type": type(layer).__name__}
        weights = sum(p.value.nbytes for p in layer.parameters())

        def forward(x: Any, ctx: convnet.Context, y: np.ndarray) -> Cost:
            row.update(output="×".join(map(str, y.shape[1:])), algorithm=_algorithm(layer, x))
            return Cost(_flops(layer, x), weights + _traffic(x, ctx, y).bytes)

        def backward(dy: np.ndarray, ctx: convnet.Context, dx: Any) -> Cost:
            passes = bool(weights) + ctx.wants_dx
            read = weights if ctx.wants_dx else 0
            return Cost(passes * flops(), read + 2 * weights + _traffic(dy, ctx, dx).bytes)

        def flops() -> float:
            return clock.costs[name, "forward"].flops

        layer.forward = clock.around((name, "forward"), layer.forward, forward)  # type: ignore[method-assign]
        layer.backward = clock.around((name, "backward"), layer.backward, backward)  # type: ignore[method-assign]


def _leaves(name: str, layer: convnet.Layer) -> Iterator[tuple[str, convnet.Layer]]:
    """The layers that compute something, by the path to them."""
    if isinstance(layer, convnet.Graph):
        for child_name, child in layer.named_children():
            yield from _leaves(f"{name}.{child_name}" if name else child_name, child)
    else:
        yield name, layer


def _inside(layer: convnet.Layer, kinds: tuple[type[convnet.Layer], ...]) -> convnet.Layer | None:
    """The layer itself or what is fused in it, if of one of these types."""
    parts = (layer, *(child for _, child in layer.named_children()))
    return next((part for part in parts if isinstance(part, kinds)), None)


def _kind(layer: convnet.Layer) -> str:
    conv = _inside(layer, (convnet.Conv2d,))
    if isinstance(conv, convnet.Conv2d):
        small = (conv.kernel_size, conv.stride, conv.dilation, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        return SMALL if small else OTHER
    return next((kind for kind, types in KINDS.items() if _inside(layer, types)), "other layers")


def _algorithm(layer: convnet.Layer, x: Any) -> str:
    """What `convnet.conv2d_algorithm` says of the passes: one word where they agree."""
    conv, pool = _inside(layer, (convnet.Conv2d,)), _inside(layer, (convnet.MaxPool2d,))
    if not isinstance(conv, convnet.Conv2d):
        return "–"
    settings: dict[str, Any] = {name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")}
    windows = pool.kernel_size if isinstance(pool, convnet.MaxPool2d) else None
    chosen = convnet.conv2d_algorithm(x.shape, conv.weight.shape, pool=windows, **settings)
    return chosen[0] if len(set(chosen)) == 1 else ", ".join(chosen)


def _flops(layer: convnet.Layer, x: Any) -> float:
    images = len(x[0]) if isinstance(x, tuple) else len(x)
    shape = tuple(a.shape[1:] for a in x) if isinstance(x, tuple) else x.shape[1:]
    return 2.0 * images * layer.multiply_adds(shape)


def _traffic(*args: Any) -> Cost:
    """Cost of a pass given what it was called with, a context last, and its result: nothing for a view."""
    *inputs, ctx, result = args
    read, written = _arrays(*inputs), _arrays(result)
    if written and all(any(np.may_share_memory(a, b) for b in read) for a in written):
        return Cost(0, 0)
    return Cost(0, _bytes([*read, *written, *_arrays(*vars(ctx).values())]))


def _arrays(*values: Any) -> list[np.ndarray]:
    items = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    return [item for item in items if isinstance(item, np.ndarray)]


def _bytes(arrays: list[np.ndarray]) -> float:
    """Bytes of the arrays, each once."""
    return sum({(array.ctypes.data, array.nbytes): array.nbytes for array in arrays}.values())


def _update(parameters: list[convnet.Parameter]) -> Cost:
    """Weight, gradient and momentum, each read and written."""
    return Cost(0, 6 * sum(parameter.value.nbytes for parameter in parameters))


def measure(network: Network, threads: int, seconds: float) -> dict[str, Any]:
    """Run training steps and describe where their time went."""
    convnet.set_num_threads(threads)
    peaks = [_peaks(threads)]
    clock, (x, y) = Clock(), batch_of(network)
    wired, x = Wired(network.make(), clock), channels_last(x)
    try:
        steps = _steps(lambda: wired.trainer.step(x, y), clock, seconds)
    finally:
        wired.unwire()
    peaks.append(_peaks(threads))
    gflops, gbytes = map(max, zip(*peaks, strict=True))
    middle = sorted(steps, key=lambda step: step[0])[len(steps) // 4 : -(-3 * len(steps) // 4)]
    return {
        "machine": machine.described(threads),
        "network": network.name,
        "batch": network.batch,
        "steps": len(steps),
        "peak_gflops": gflops,
        "bandwidth_gbytes": gbytes,
        "step_ms": 1e3 * _mean([total for total, _ in middle]),
        "rows": list(_rows(wired.rows, clock.costs, [spent for _, spent in middle])),
    }


def _peaks(threads: int) -> tuple[float, float]:
    gflops, gbytes = peak_gflops(threads), bandwidth_gbytes(threads)
    if gflops is None or gbytes is None:
        raise SystemExit("roofline.py needs a C compiler to measure the machine's peaks")
    return gflops, gbytes


def _steps(run: Callable[[], object], clock: Clock, seconds: float) -> list[tuple[float, dict[Key, float]]]:
    """Steps for so many seconds, after a tenth of that in which caches fill; at least four."""
    clock.counting = True
    clock.step(run)
    clock.counting = False
    begun = time.perf_counter()
    while time.perf_counter() < begun + 0.1 * seconds:
        run()
    steps = []
    while len(steps) < 4 or time.perf_counter() < begun + 1.1 * seconds:
        steps.append(clock.step(run))
    return steps


def _rows(
    known: dict[str, dict[str, str]], costs: dict[Key, Cost], steps: list[dict[Key, float]]
) -> Iterator[dict[str, Any]]:
    for name, facts in known.items():
        passes = {
            which: {"ms": 1e3 * _mean([spent.get((name, which), 0.0) for spent in steps]), **cost._asdict()}
            for (row, which), cost in costs.items()
            if row == name
        }
        if passes:
            yield {"name": name, **facts, "passes": passes}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def rest_ms(run: dict[str, Any]) -> float:
    """What the step took beyond its rows."""
    return float(run["step_ms"]) - sum(_sum([row], "ms") for row in run["rows"])


def bound_ms(run: dict[str, Any], figures: dict[str, float]) -> float:
    """The roofline of a pass."""
    return 1e-6 * max(figures["flops"] / run["peak_gflops"], figures["bytes"] / run["bandwidth_gbytes"])


def report(run: dict[str, Any]) -> str:
    """The kinds of layers, then the layers, as Markdown tables."""
    where = f"{run['network']}, {run['batch']} images a step, {run['steps']} steps. {machine.in_words(run['machine'])}"
    peaks = f"Peak {run['peak_gflops']:.0f} GFLOP/s, memory {run['bandwidth_gbytes']:.1f} GB/s."
    head = ["ms", "% of step", "GFLOP", "MB", "% of peak", "% of bandwidth", "bound by", "% of roofline"]
    rows = run["rows"]
    layers = [[*_labels(row), *_pass_times(row), *_figures(run, [row])] for row in rows]
    kinds = dict.fromkeys([SMALL, OTHER, *KINDS, "other layers", *(row["kind"] for row in rows)])
    grouped = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    groups = [[kind, str(len(some)), *_figures(run, some)] for kind, some in grouped.items() if some]
    rest = rest_ms(run)
    groups.append([BETWEEN, "", three_digits(rest), f"{100 * rest / run['step_ms']:.1f}", *["–"] * 6])
    groups.append(["step", str(len(rows)), *_figures(run, rows, run["step_ms"])])
    return "\n\n".join(
        [
            f"{where} {peaks}",
            table(["", "rows", *head], groups),
            table(["", "layer", "output", "algorithm", "forward", "backward", *head], layers),
        ]
    )


def _labels(row: dict[str, Any]) -> list[str]:
    return [row["name"], *(row.get(what, "–") for what in ("type", "output", "algorithm"))]


def _pass_times(row: dict[str, Any]) -> list[str]:
    passes = row["passes"]
    return [three_digits(passes[which]["ms"]) if which in passes else "–" for which in ("forward", "backward")]


def _figures(run: dict[str, Any], rows: list[dict[str, Any]], ms: float | None = None) -> list[str]:
    """Figures of rows together; ``ms`` is given where they took longer than the sum of theirs."""
    ms = _sum(rows, "ms") if ms is None else ms
    flops, moved = 1e-6 * _sum(rows, "flops") / run["peak_gflops"], 1e-6 * _sum(rows, "bytes") / run["bandwidth_gbytes"]
    least = sum(bound_ms(run, figures) for row in rows for figures in row["passes"].values())
    return [
        three_digits(ms),
        f"{100 * ms / run['step_ms']:.1f}",
        three_digits(1e-9 * _sum(rows, "flops")) if flops else "–",
        three_digits(1e-6 * _sum(rows, "bytes")) if moved else "–",
        f"{100 * flops / ms:.0f}" if flops else "–",
        f"{100 * moved / ms:.0f}" if moved else "–",
        ("arithmetic" if flops > moved else "memory") if least else "–",
        f"{100 * least / ms:.0f}" if least else "–",
    ]


def _sum(rows: list[dict[str, Any]], what: str) -> float:
    return sum(figures[what] for row in rows for figures in row["passes"].values())


def main() -> None:
    """Run, or read the JSON of a run, and show it."""
    options = _options()
    if options.read:
        run = json.loads(Path(options.read).read_text())
    else:
        network = next(network for network in NETWORKS if network.name == options.network)
        run = measure(network._replace(batch=options.batch or network.batch), options.threads, options.seconds)
    if options.json:
        Path(options.json).write_text(json.dumps(run, indent=1) + "\n")
    print(report(run))
    if options.chart:
        from charts import chart_roofline

        chart_roofline(run, options.chart)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [network.name for network in NETWORKS]
    parser.add_argument("--network", default="resnet18", choices=names, help="which")
    parser.add_argument("--batch", type=int, help="images a step, instead of the network's own number")
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="time for the steps")
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--read", metavar="FILE", help="measure nothing, show the figures that --json wrote")
    parser.add_argument("--chart", metavar="FILE", help="also draw the layers' times into this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
