"""Single kernels, to compare a change with its parent (needs pytest-benchmark).

    pytest benchmarks --benchmark-autosave           # at the parent
    pytest benchmarks --benchmark-compare            # after the change, `-k` chooses, `--benchmark-histogram` draws

One thread, unless CONVNET_NUM_THREADS says otherwise: the second one adds more noise than a kernel's change. The
environment variable CONVNET_CPU takes the instruction set.
"""

import os

import numpy as np
import pytest
from shapes import PASSES, SHAPES, arrays_of
from sides.base import channels_last
from sides.ours import Convnet

import convnet
from convnet import functional

pytest.importorskip("pytest_benchmark")

MAPS = [(100, 8, 28), (8, 64, 112), (4, 512, 14)]
DENSE = [(100, 1568, 64), (1, 4096, 4096), (64, 512, 10)]


@pytest.fixture(scope="module", autouse=True)
def side():
    """Calls of single kernels; threads are put back afterwards."""
    before = convnet.get_num_threads()
    yield Convnet(int(os.environ.get("CONVNET_NUM_THREADS", "1")))
    convnet.set_num_threads(before)


@pytest.fixture
def rng():
    """A generator that starts from the same seed in every test."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("which", PASSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution(benchmark, side, shape, which):
    """Forward and both gradients."""
    benchmark(side.convolution(shape, arrays_of(shape), which).run)


def _maps(rng, shape):
    batch, channels, edge = shape
    return channels_last(rng.standard_normal((batch, channels, edge, edge), np.float32))


@pytest.mark.parametrize("shape", MAPS, ids=str)
def test_max_pool(benchmark, rng, shape):
    """Forward, as in training."""
    x = _maps(rng, shape)
    benchmark(lambda: functional.max_pool2d(x, 2, return_codes=True))


@pytest.mark.parametrize("shape", MAPS, ids=str)
def test_relu(benchmark, rng, shape):
    """Forward."""
    x = _maps(rng, shape)
    benchmark(lambda: functional.relu(x))


@pytest.mark.parametrize(("n", "inputs", "outputs"), DENSE)
def test_dense(benchmark, rng, n, inputs, outputs):
    """Forward."""
    x, w = rng.standard_normal((n, inputs), np.float32), rng.standard_normal((outputs, inputs), np.float32)
    benchmark(lambda: functional.dense(x, w))


@pytest.mark.parametrize(("n", "inputs", "outputs"), DENSE)
def test_dense_backward(benchmark, rng, n, inputs, outputs):
    """All three gradients."""
    x, w = rng.standard_normal((n, inputs), np.float32), rng.standard_normal((outputs, inputs), np.float32)
    dy = rng.standard_normal((n, outputs), np.float32)
    benchmark(lambda: functional.dense_backward(dy, x, w))


@pytest.mark.parametrize("size", [10_000, 10_000_000])
def test_sgd_with_momentum(benchmark, rng, size):
    """Update one parameter and clear its gradient."""
    parameter = convnet.Parameter(rng.standard_normal(size, np.float32))
    optimizer = convnet.optim.SGD(0.01, momentum=0.9)
    benchmark(lambda: optimizer.step([parameter]))
