"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import convnet


def described(threads: int) -> dict[str, Any]:
    """Processor, threads, date, and what `convnet.show_versions` tells."""
    versions = dict(convnet.show_versions())
    return {"cpu": _cpu(), "threads": threads, "date": time.strftime("%Y-%m-%d"), "convnet": versions}


def in_words(machine: dict[str, Any]) -> str:
    """One line for the top of a report."""
    plural = "s" if machine["threads"] > 1 else ""
    kernels = machine["convnet"]["kernels"]
    return f"{machine['cpu']}, {kernels}, {machine['threads']} thread{plural}, float32, {machine['date']}."


def keep_to_cpus(threads: int) -> None:
    """Let no side use more CPUs than threads: not every library can be told how many threads to start."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0), key=lambda cpu: (position_in_core(cpu), cpu))
        os.sched_setaffinity(0, allowed[:threads])


def position_in_core(cpu: int) -> int:
    """0 for the first of the CPUs that share a core, 1 for the next: two of them are not as fast as two cores."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return 0
    ranges = [[int(end) for end in part.split("-")] for part in text.split(",")]  # as "0,4" or "0-1"
    return sum(1 for ends in ranges for sibling in range(ends[0], ends[-1] + 1) if sibling < cpu)


def _cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
