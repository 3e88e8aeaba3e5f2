"""The instruction sets that were not chosen: the tests of the values again, in processes told to use them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convnet.functional import cpu_features

VALUES = [
    "test_conv2d.py",
    "test_winograd.py",
    "test_depthwise.py",
    "test_grouped.py",
    "test_pool2d.py",
    "test_batch_norm.py",
    "test_batch_norm_pool.py",
    "test_dense.py",
    "test_activation.py",
    "test_sum.py",
    "test_adaptive_pool2d.py",
    "test_softmax_cross_entropy.py",
    "test_updates.py",
    "test_denormals.py",
    "test_dropout.py",
    "test_functions.py",
    "test_local_response_norm.py",
    "test_group_norm.py",
    "test_conv_transpose2d.py",
    "test_resample.py",
]
CHOSEN = cpu_features()["kernels"]
AVAILABLE = cpu_features()["available"]


def _run(arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **variables},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _kernels(**variables):
    code = "from convnet.functional import cpu_features; print(cpu_features()['kernels'])"
    return _run(["-c", code], **variables)


@pytest.mark.parametrize("isa", [isa for isa in AVAILABLE if isa != CHOSEN])
def test_the_values(isa):
    assert _kernels(CONVNET_CPU=isa).stdout.strip() == isa
    result = _run(["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *VALUES], CONVNET_CPU=isa)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


def test_one_is_always_there():
    assert "baseline" in AVAILABLE
    assert CHOSEN in AVAILABLE


def test_the_best_is_chosen_by_itself():
    result = _kernels(CONVNET_CPU="")
    order = ["baseline", "neon", "avx2", "avx512"]
    assert result.stdout.strip() == max(AVAILABLE, key=order.index)


@pytest.mark.parametrize("value", ["sse9", "AVX2 ", "neon" if "neon" not in AVAILABLE else "avx2"])
def test_an_unknown_or_unsupported_one_is_refused(value):
    result = _kernels(CONVNET_CPU=value)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode != 0
    assert last.startswith("convnet.errors.UnsupportedError")
    for part in "CONVNET_CPU", repr(value), "baseline":
        assert part in last
