"""The machine's peak: multiply-adds a second with the instruction set in use, measured by `peak.c`."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import convnet

SOURCE = Path(__file__).with_name("peak.c")
FLAGS = {
    "avx512": ["-DBYTES=64", "-mavx512f"],
    "avx2": ["-DBYTES=32", "-mavx2", "-mfma"],
    "baseline": ["-DBYTES=16"],
    "neon": ["-DBYTES=16"],
}
ROUNDS, REPEATS = 500_000, 40


def peak_gflops(threads: int) -> float | None:
    """Best of some short runs of all threads at once, in GFLOP/s; None without a C compiler."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(compiler[0]) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "peak.so")
        flags = [
            "-O3",
            "-ffp-contract=fast",
            "-shared",
            "-fPIC",
            *FLAGS[str(convnet.functional.cpu_features()["kernels"])],
        ]
        subprocess.run([*compiler, *flags, str(SOURCE), "-o", str(library)], check=True)
        return max(_rates(ctypes.CDLL(str(library)).multiply_add, threads))


def _rates(multiply_add: Any, threads: int) -> list[float]:
    multiply_add.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_float)]

    def work(thread: int) -> int:
        return ROUNDS * multiply_add(ROUNDS, (ctypes.c_float * 3)(0.5, 1.0))  # without the interpreter's lock

    rates = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            start = time.perf_counter()
            flops = sum(pool.map(work, range(threads)))
            rates.append(1e-9 * flops / (time.perf_counter() - start))
    return rates
