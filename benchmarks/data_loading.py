"""Show whether a training step waits for its data: steps on batches made beforehand against steps through a loader.

    CONVNET_DATA=~/data python benchmarks/data_loading.py --threads 1 --json loading.json

Two cases: images of the size of CIFAR-10 in memory, cropped, mirrored and normalised, for resnet20; and photographs in
a folder (the training images of the flowers, or `--folder`), which are decoded to 160x160 pixels, of which a random
part becomes 128x128, for a small network. A pass starts its workers and waits for its first batch, as an epoch does;
the time of a step is that of the pass over its steps. Where the kernels keep all cores busy, preparing takes time from
them, and a ratio cannot be less than 1 + prepare / (cores * step).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from tables import table, three_digits
from turns import alternate, summarised

import convnet
from convnet.data import DataLoader, ImageFolder
from convnet.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, RandomResizedCrop

PREPARED, WORKERS = "prepared", (0, 1, 2)
NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Case(NamedTuple):
    """One training."""

    model: convnet.Sequential
    loader: Callable[[int], DataLoader]
    """Makes the loader of so many workers."""


def cifar_case(options: argparse.Namespace) -> Case:
    """resnet20 on images in memory; what they show does not change the time."""
    rng, n = np.random.default_rng(0), 128 * options.steps
    x, y = rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, 10, n)
    augment = Compose(RandomCrop(4), RandomHorizontalFlip(), NORMALIZE)
    model = convnet.models.resnet20(rng=0)
    return Case(model, lambda workers: DataLoader(x, y, 128, augment=augment, workers=workers))


def photo_case(options: argparse.Namespace) -> Case:
    """Four convolutions on photographs."""
    folder = ImageFolder(options.folder, 160)
    folder = folder.subset(np.random.default_rng(0).permutation(len(folder))[: 32 * options.steps])
    augment = Compose(RandomResizedCrop(128), RandomHorizontalFlip(), NORMALIZE)
    rng, channels, layers = np.random.default_rng(0), 3, []
    for outputs in (32, 64, 128, 128):
        convolution = convnet.Conv2d(channels, outputs, 3, padding=1, bias=False, rng=rng)
        layers += [convolution, convnet.BatchNorm2d(outputs), convnet.ReLU(), convnet.MaxPool2d(2)]
        channels = outputs
    head = [convnet.GlobalAvgPool2d(), convnet.Flatten(), convnet.Dense(channels, len(folder.classes), rng=rng)]
    model = convnet.Sequential(*layers, *head)
    return Case(model, lambda workers: DataLoader(folder, batch_size=32, augment=augment, workers=workers))


CASES = {"cifar10, resnet20": cifar_case, "photographs, four convolutions": photo_case}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the cases that are asked for."""
    convnet.set_num_threads(options.threads)
    cases = []
    for name in options.cases:
        print(name, file=sys.stderr, flush=True)
        cases.append({"name": name, **_measured(CASES[name](options), options.seconds)})
    return {"machine": machine.described(options.threads), "cpus": len(_cpus()), "cases": cases}


def _measured(case: Case, seconds: float) -> dict[str, Any]:
    """Milliseconds a step of each side, and of one CPU to prepare a batch."""
    begun = time.thread_time()
    batches = list(case.loader(0))
    prepare = 1e3 * (time.thread_time() - begun) / len(batches)
    trainer = convnet.Trainer(case.model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(1e-4, momentum=0.9))

    def passes(source: Iterable[tuple[np.ndarray, np.ndarray]]) -> Callable[[], None]:
        def run() -> None:
            for x, y in source:
                trainer.step(x, y)

        return run

    loaders = {f"workers {workers}": case.loader(workers) for workers in WORKERS}
    times = alternate({name: passes(source) for name, source in {PREPARED: batches, **loaders}.items()}, seconds)
    per_step = {name: [ms / len(batches) for ms in each] for name, each in times.items()}
    sides = {name: summarised(each) for name, each in per_step.items()}
    return {"batch": len(batches[0][0]), "steps": len(batches), "prepare_ms": prepare, "sides": sides}


def _cpus() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def report(run: dict[str, Any]) -> str:
    """Times and ratios as a Markdown table."""
    head = ["milliseconds", "batch", "prepare a batch, CPU", "step, batches prepared"]
    head += [text for workers in WORKERS for text in (f"{workers} workers", "ratio")]
    rows = [_row(case) for case in run["cases"]]
    return f"{machine.in_words(run['machine'])} {run['cpus']} CPUs.\n\n{table(head, rows)}"


def _row(case: dict[str, Any]) -> list[str]:
    prepared = case["sides"][PREPARED]["ms"]
    row = [case["name"], str(case["batch"]), three_digits(case["prepare_ms"]), three_digits(prepared)]
    for workers in WORKERS:
        ms = case["sides"][f"workers {workers}"]["ms"]
        row += [three_digits(ms), f"{ms / prepared:.2f}"]
    return row


def main() -> None:
    """Run, or read the JSON of a run, and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), help="which")
    parser.add_argument(
        "--folder", default=Path(os.environ.get("CONVNET_DATA", "."), "flowers", "train"), help="photos"
    )
    parser.add_argument("--steps", type=int, default=16, help="steps a pass, at most")
    parser.add_argument("--threads", type=int, default=convnet.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each side")
    parser.add_argument("--json", metavar="FILE", help="also write all figures to this file")
    parser.add_argument("--read", metavar="FILE", help="measure nothing, show the figures that --json wrote")
    options = parser.parse_args()
    run = json.loads(Path(options.read).read_text()) if options.read else measure(options)
    if options.json:
        Path(options.json).write_text(json.dumps(run, indent=1) + "\n")
    print(report(run))


if __name__ == "__main__":
    main()
