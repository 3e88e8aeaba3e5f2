"""Depthwise convolution, which has kernels of its own: its borders, strides, channels and sums over chunks."""

import fast_oracles
import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from geometries import Conv
from layouts import freeze

from convnet.functional import conv2d, conv2d_backward, conv2d_relu, conv2d_relu_backward, relu, relu_backward

RESULTS = "dx", "dw", "db"
MOBILE = [
    Conv(2, 32, 30, 30, 32, (3, 3), padding=1, groups=32),
    Conv(2, 64, 29, 30, 64, (3, 3), padding=1, stride=2, groups=64),
    Conv(3, 200, 7, 7, 200, (3, 3), padding=1, groups=200),  # slices of channels, the last one ragged
    Conv(1, 72, 40, 17, 72, (5, 5), padding=2, groups=72),  # blocks of rows
    Conv(1, 33, 14, 14, 33, (5, 5), padding=2, stride=2, groups=33),
    Conv(1, 300, 130, 3, 300, (3, 1), groups=300),
]


def depthwise(channels, kernel=(3, 3), size=(9, 10), n=2, **settings):
    return Conv(n, channels, *size, channels, kernel, groups=channels, **settings)


def assert_exact(geometry, dtype, rng):
    x, w, b, dy = geometry.integers(rng, dtype)
    freeze(x, w, b, dy)
    settings = geometry.settings
    assert_equal(conv2d(x, w, b, **settings), fast_oracles.conv2d(x, w, b, **settings), "y")
    expected = fast_oracles.conv2d_backward(dy, x, w, **settings)
    for name, got, exact in zip(RESULTS, conv2d_backward(dy, x, w, **settings), expected, strict=True):
        assert_equal(got, exact, name)
        assert got.dtype == dtype


@pytest.mark.parametrize("channels", range(2, 41))
def test_every_number_of_channels(channels, dtype, rng):
    for stride in 1, 2, 3:
        assert_exact(depthwise(channels, stride=stride, padding=1), dtype, rng)


@pytest.mark.parametrize("stride", [1, 2, 3, (1, 3), (2, 1), 5])
@pytest.mark.parametrize("padding", [0, 1, 3, ((2, 0), (0, 4)), "same"], ids=str)
@pytest.mark.parametrize("dilation", [1, 2, (3, 1), (1, 4)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (2, 4)], ids=str)
def test_every_geometry(kernel, dilation, padding, stride, dtype, rng):
    for size in (17, 18), (5, 13):
        geometry = depthwise(19, kernel, size, 1, stride=stride, padding=padding, dilation=dilation)
        if geometry.fits:
            assert_exact(geometry, dtype, rng)


@pytest.mark.parametrize("width", range(1, 40))
def test_every_length_of_a_run(width, rng):
    for stride in 1, 2:
        assert_exact(depthwise(5, size=(3, width), stride=stride, padding=1), np.float32, rng)


@pytest.mark.parametrize("geometry", MOBILE, ids=str)
def test_every_cut(geometry, dtype, rng):
    assert_exact(geometry, dtype, rng)


@pytest.mark.parametrize("geometry", MOBILE, ids=str)
def test_reals_stay_within_the_bound(geometry, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    settings, products = geometry.settings, geometry.products
    exact = fast_oracles.conv2d(x, w, b, **settings)
    scale = fast_oracles.conv2d(np.abs(x), np.abs(w), np.abs(b), **settings)
    assert_within(conv2d(x, w, b, **settings), exact, scale, products[0], "y")
    exact = fast_oracles.conv2d_backward(dy, x, w, **settings)
    scales = fast_oracles.conv2d_backward(np.abs(dy), np.abs(x), np.abs(w), **settings)
    got = conv2d_backward(dy, x, w, **settings)
    for name, *check in zip(RESULTS, got, exact, scales, products[1:], strict=True):
        assert_within(*check, name)


@pytest.mark.parametrize("geometry", MOBILE, ids=str)
def test_fused_with_relu(geometry, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    settings = geometry.settings
    x[0, 0, 0, 0] = np.nan
    y, expected = conv2d_relu(x, w, b, **settings), relu(conv2d(x, w, b, **settings))
    assert_same_bits(y, expected)
    apart = conv2d_backward(relu_backward(dy, expected), x, w, **settings)
    freeze(dy, y)
    for got, exact in zip(conv2d_relu_backward(dy, y, x, w, **settings), apart, strict=True):
        assert_same_bits(got, exact)


def test_gradients_add_up_and_can_be_left_out(rng):
    geometry = MOBILE[0]
    x, w, _, dy = geometry.integers(rng, np.float64)
    dx, dw, db = conv2d_backward(dy, x, w, **geometry.settings)
    more = np.ones_like(w)
    assert conv2d_backward(dy, x, w, dx=False, dw=more, db=False, **geometry.settings)[::2] == (None, None)
    assert_equal(more, dw + 1)
    alone = conv2d_backward(dy, x, w, dx=False, dw=False, **geometry.settings)
    assert alone[:2] == (None, None)
    assert_equal(alone[2], db)
    assert_equal(conv2d_backward(dy, x, w, dw=False, db=False, **geometry.settings)[0], dx)


def test_an_empty_batch(dtype, rng):
    geometry = depthwise(7, n=0, padding=1)
    x, w, b, dy = geometry.integers(rng, dtype)
    assert conv2d(x, w, b, **geometry.settings).shape == geometry.y_shape
    dx, dw, db = conv2d_backward(dy, x, w, **geometry.settings)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(poison, rng):
    geometry = depthwise(19, stride=2, padding=1)
    x, w, b, dy = geometry.integers(rng, np.float32)
    x[1, 2, 3, 4] = w[3, 0, 1, 0] = dy[0, 3, 2, 1] = poison
    settings = geometry.settings
    with np.errstate(invalid="ignore"):
        expected = oracles.conv2d(x, w, b, **settings), *oracles.conv2d_backward(dy, x, w, **settings)
    got = conv2d(x, w, b, **settings), *conv2d_backward(dy, x, w, **settings)
    for result, values in zip(got, expected, strict=True):
        assert not np.all(np.isfinite(values))
        assert_equal(result, values)
