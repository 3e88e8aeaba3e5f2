"""Convolution in small groups, whose channels are spread over vectors: every ratio, border, cut and instruction set."""

import fast_oracles
import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from geometries import Conv
from layouts import freeze

from convnet.functional import conv2d, conv2d_backward, conv2d_relu, conv2d_relu_backward, relu, relu_backward

RESULTS = "dx", "dw", "db"
# (groups, channels and outputs of a group)
RATIOS = [
    (2, 1, 3),
    (3, 2, 2),
    (5, 3, 1),
    (8, 4, 4),
    (9, 2, 4),
    (11, 4, 2),
    (7, 3, 4),
    (13, 4, 3),
    (20, 1, 2),
    (40, 2, 1),
]
BLOCKS = [
    Conv(2, 32, 20, 30, 32, (3, 3), padding=1, groups=8),  # several rows in a block, several blocks
    Conv(2, 48, 37, 18, 24, (3, 3), padding=1, stride=2, groups=6),
    Conv(9, 16, 40, 9, 16, (5, 5), padding=2, groups=8),  # chunks of rows that start inside of an image
    Conv(1, 12, 35, 14, 24, (3, 3), padding=2, dilation=2, groups=12),
]


def assert_exact(geometry, dtype, rng):
    x, w, b, dy = geometry.integers(rng, dtype)
    freeze(x, w, b, dy)
    settings = geometry.settings
    assert_equal(conv2d(x, w, b, **settings), fast_oracles.conv2d(x, w, b, **settings), "y")
    expected = fast_oracles.conv2d_backward(dy, x, w, **settings)
    for name, got, exact in zip(RESULTS, conv2d_backward(dy, x, w, **settings), expected, strict=True):
        assert_equal(got, exact, name)
        assert got.dtype == dtype


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("groups", "inputs", "outputs"), RATIOS)
def test_every_ratio_of_channels(groups, inputs, outputs, stride, dtype, rng):
    assert_exact(
        Conv(2, groups * inputs, 9, 10, groups * outputs, (3, 3), padding=1, stride=stride, groups=groups), dtype, rng
    )


@pytest.mark.parametrize("stride", [1, 2, (1, 3), (2, 1), 5])
@pytest.mark.parametrize("padding", [0, 1, 3, ((2, 0), (0, 4)), "same"], ids=str)
@pytest.mark.parametrize("dilation", [1, 2, (3, 1), (1, 4)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (2, 4)], ids=str)
def test_every_geometry(kernel, dilation, padding, stride, dtype, rng):
    for size in (17, 18), (5, 13):
        geometry = Conv(1, 10, *size, 15, kernel, stride=stride, padding=padding, dilation=dilation, groups=5)
        if geometry.fits:
            assert_exact(geometry, dtype, rng)


@pytest.mark.parametrize("geometry", BLOCKS, ids=str)
def test_every_cut(geometry, dtype, rng):
    assert_exact(geometry, dtype, rng)


@pytest.mark.parametrize("geometry", BLOCKS, ids=str)
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


@pytest.mark.parametrize("geometry", BLOCKS, ids=str)
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


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows_and_group(poison, rng):
    geometry = Conv(2, 12, 9, 10, 24, (3, 3), stride=2, padding=1, groups=6)
    x, w, b, dy = geometry.integers(rng, np.float32)
    x[1, 2, 3, 4] = dy[0, 3, 2, 1] = poison
    settings = geometry.settings
    with np.errstate(invalid="ignore"):
        expected = oracles.conv2d(x, w, b, **settings), *oracles.conv2d_backward(dy, x, w, **settings)
    got = conv2d(x, w, b, **settings), *conv2d_backward(dy, x, w, **settings)
    for result, values in zip(got, expected, strict=True):
        assert not np.all(np.isfinite(values))
        assert_equal(result, values)
