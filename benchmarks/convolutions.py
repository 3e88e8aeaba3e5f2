"""Time Winograd's convolution against the direct one: the three passes of 3 x 3 layers, in GFLOP/s of the direct sum.

The algorithms take turns, so that a change of the machine's speed hits both; each call comes twice, as its memory may
have gone to others meanwhile, and the best of all second ones counts. The last column tells what `conv2d_algorithm`
chooses: W for Winograd's algorithm, d for the direct one.

    CONVNET_CPU=avx2 python benchmarks/convolutions.py --threads 1 4x64x224 64x32x16
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from shapes import SHAPES, Shape

import convnet
from convnet.functional import conv2d, conv2d_backward

LAYERS = [shape for shape in SHAPES if (shape.kernel, shape.stride, shape.groups) == (3, 1, 1)]
PASSES = "forward", "dx", "dw"


def calls(shape: Shape) -> dict[tuple[str, str], Callable[[], object]]:
    """One call for each pass and algorithm, on channels-last maps."""
    n, c, size, out = shape.batch, shape.channels, shape.side, shape.out
    rng = np.random.default_rng(0)
    maps = (rng.standard_normal((n, size, size, k), np.float32).transpose(0, 3, 1, 2) for k in (c, out))
    (x, dy), w = maps, rng.standard_normal((out, c, 3, 3), np.float32)
    dw = np.zeros_like(w)
    made: dict[tuple[str, str], Callable[[], object]] = {}
    for algorithm in ("direct", "winograd"):
        given = {"padding": 1, "algorithm": algorithm}
        made["forward", algorithm] = lambda given=given: conv2d(x, w, **given)
        made["dx", algorithm] = lambda given=given: conv2d_backward(dy, x, w, dw=False, db=False, **given)
        made["dw", algorithm] = lambda given=given: conv2d_backward(dy, x, w, dx=False, dw=dw, **given)
    return made


def best_times(made: dict[tuple[str, str], Callable[[], object]], rounds: int) -> dict[tuple[str, str], float]:
    """Seconds of the fastest call of each kind."""
    best = dict.fromkeys(made, float("inf"))
    for _ in range(rounds):
        for kind, call in made.items():
            call()
            start = time.perf_counter()
            call()
            best[kind] = min(best[kind], time.perf_counter() - start)
    return best


def main() -> None:
    """Print a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="*", default=[""], help="only layers whose name has one of these in it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    convnet.set_num_threads(options.threads)
    print(convnet.show_versions()["kernels"], f"{options.threads} threads")
    print(f"{'layer':<18}" + "".join(f"{name + ': direct, Winograd':>28}" for name in PASSES) + "  auto")
    for shape in LAYERS:
        if not any(text in str(shape) for text in options.layers):
            continue
        best = best_times(calls(shape), options.rounds)
        rates = [2e-9 * shape.multiply_adds / seconds for seconds in best.values()]
        columns = [f"{d:>13.0f} {w:>6.0f} ({w / d:.1f}x)" for d, w in zip(rates[:3], rates[3:], strict=True)]
        sizes = (shape.batch, shape.channels, shape.side, shape.side), (shape.out, shape.channels, 3, 3)
        letters = "".join("W" if name == "winograd" else "d" for name in convnet.conv2d_algorithm(*sizes, padding=1))
        print(f"{shape!s:<18}" + "".join(f"{column:>28}" for column in columns) + f"  {letters}", flush=True)


if __name__ == "__main__":
    main()
