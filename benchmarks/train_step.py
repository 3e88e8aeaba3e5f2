"""Time one training step against PyTorch, side by side in one process.

A step zeroes the gradients, runs forward, loss and backward, and updates with SGD and momentum. Both sides start from
the same weights and batch; their weights after three steps are compared before anything is timed. Then the sides take
turns, so that a change of the machine's speed hits all of them; medians and their ratios are printed.

    python benchmarks/train_step.py --threads 2 --json steps.json
    python benchmarks/train_step.py --networks lenet resnet18
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from networks import NETWORKS, Network, batch_of, torch_twin

import convnet

LR, MOMENTUM = 0.01, 0.9
OURS = "convnet"
Step = Callable[[], float]


def convnet_step(model: convnet.Sequential, x: np.ndarray, y: np.ndarray) -> Step:
    """One step of `convnet.Trainer`."""
    trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(LR, momentum=MOMENTUM))
    return lambda: trainer.step(x, y)


def torch_step(model: torch.nn.Module, x: np.ndarray, y: np.ndarray, memory_format: torch.memory_format) -> Step:
    """One eager step in the given memory format."""
    model.to(memory_format=memory_format)
    inputs, targets = torch.from_numpy(x).to(memory_format=memory_format), torch.from_numpy(y)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def check(ours: convnet.Sequential, theirs: Sequence[torch.nn.Module], steps: Sequence[Step]) -> None:
    """Run three steps on each side; weights must agree to 1e-4 of their largest (three steps of float32 rounding).

    Batch normalisation amplifies rounding, and the two layouts of PyTorch differ by more: ten times that is allowed.
    """
    for _ in range(3):
        for step in steps:
            step()
    for name, value in ours.state_dict().items():
        expected, other = (side.state_dict()[name].numpy() for side in theirs)
        allowed = 1e-4 * np.abs(value).max() + 10 * np.abs(expected - other).max()
        difference = np.abs(value - expected).max()
        if not difference <= allowed:
            raise SystemExit(f"{name}: the two sides differ by {difference}")


def seconds_of(step: Step) -> float:
    """Time one step."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def alternate(sides: dict[str, Step], seconds: float) -> dict[str, float]:
    """Time the sides in turn for about `seconds` a side; return each one's median in milliseconds.

    Training runs step after step, so a turn is many steps, or one that takes longer than half a second. Before it the
    side before gets time to put its threads to sleep (OpenMP's spin for milliseconds, on the core that the next side
    wants), and the first steps, in which one's own threads wake up and the caches fill, are not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    turns = {name: max(1, min(40, int(0.5 / seconds_of(step)))) for name, step in sides.items()}
    end = time.perf_counter() + seconds * len(sides)
    while time.perf_counter() < end:
        for name, step in sides.items():
            time.sleep(0.05)
            for _ in range(turns[name] // 4):
                step()
            times[name] += [seconds_of(step) for _ in range(turns[name])]
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def compare(network: Network, seconds: float) -> dict[str, float]:
    """Check, then time one network."""
    x, y = batch_of(network)
    ours = network.make()
    theirs = {"torch NCHW": torch.contiguous_format, "torch channels_last": torch.channels_last}
    twins = {name: torch_twin(ours) for name in theirs}
    sides = {OURS: convnet_step(ours, x, y)}
    sides |= {name: torch_step(twins[name], x, y, layout) for name, layout in theirs.items()}
    check(ours, list(twins.values()), list(sides.values()))
    return alternate(sides, seconds)


def main() -> None:
    """Print one line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each side of each network")
    names = [network.name for network in NETWORKS]
    parser.add_argument("--networks", nargs="+", choices=names, default=names, help="which to time (default: all)")
    parser.add_argument("--json", help="also write the medians, in milliseconds, to this file")
    options = parser.parse_args()
    convnet.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    results = {}
    for network in [network for network in NETWORKS if network.name in options.networks]:
        medians = compare(network, options.seconds)
        results[network.name] = medians
        best = min(value for name, value in medians.items() if name != OURS)
        columns = "  ".join(f"{name} {value:7.3f} ms" for name, value in medians.items())
        print(f"{network.name:12s} batch {network.batch:4d}  {columns}  {best / medians[OURS]:5.2f} times faster")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"threads": options.threads, "versions": convnet.show_versions(), "ms": results}, file, indent=2)


if __name__ == "__main__":
    main()
