"""Peak memory of a training step: each side in a process of its own.

    python benchmarks/memory.py convnet lenet 2

prints the most bytes that the third step of the side held at once, over what the process held after its imports:
weights, gradients, momentum, activations, working memory. Pages of program files are not counted, as every library
loads more of itself when it first runs. Needs Linux, which tells a process its peak and can forget it.
"""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from networks import NETWORKS, batch_of
from sides import SIDES, UnavailableError

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_of_step(side: str, network: str, threads: int) -> int:
    """Measure in a fresh process; raise UnavailableError where it cannot be done."""
    command = [sys.executable, __file__, side, network, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return int(done.stdout)


def measurable() -> bool:
    """Whether this system can tell."""
    return FORGET.exists()


def held() -> int:
    """Bytes of memory that belong to this process, pages of files left out."""
    return _status("RssAnon")


def peak_during(run: Callable[[], object]) -> int:
    """Run; return the most bytes held meanwhile."""
    give_back()
    FORGET.write_text("5")
    run()
    return _status("VmHWM") - _status("RssFile") - _status("RssShmem")


def give_back() -> None:
    """Return freed memory to the system, so that what was needed on the way here does not count."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc would keep it
        libc.malloc_trim(0)


def _status(field: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


def main() -> None:
    """Measure one side."""
    if not measurable():
        raise SystemExit("needs Linux")
    name, network_name, threads = sys.argv[1:]
    side = SIDES[name](int(threads))
    network = next(n for n in NETWORKS if n.name == network_name)
    x, y = batch_of(network)
    before = held()
    work = side.step(network, x, y)
    for _ in range(2):
        work.run()
    print(peak_during(work.run) - before)


if __name__ == "__main__":
    main()
