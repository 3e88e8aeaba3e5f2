"""Time one epoch of MNIST in convnet and in PyTorch, and tell how well both have learned.

    CONVNET_DATA=~/data python benchmarks/mnist_epoch.py --threads 2 --seeds 10 --json mnist.json

Two convolutions with pools, two dense layers, batches of 256, Adam with a one-cycle learning rate. The sides train in
turns, epoch by epoch; for a seed all start from the same weights. Each epoch is the whole training: shuffled batches
cut from arrays that lie in memory as float32, in the layout that the side likes. Loading them, and the test, are not
timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from sides import OURS
from tables import table, three_digits

import convnet
from convnet.data import mnist

BATCH, MAX_LR, HIDDEN = 256, 0.006, 256
REST = 0.5
"""Seconds between epochs, for the threads of the side before to fall asleep."""

Train = Callable[[int], Callable[[], float]]
"""Trains an epoch from a seed; returns what tests the result: the fraction of the test images told right."""


def model_of(seed: int) -> convnet.Sequential:
    """The network, about 227,000 weights."""
    rng = np.random.default_rng(seed)
    return convnet.Sequential(
        convnet.Conv2d(1, 24, 5, rng=rng),
        convnet.MaxPool2d(2),
        convnet.ReLU(),
        convnet.Conv2d(24, 32, 3, rng=rng),
        convnet.MaxPool2d(2),
        convnet.ReLU(),
        convnet.Flatten(),
        convnet.Dense(32 * 5 * 5, HIDDEN, rng=rng),
        convnet.ReLU(),
        convnet.Dense(HIDDEN, 10, rng=rng),
        input_shape=(1, 28, 28),
    )


def ours(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> Train:
    """`convnet.Trainer.fit`."""
    steps = -(-len(train[0]) // BATCH)

    def epoch(seed: int) -> Callable[[], float]:
        optimizer = convnet.optim.Adam(convnet.optim.OneCycle(MAX_LR, steps))
        trainer = convnet.Trainer(model_of(seed), convnet.SoftmaxCrossEntropy(), optimizer)
        trainer.fit((train[0], train[1]), batch_size=BATCH, rng=seed, progress=False)
        return lambda: trainer.evaluate((test[0], test[1]))["accuracy"]

    return epoch


def pytorch(train: Sequence[np.ndarray], test: Sequence[np.ndarray], layout: str) -> Train:
    """The usual loop, with the fused update."""
    import torch
    from networks import torch_twin

    memory_format = getattr(torch, layout)
    x, x_test = (torch.from_numpy(arrays[0]).to(memory_format=memory_format) for arrays in (train, test))
    y, y_test = (torch.from_numpy(arrays[1]) for arrays in (train, test))
    steps = -(-len(x) // BATCH)

    def epoch(seed: int) -> Callable[[], float]:
        twin: Any = torch_twin(model_of(seed))
        twin = twin.to(memory_format=memory_format)
        optimizer = torch.optim.Adam(twin.parameters(), lr=MAX_LR, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps, cycle_momentum=False)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        for indices in order.split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(twin(x[indices]), y[indices]).backward()
            optimizer.step()
            schedule.step()
        return lambda: _accuracy(twin)

    def _accuracy(twin: Any) -> float:
        with torch.inference_mode():
            return float((twin(x_test).argmax(1) == y_test).float().mean())

    return epoch


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Let the sides train in turns."""
    machine.keep_to_cpus(options.threads)
    train, test = ((x[: options.images] / np.float32(255), y[: options.images]) for x, y in mnist())
    sides = _sides(options.threads, train, test)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    accuracy: dict[str, list[float]] = {name: [] for name in sides}
    for seed in range(options.seeds):
        for name, side in sides.items():
            time.sleep(REST)
            begun = time.perf_counter()
            tested = side(seed)
            seconds[name].append(time.perf_counter() - begun)
            accuracy[name].append(tested())
    described = {"images": len(train[0]), "batch": BATCH, "seeds": options.seeds}
    return {
        "machine": machine.described(options.threads),
        **described,
        "sides": {name: {"seconds": seconds[name], "accuracy": accuracy[name]} for name in sides},
    }


def _sides(threads: int, train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> dict[str, Train]:
    convnet.set_num_threads(threads)
    sides = {OURS: ours(train, test)}
    try:
        import torch
    except ImportError:
        return sides
    torch.set_num_threads(threads)
    for name, layout in (("torch NCHW", "contiguous_format"), ("torch channels_last", "channels_last")):
        sides[name] = pytorch(train, test, layout)
    return sides


def report(run: dict[str, Any]) -> str:
    """Time and accuracy as a Markdown table."""
    times = {name: statistics.median(side["seconds"]) for name, side in run["sides"].items()}
    rows = [_row(name, side, times) for name, side in run["sides"].items()]
    head = ["", "s, median", "s, min", "s, max", "accuracy, %", "standard deviation", "convnet is faster"]
    images = f"{run['images']:,} images in batches of {run['batch']}, {run['seeds']} seeds."
    return f"{images} {machine.in_words(run['machine'])}\n\n{table(head, rows)}"


def _row(name: str, side: dict[str, list[float]], times: dict[str, float]) -> list[str]:
    seconds, percent = side["seconds"], [100 * value for value in side["accuracy"]]
    spread = statistics.stdev(percent) if len(percent) > 1 else 0.0
    figures = [three_digits(value) for value in (times[name], min(seconds), max(seconds))]
    ratio = "–" if name == OURS else f"{times[name] / times[OURS]:.2f} times"
    return [name, *figures, f"{statistics.mean(percent):.2f}", f"{spread:.2f}", ratio]


def main() -> None:
    """Run, or read the JSON of a run, and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="epochs of each side, each from its own seed")
    parser.add_argument("--images", type=int, default=60_000, help="at most so many images")
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--read", metavar="FILE", help="measure nothing, show the figures that --json wrote")
    options = parser.parse_args()
    run = json.loads(Path(options.read).read_text()) if options.read else measure(options)
    if options.json:
        Path(options.json).write_text(json.dumps(run, indent=1) + "\n")
    print(report(run))


if __name__ == "__main__":
    main()
