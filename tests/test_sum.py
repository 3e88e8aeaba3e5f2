"""The sum of two arrays, rectified or not, special values included."""

import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import add, add_relu, relu_backward


def _rectified(x):
    return np.where(x <= 0, 0, x)


@pytest.mark.parametrize("size", [*range(70), 1000, 4097, 100_003])
def test_every_size(size, dtype, rng):
    a, b = rng.integers(-99, 100, (2, size)).astype(dtype)
    assert_equal(add(a, b), a + b)
    assert_equal(add_relu(a, b), _rectified(a + b))


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (2, 3, 4, 5), (0, 3, 4, 4), (2, 1, 1, 1, 3)], ids=str)
def test_every_rank(shape, dtype, rng):
    a, b = (np.asarray(rng.integers(-9, 10, shape), dtype) for _ in range(2))
    assert_equal(add(a, b), a + b)
    assert_equal(add_relu(a, b), _rectified(a + b))
    assert add(a, b).dtype == add_relu(a, b).dtype == dtype


@pytest.mark.parametrize("copies", [1, 40])
def test_special_values(copies, dtype):
    a = np.tile(np.array([np.nan, 1, np.inf, np.inf, 0.0, -0.0, 1.0], dtype), copies)
    b = np.tile(np.array([1, np.nan, 1, -np.inf, -0.0, -0.0, -3.0], dtype), copies)
    assert_equal(add(a, b), np.tile([np.nan, np.nan, np.inf, np.nan, 0, 0, -2], copies))
    y = add_relu(a, b)
    assert_equal(y, np.tile([np.nan, np.nan, np.inf, np.nan, 0, 0, 0], copies))
    assert_equal(relu_backward(np.full_like(a, 3), y), np.tile([3, 3, 3, 3, 0, 0, 0], copies))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    a, b = rng.standard_normal((2, 3, 5, 7, 6)).astype(dtype)
    again = LAYOUTS[layout]
    before = freeze(a, b)
    for function in add, add_relu:
        y = function(a, b)
        assert is_channels_last(y)
        for given in (again(a), b), (a, again(b)), (again(a), again(b)):
            assert_same_bits(function(*given), y)
    assert [a.tobytes(), b.tobytes()] == before
