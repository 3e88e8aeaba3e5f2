"""Pooling to a given size."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)

CASES = [
    ((2, 3, 7, 7), 1),
    ((2, 5, 7, 7), 7),
    ((1, 8, 13, 13), 6),
    ((2, 19, 5, 9), (2, 4)),
    ((1, 65, 10, 3), (3, 2)),
    ((2, 130, 4, 6), (2, 3)),
    ((1, 2, 3, 2), (7, 5)),
    ((3, 1, 1, 1), (2, 1)),
    ((2, 4, 40, 30), (1, 2)),
]
every_case = pytest.mark.parametrize(("shape", "size"), CASES, ids=str)


def _draw(shape, size, rng, dtype):
    """(x, dy): reals of which none is near another's negative, and integers."""
    y_shape = (*shape[:2], *oracles.pair(size))
    return (rng.standard_normal(shape) - 5).astype(dtype), rng.integers(-9, 10, y_shape).astype(dtype)


@every_case
def test_averages_stay_within_the_bound(shape, size, dtype, rng):
    x, dy = _draw(shape, size, rng, dtype)
    products = np.prod(shape[2:])
    y, exact = adaptive_avg_pool2d(x, size), oracles.adaptive_avg_pool2d(x, size)
    assert_within(y, exact, oracles.adaptive_avg_pool2d(np.abs(x), size), products, "y")
    dx = adaptive_avg_pool2d_backward(dy, shape)
    exact, scale = (oracles.adaptive_avg_pool2d_backward(a, shape) for a in (dy, np.abs(dy)))
    assert_within(dx, exact, scale, products, "dx")
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("values", ["distinct", "ties"])
@every_case
def test_maxima_are_exact(shape, size, values, dtype, rng):
    x, dy = _draw(shape, size, rng, dtype)
    if values == "ties":
        x = np.rint(x)
    y, codes = adaptive_max_pool2d(x, size, return_codes=True)
    assert_equal(y, oracles.adaptive_max_pool2d(x, size), "y")
    assert_same_bits(adaptive_max_pool2d(x, size), y)
    assert_equal(adaptive_max_pool2d_backward(dy, codes, shape), oracles.adaptive_max_pool2d_backward(dy, x), "dx")
    assert codes.dtype == (np.int32 if shape[2:] == (40, 30) else np.uint8)


@pytest.mark.parametrize("channels", [*range(1, 36), 63, 64, 65, 129])
def test_every_number_of_channels(channels, rng):
    shape = (2, channels, 5, 7)
    x, dy = rng.integers(-99, 99, shape).astype(np.float32) * 12, np.full((2, channels, 2, 2), 12, np.float32)
    y, codes = adaptive_max_pool2d(x, 2, return_codes=True)
    assert_equal(y, oracles.adaptive_max_pool2d(x, 2))
    assert_equal(adaptive_max_pool2d_backward(dy, codes, shape), oracles.adaptive_max_pool2d_backward(dy, x))
    assert_within(adaptive_avg_pool2d(x, 2), oracles.adaptive_avg_pool2d(x, 2), 1188, 12)
    assert_equal(adaptive_avg_pool2d_backward(dy, shape), oracles.adaptive_avg_pool2d_backward(dy, shape))


def test_nan_wins(dtype, rng):
    x = rng.standard_normal((2, 19, 9, 9)).astype(dtype)
    x[rng.random(x.shape) < 0.05] = np.nan
    assert_equal(adaptive_max_pool2d(x, 4), oracles.adaptive_max_pool2d(x, 4))
    assert_equal(np.isnan(adaptive_avg_pool2d(x, 4)), np.isnan(oracles.adaptive_avg_pool2d(x, 4)))


def test_empty_batch(dtype):
    x, dy = np.empty((0, 3, 6, 6), dtype), np.empty((0, 3, 4, 4), dtype)
    y, codes = adaptive_max_pool2d(x, 4, return_codes=True)
    assert y.shape == codes.shape == adaptive_avg_pool2d(x, 4).shape == dy.shape
    assert adaptive_max_pool2d_backward(dy, codes, x.shape).shape == x.shape
    assert adaptive_avg_pool2d_backward(dy, x.shape).shape == x.shape


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    x, dy = _draw((2, 21, 8, 9), 5, rng, dtype)
    y, codes = adaptive_max_pool2d(x, 5, return_codes=True)
    assert_same_bits(adaptive_max_pool2d(again(x), 5), y)
    assert_same_bits(adaptive_avg_pool2d(again(x), 5), adaptive_avg_pool2d(x, 5))
    dx = adaptive_max_pool2d_backward(dy, codes, x.shape)
    assert_same_bits(adaptive_max_pool2d_backward(again(dy), again(codes), x.shape), dx)
    assert_same_bits(adaptive_avg_pool2d_backward(again(dy), x.shape), adaptive_avg_pool2d_backward(dy, x.shape))


def test_results_are_channels_last_and_arguments_are_not_written_to(dtype, rng):
    x, dy = _draw((2, 5, 8, 9), 3, rng, dtype)
    before = freeze(x, dy)
    y, codes = adaptive_max_pool2d(x, 3, return_codes=True)
    before += freeze(codes)
    results = y, adaptive_avg_pool2d(x, 3), adaptive_avg_pool2d_backward(dy, x.shape)
    results += (adaptive_max_pool2d_backward(dy, codes, x.shape),)
    assert all(map(is_channels_last, results))
    assert [x.tobytes(), dy.tobytes(), codes.tobytes()] == before
