"""Who checks the oracles: numbers worked out by hand, and the fast oracle against the seven loops."""

import fast_oracles
import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_within
from geometries import CONV_EDGES, sampled_conv

CHEAP = [geometry for geometry in CONV_EDGES if geometry.cost < 40_000] + sampled_conv(20, seed=1, most_products=20_000)


def test_conv2d_by_hand():
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    w = np.float64([[[[0, 0, 0], [0, 1, 0], [0, -1, 0]]], [[[0, 0, 0], [0, -1, 1], [0, 0, 0]]]])
    y = oracles.conv2d(x, w, np.zeros(2))
    assert y.tolist() == [[[[-4, -4], [-4, -4]], [[1, 1], [1, 1]]]]
    dy = np.float64([[[[-4, -4], [-4, -4]], [[1, -7], [1, -11]]]])
    dx, dw, db = oracles.conv2d_backward(dy, x, w)
    assert dx.tolist() == [[[[0, 0, 0, 0], [0, -5, 4, -7], [0, -1, 12, -11], [0, 4, 4, 0]]]]
    assert dw[0, 0, 0, 0] == -4 * (1 + 2 + 5 + 6)
    assert db.tolist() == [-16, -16]


def test_padding_on_each_side_by_hand():
    x, w = np.full((1, 1, 1, 1), 5.0), np.arange(1.0, 7).reshape(1, 1, 2, 3)
    y = oracles.conv2d(x, w, padding=((1, 0), (0, 2)))
    assert y.tolist() == [[[[5 * 4]]]]


@pytest.mark.parametrize("geometry", CHEAP, ids=str)
def test_fast_conv2d_equals_seven_loops(geometry, rng):
    x, w, b, dy = geometry.integers(rng, np.float64)
    assert_equal(fast_oracles.conv2d(x, w, b, **geometry.settings), oracles.conv2d(x, w, b, **geometry.settings))
    fast = fast_oracles.conv2d_backward(dy, x, w, **geometry.settings)
    for got, expected in zip(fast, oracles.conv2d_backward(dy, x, w, **geometry.settings), strict=True):
        assert_equal(got, expected)


def test_max_pool2d_by_hand():
    x = np.float64([[[[1, 3, 2], [3, 0, 4], [9, 9, np.nan]]]])
    assert oracles.max_pool2d(x, 2, stride=1)[0, 0, 0].tolist() == [3, 4]
    dx = oracles.max_pool2d_backward(np.float64([[[[1, 2], [4, 8]]]]), x, 2, stride=1)
    assert dx.tolist() == [[[[0, 1, 0], [0, 0, 2], [4, 0, 8]]]]  # 3 and 9 twice: the first; NaN beats 9


def test_avg_pool2d_by_hand():
    x = np.float64([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    assert oracles.avg_pool2d(x, 2, stride=2, ceil_mode=True).tolist() == [[[[3, 4.5], [7.5, 9]]]]
    assert oracles.avg_pool2d(x, 2, stride=2, padding=1).tolist() == [[[[0.25, 1.25], [2.75, 7]]]]
    assert oracles.avg_pool2d(x, 2, False, stride=2, padding=1).tolist() == [[[[1, 2.5], [5.5, 7]]]]
    dx = oracles.avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 1, 3, 3), 2)
    assert dx.tolist() == [[[[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]]]


def test_the_bound_notices_a_missing_product(rng):
    x, w = rng.standard_normal((2, 1000))
    scale, exact = np.sum(np.abs(x * w)), np.sum(x * w)
    nearly = np.float32(exact - x[500] * w[500])
    with pytest.raises(AssertionError, match="expected"):
        assert_within(nearly, exact, scale, 1000)
    assert_within(np.float32(exact), exact, scale, 1000)
    with pytest.raises(AssertionError):
        assert_within(np.float32(np.nan), exact, scale, 1000)
