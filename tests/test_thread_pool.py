"""The worker pool as Python sees it: threads that call at once, forks, affinity, the end of the process.

What can hang runs in a process of its own, with a time limit. `test_threads_bits.py` compares the bits for every
number of threads; `tests/c/test_runtime.c` tests the pool itself.
"""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bounds import assert_same_bits

from convnet import functional
from convnet.errors import SettingError

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")

# What the processes start with: a convolution large enough for the pool, and its result with one thread.
PRELUDE = """
import os, sys, threading
import numpy as np
from convnet import functional

rng = np.random.default_rng(1)
x, w = rng.standard_normal((32, 16, 20, 20), np.float32), rng.standard_normal((32, 16, 3, 3), np.float32)
functional.set_num_threads(1)
expected = functional.conv2d(x, w)

def good():
    return np.array_equal(functional.conv2d(x, w), expected)

functional.set_num_threads(3)
assert good()
"""


def run(body, *, prelude=PRELUDE, **environment):
    """Run Python code in a process of its own, without threads of NumPy's, and return what it printed.

    Forking a process that has threads is deprecated since Python 3.12; people do it all the same.
    """
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", prelude + textwrap.dedent(body)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, f"status {finished.returncode}\n{finished.stderr}"
    assert finished.stderr == ""
    return finished.stdout.split()


def _step(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((8, 12, 24, 24), np.float32), rng.standard_normal((24, 12, 3, 3), np.float32)
    y = functional.conv2d(x, w, padding=1)
    return y, *functional.conv2d_backward(y, x, w, padding=1), functional.max_pool2d(y, 2)


def test_python_threads_at_once(set_num_threads):
    set_num_threads(1)
    expected = [_step(seed) for seed in range(8)]
    set_num_threads(3)
    with ThreadPoolExecutor(4) as executor:
        for _ in range(3):
            for results, alone in zip(executor.map(_step, range(8)), expected, strict=True):
                for got, want in zip(results, alone, strict=True):
                    assert_same_bits(got, want)


def test_the_number_changes_while_other_threads_compute(set_num_threads):
    """Workers end and start anew under the calls of others; a call keeps to the number it sized its memory by."""
    expected = _step(0)
    with ThreadPoolExecutor(2) as executor:
        steps = [executor.submit(_step, 0) for _ in range(30)]
        for turn in range(3000):
            set_num_threads(1 + turn % 7)
        for step in steps:
            for got, want in zip(step.result(), expected, strict=True):
                assert_same_bits(got, want)


@pytest.mark.parametrize("n", [0, -1, 5000, 2**40, 1.5, "2", None])
def test_numbers_of_threads_that_do_not_exist(n, set_num_threads):
    before = functional.get_num_threads()
    with pytest.raises(SettingError, match="set_num_threads: expected"):
        set_num_threads(n)
    assert functional.get_num_threads() == before


def test_a_numpy_integer_is_a_number_of_threads(set_num_threads):
    set_num_threads(np.int64(2))
    assert functional.get_num_threads() == 2


@needs_fork
@pytest.mark.parametrize("pause", [0, 0.02], ids=["spinning", "sleeping"])
def test_a_forked_child_computes_and_so_does_its_parent(pause):
    assert run(f"""
        import time
        time.sleep({pause})
        child = os.fork()
        if child == 0:
            os._exit(0 if good() else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), good())
    """) == ["0", "True"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list a process's threads")
def test_a_forked_child_has_workers_of_its_own():
    assert run("""
        child = os.fork()
        if child == 0:
            good()
            os._exit(len(os.listdir("/proc/self/task")))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(os.listdir("/proc/self/task")))
    """) == ["3", "3"]


@needs_fork
def test_children_of_multiprocessing():
    assert run("""
        import multiprocessing

        def child(number):
            return good()

        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(all(pool.map(child, range(8))), good())
    """) == ["True", "True"]


@needs_fork
def test_fork_while_another_thread_computes():
    assert run("""
        stop = threading.Event()

        def compute():
            while not stop.is_set():
                assert good()

        other = threading.Thread(target=compute)
        other.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if good() and good() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop.set()
        other.join()
        print(good())
    """) == ["True"]


@needs_affinity
def test_affinity_decides_how_many_threads_there_are_at_first():
    body = """
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from convnet import functional
        print(functional.get_num_threads())
    """
    assert run(body, prelude="import os\n", CONVNET_NUM_THREADS="") == ["1"]


def test_the_environment_decides_before_affinity():
    body = "from convnet import functional; print(functional.get_num_threads())"
    assert run(body, prelude="", CONVNET_NUM_THREADS="5") == ["5"]


@needs_affinity
def test_more_threads_than_cpus():
    assert run("""
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        functional.set_num_threads(6)
        print(all(good() for _ in range(20)))
    """) == ["True"]


@pytest.mark.parametrize("end", ["sys.exit()", "os._exit(0)", "pass"])
def test_the_process_ends_while_workers_live(end):
    assert run(f"sys.stdout.write('here'); sys.stdout.flush(); {end}") == ["here"]


def test_the_process_ends_while_a_daemon_thread_computes():
    assert run("""
        threading.Thread(target=lambda: [good() for _ in range(10**9)], daemon=True).start()
        print(good())
    """) == ["True"]


def test_a_python_thread_that_used_the_pool_ends():
    assert run("""
        results = []
        for _ in range(20):
            thread = threading.Thread(target=lambda: results.append(good()))
            thread.start()
            thread.join()
        print(len(results), all(results))
    """) == ["20", "True"]


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no POSIX signals")
def test_a_signal_goes_to_a_thread_of_python():
    """Workers block all signals: one that Python's only thread does not take at the moment stays pending."""
    assert run("""
        import signal
        signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        os.kill(os.getpid(), signal.SIGUSR1)
        print(good(), signal.SIGUSR1 in signal.sigpending())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    """) == ["True", "True", "handled"]
