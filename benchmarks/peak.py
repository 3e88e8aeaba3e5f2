"""The machine's peaks: multiply-adds a second with the instruction set in use, and bytes a second from memory.

Both are measured by `peak.c`, on all threads at once: the best of some short runs.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import convnet

SOURCE = Path(__file__).with_name("peak.c")
FLAGS = {
    "avx512": ["-DBYTES=64", "-mavx512f"],
    "avx2": ["-DBYTES=32", "-mavx2", "-mfma"],
    "baseline": ["-DBYTES=16"],
    "neon": ["-DBYTES=16"],
}
ROUNDS, REPEATS = 500_000, 40
ARRAY_BYTES, ARRAY_REPEATS = 256 << 20, 10
"""Of each of two arrays: more than a core's share of any cache, and so few repeats that it takes half a second."""


def peak_gflops(threads: int) -> float | None:
    """GFLOP/s of multiply-adds in registers; None without a C compiler."""
    library = _library()
    if library is None:
        return None
    library.multiply_add.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_float)]

    def work(thread: int) -> int:
        return ROUNDS * library.multiply_add(ROUNDS, (ctypes.c_float * 3)(0.5, 1.0))  # without the interpreter's lock

    return 1e-9 * _best_rate(work, threads, REPEATS)


def bandwidth_gbytes(threads: int) -> float | None:
    """GB/s of ``a += 0.5 b`` over arrays of 256 MiB, two read and one written; None without a C compiler."""
    library = _library()
    if library is None:
        return None
    library.accumulate.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    count = ARRAY_BYTES // 4 // threads
    arrays = [np.ones((threads, count), np.float32) for _ in range(2)]

    def work(thread: int) -> int:
        library.accumulate(count, *(array[thread].ctypes.data for array in arrays))
        return 3 * 4 * count

    return 1e-9 * _best_rate(work, threads, ARRAY_REPEATS)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """`peak.c`, compiled; it stays loaded when its file is gone."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    if shutil.which(compiler[0]) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "peak.so")
        flags = ["-O3", "-ffp-contract=fast", "-shared", "-fPIC"]
        flags += FLAGS[str(convnet.functional.cpu_features()["kernels"])]
        subprocess.run([*compiler, *flags, str(SOURCE), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


def _best_rate(work: Callable[[int], int], threads: int, repeats: int) -> float:
    """What all threads together do a second, at best; ``work`` does a thread's share and returns how much that is."""
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            done = sum(pool.map(work, range(threads)))
            best = max(best, done / (time.perf_counter() - start))
    return best
