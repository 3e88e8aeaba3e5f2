"""ReLU and ReLU6 and their gradients, special values included."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits
from layouts import LAYOUTS, freeze

from convnet.functional import relu, relu6, relu6_backward, relu_backward

FUNCTIONS = [
    (relu, relu_backward, oracles.relu, oracles.relu_backward),
    (relu6, relu6_backward, oracles.relu6, oracles.relu6_backward),
]
each = pytest.mark.parametrize(("f", "f_backward", "oracle", "oracle_backward"), FUNCTIONS, ids=["relu", "relu6"])


@each
@pytest.mark.parametrize("size", [*range(70), 1000, 4097, 100_003])
def test_every_size(size, f, f_backward, oracle, oracle_backward, dtype, rng):
    x, dy = (4 * rng.standard_normal((2, size))).astype(dtype)
    assert_equal(f(x), oracle(x))
    assert_equal(f_backward(dy, f(x)), oracle_backward(dy, f(x)))


@each
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 4), (2, 1, 1, 1, 3)], ids=str)
def test_every_rank(shape, f, f_backward, oracle, oracle_backward, dtype, rng):
    x, dy = (np.asarray(4 * rng.standard_normal(shape), dtype) for _ in range(2))
    y = f(x)
    assert_equal(y, oracle(x))
    assert_equal(f_backward(dy, y), oracle_backward(dy, y))
    assert y.dtype == dtype


@pytest.mark.parametrize("copies", [1, 40])
def test_special_values(copies, dtype):
    """In a vector as in its tail: NaN passes, both zeros, and the end of the range, give no gradient."""
    x = np.tile(np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 6.0, 7.0], dtype), copies)
    y = relu(x)
    assert_equal(y, np.tile([np.nan, np.nan, np.inf, 0, 0, 0, 1, 0, 6, 7], copies))
    assert_equal(relu_backward(np.full_like(x, 3), y), np.tile([3, 3, 3, 0, 0, 0, 3, 0, 3, 3], copies))
    y = relu6(x)
    assert_equal(y, np.tile([np.nan, np.nan, 6, 0, 0, 0, 1, 0, 6, 6], copies))
    assert_equal(relu6_backward(np.full_like(x, 3), y), np.tile([3, 3, 0, 0, 0, 0, 3, 0, 0, 0], copies))


@pytest.mark.parametrize("f_backward", [relu_backward, relu6_backward])
def test_a_gradient_that_is_not_finite_is_not_multiplied_by_zero(f_backward, dtype):
    dy = np.tile(np.array([np.nan, np.inf, np.nan, np.inf], dtype), 9)
    y = np.tile(np.array([0, 0, 1, 1], dtype), 9)
    assert_equal(f_backward(dy, y), np.tile([0, 0, np.nan, np.inf], 9))


@each
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_value(layout, f, f_backward, oracle, oracle_backward, dtype, rng):
    x, dy = (4 * rng.standard_normal((2, 3, 5, 7, 6))).astype(dtype)
    again, y = LAYOUTS[layout], f(x)
    before = freeze(x, dy, y)
    assert_same_bits(f(again(x)), y)
    expected = f_backward(dy, y)
    assert_same_bits(f_backward(again(dy), y), expected)
    assert_same_bits(f_backward(dy, again(y)), expected)
    assert [a.tobytes() for a in (x, dy, y)] == before


def test_channels_last_stays_channels_last(rng):
    x = LAYOUTS["channels-last"](rng.standard_normal((2, 5, 4, 3)).astype(np.float32))
    y = relu(x)
    assert y.strides == x.strides
    assert relu_backward(x, y).strides == x.strides
