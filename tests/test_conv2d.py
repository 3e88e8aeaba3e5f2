"""The values of conv2d and conv2d_backward: exact on integers, within the derived bound on reals."""

import fast_oracles
import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_within
from geometries import CONV_EDGES, CONV_LARGE, Conv, sampled_conv

from convnet.functional import conv2d, conv2d_backward

pytestmark = pytest.mark.usefixtures("direct")  # test_winograd.py tests the other algorithm

RESULTS = "dx", "dw", "db"


@pytest.mark.parametrize("geometry", CONV_EDGES + CONV_LARGE + sampled_conv(250), ids=str)
def test_integers_are_exact(geometry, dtype, rng):
    x, w, b, dy = geometry.integers(rng, dtype)
    assert_equal(conv2d(x, w, b, **geometry.settings), fast_oracles.conv2d(x, w, b, **geometry.settings), "y")
    gradients = conv2d_backward(dy, x, w, **geometry.settings)
    expected = fast_oracles.conv2d_backward(dy, x, w, **geometry.settings)
    for name, got, exact in zip(RESULTS, gradients, expected, strict=True):
        assert_equal(got, exact, name)
        assert got.dtype == dtype


@pytest.mark.parametrize("geometry", CONV_EDGES + CONV_LARGE + sampled_conv(60, seed=2), ids=str)
def test_reals_stay_within_the_bound(geometry, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    settings, products = geometry.settings, geometry.products
    exact = fast_oracles.conv2d(x, w, b, **settings)
    scale = fast_oracles.conv2d(np.abs(x), np.abs(w), np.abs(b), **settings)
    assert_within(conv2d(x, w, b, **settings), exact, scale, products[0], "y")
    gradients = conv2d_backward(dy, x, w, **settings)
    exact = fast_oracles.conv2d_backward(dy, x, w, **settings)
    scales = fast_oracles.conv2d_backward(np.abs(dy), np.abs(x), np.abs(w), **settings)
    for name, *check in zip(RESULTS, gradients, exact, scales, products[1:], strict=True):
        assert_within(*check, name)


@pytest.mark.parametrize("channels", range(1, 41))
def test_every_number_of_channels(channels, rng):
    """Each tail of a vector and of a register tile, as input channels, as output channels and as both."""
    for c, out in (channels, 5), (5, channels), (channels, channels):
        geometry = Conv(1, c, 5, 6, out, (3, 2), padding=1)
        x, w, b, dy = geometry.integers(rng, np.float32)
        assert_equal(conv2d(x, w, b, padding=1), fast_oracles.conv2d(x, w, b, padding=1), "y")
        expected = fast_oracles.conv2d_backward(dy, x, w, padding=1)
        for name, got, exact in zip(RESULTS, conv2d_backward(dy, x, w, padding=1), expected, strict=True):
            assert_equal(got, exact, name)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_size_of_a_map(size, rng):
    """Each tail of a row of output pixels, with and without padding."""
    for padding in (1, 0) if size >= 3 else (1,):
        geometry = Conv(2, 3, size, size, 8, (3, 3), padding=padding)
        x, w, b, dy = geometry.integers(rng, np.float32)
        assert_equal(conv2d(x, w, b, padding=padding), fast_oracles.conv2d(x, w, b, padding=padding), "y")
        expected = fast_oracles.conv2d_backward(dy, x, w, padding=padding)
        for name, got, exact in zip(RESULTS, conv2d_backward(dy, x, w, padding=padding), expected, strict=True):
            assert_equal(got, exact, name)


def test_the_classic_exercise(dtype):
    x = np.arange(1, 17, dtype=dtype).reshape(1, 1, 4, 4)
    w = np.array([[[[0, 0, 0], [0, 1, 0], [0, -1, 0]]], [[[0, 0, 0], [0, -1, 1], [0, 0, 0]]]], dtype)
    assert conv2d(x, w).tolist() == [[[[-4, -4], [-4, -4]], [[1, 1], [1, 1]]]]
    dy = np.array([[[[-4, -4], [-4, -4]], [[1, -7], [1, -11]]]], dtype)
    dx, _, _ = conv2d_backward(dy, x, w)
    assert dx.tolist() == [[[[0, 0, 0, 0], [0, -5, 4, -7], [0, -1, 12, -11], [0, 4, 4, 0]]]]


def test_without_bias(rng):
    x, w, _, _ = Conv(2, 3, 6, 6, 5, (3, 3)).integers(rng, np.float32)
    assert_equal(conv2d(x, w), oracles.conv2d(x, w))
    assert_equal(conv2d(x, w, np.zeros(5, np.float32)), oracles.conv2d(x, w))


def test_settings_that_mean_the_same(rng):
    x, w, b, _ = Conv(2, 3, 8, 8, 5, (3, 3)).integers(rng, np.float32)
    expected = conv2d(x, w, b, stride=2, padding=1, dilation=2)
    for padding in (1, 1), ((1, 1), (1, 1)), [1, 1], np.int64(1):
        assert_equal(conv2d(x, w, b, stride=(2, 2), padding=padding, dilation=(2, 2)), expected)


def test_empty_batch(dtype, rng):
    geometry = Conv(0, 3, 6, 7, 5, (3, 3), padding=1)
    x, w, b, dy = geometry.integers(rng, dtype)
    assert conv2d(x, w, b, padding=1).shape == (0, 5, 6, 7)
    dx, dw, db = conv2d_backward(dy, x, w, padding=1)
    assert dx.shape == x.shape
    assert_equal(dw, np.zeros(w.shape))
    assert_equal(db, np.zeros(5))


@pytest.mark.parametrize("out", [4, 8, 9])  # 4 and 8 put neighbouring pixels into one vector
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_reach_what_they_should_and_nothing_else(poison, out, rng):
    geometry = Conv(2, 5, 7, 8, out, (3, 3), padding=1)
    x, w, b, dy = geometry.integers(rng, np.float32)
    x[1, 2, 3, 4] = dy[0, 3, 2, 1] = poison
    with np.errstate(invalid="ignore"):
        expected = oracles.conv2d(x, w, b, padding=1), *oracles.conv2d_backward(dy, x, w, padding=1)
    got = conv2d(x, w, b, padding=1), *conv2d_backward(dy, x, w, padding=1)
    for name, result, exact in zip(("y", *RESULTS), got, expected, strict=True):
        assert not np.all(np.isfinite(exact)), name
        assert_equal(result, exact, name)


def test_an_infinite_weight(rng):
    x, w, b, _ = Conv(2, 5, 7, 7, 9, (3, 3)).integers(rng, np.float32)
    w[4, 2, 1, 1] = np.inf
    with np.errstate(invalid="ignore"):
        assert_equal(conv2d(x, w, b), oracles.conv2d(x, w, b))
