"""Max and average pooling and their gradients."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from geometries import POOL_EDGES, Pool, sampled_pool
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

GRID = POOL_EDGES + sampled_pool(120)
UNDILATED = [geometry for geometry in GRID if geometry.dilation in (1, (1, 1))]


def _max_gradient(dy, x, geometry):
    _, codes = max_pool2d(x, geometry.kernel, **geometry.settings, return_codes=True)
    return max_pool2d_backward(dy, codes, x.shape, geometry.kernel, **geometry.settings)


def _draw(geometry, rng, dtype):
    """(x, dy): reals that are all negative, so that a padding of zeros would win, and integers."""
    x = -np.abs(rng.standard_normal(geometry.x_shape)).astype(dtype) - 1
    return x, rng.integers(-9, 10, geometry.y_shape).astype(dtype)


@pytest.mark.parametrize("geometry", GRID, ids=str)
def test_max_pool2d_is_exact(geometry, dtype, rng):
    x, dy = _draw(geometry, rng, dtype)
    y, codes = max_pool2d(x, geometry.kernel, **geometry.settings, return_codes=True)
    assert_equal(y, oracles.max_pool2d(x, geometry.kernel, **geometry.settings), "y")
    assert_same_bits(max_pool2d(x, geometry.kernel, **geometry.settings), y)
    dx = max_pool2d_backward(dy, codes, x.shape, geometry.kernel, **geometry.settings)
    assert_equal(dx, oracles.max_pool2d_backward(dy, x, geometry.kernel, **geometry.settings), "dx")
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("geometry", GRID, ids=str)
def test_ties_go_to_the_first(geometry, rng):
    """Windows full of equal values: the order of the taps decides where the gradient goes."""
    x = rng.integers(0, 2, geometry.x_shape).astype(np.float32)
    dy = rng.integers(-9, 10, geometry.y_shape).astype(np.float32)
    expected = oracles.max_pool2d_backward(dy, x, geometry.kernel, **geometry.settings)
    assert_equal(_max_gradient(dy, x, geometry), expected)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("geometry", UNDILATED, ids=str)
def test_avg_pool2d_stays_within_the_bound(geometry, count_include_pad, dtype, rng):
    x, dy = _draw(geometry, rng, dtype)
    settings = geometry.undilated | {"count_include_pad": count_include_pad}
    products = np.prod(oracles.pair(geometry.kernel))
    y = avg_pool2d(x, geometry.kernel, **settings)
    exact = oracles.avg_pool2d(x, geometry.kernel, **settings)
    assert_within(y, exact, np.abs(exact), products, "y")  # no sign changes in x: S = |y|
    dx = avg_pool2d_backward(dy, x.shape, geometry.kernel, **settings)
    exact, scale = (oracles.avg_pool2d_backward(a, x.shape, geometry.kernel, **settings) for a in (dy, np.abs(dy)))
    assert_within(dx, exact, scale, products, "dx")
    assert y.dtype == dx.dtype == dtype


def test_padding_counts_unless_told_otherwise(dtype):
    x, dy = np.ones((1, 5, 4, 4), dtype), np.ones((1, 5, 3, 3), dtype)
    assert avg_pool2d(x, 2, 2, 1)[0, 4].tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
    assert_equal(avg_pool2d(x, 2, 2, 1, count_include_pad=False), np.ones(dy.shape))
    assert_equal(avg_pool2d_backward(dy, x.shape, 2, 2, 1), np.full(x.shape, 0.25))
    corner = avg_pool2d_backward(dy, x.shape, 2, 2, 1, count_include_pad=False)[0, 4, :2, :2]
    assert corner.tolist() == [[1, 0.5], [0.5, 0.25]]


@pytest.mark.parametrize("channels", [*range(1, 36), 63, 64, 65])
def test_every_number_of_channels(channels, rng):
    geometry = Pool(2, channels, 6, 7, 2)
    x, dy = rng.integers(-99, 99, geometry.x_shape).astype(np.float32), np.ones(geometry.y_shape, np.float32)
    assert_equal(max_pool2d(x, 2), oracles.max_pool2d(x, 2))
    assert_equal(_max_gradient(dy, x, geometry), oracles.max_pool2d_backward(dy, x, 2))
    assert_equal(avg_pool2d(x, 2), oracles.avg_pool2d(x, 2))
    assert_equal(avg_pool2d_backward(dy, x.shape, 2), oracles.avg_pool2d_backward(dy, x.shape, 2))


def test_nan_wins_and_gets_the_gradient(dtype, rng):
    geometry = Pool(2, 19, 9, 9, 3, 2, 1)
    x = rng.standard_normal(geometry.x_shape).astype(dtype)
    x[rng.random(x.shape) < 0.2] = np.nan
    dy = rng.integers(1, 9, geometry.y_shape).astype(dtype)
    assert_equal(max_pool2d(x, 3, 2, 1), oracles.max_pool2d(x, 3, stride=2, padding=1))
    assert_equal(_max_gradient(dy, x, geometry), oracles.max_pool2d_backward(dy, x, 3, stride=2, padding=1))
    assert_equal(np.isnan(avg_pool2d(x, 3, 2, 1)), np.isnan(oracles.avg_pool2d(x, 3, stride=2, padding=1)))


def test_infinities(dtype, rng):
    x = rng.choice([-np.inf, np.inf], (2, 17, 6, 6)).astype(dtype)
    x[0] = -np.inf
    dy = np.ones((2, 17, 3, 3), dtype)
    assert_equal(max_pool2d(x, 2), oracles.max_pool2d(x, 2))
    assert_equal(_max_gradient(dy, x, Pool(2, 17, 6, 6, 2)), oracles.max_pool2d_backward(dy, x, 2))


def test_a_window_between_the_pixels():
    """Dilated taps that all fall into the padding: the maximum of nothing, and no gradient anywhere."""
    x = np.ones((1, 3, 1, 1), np.float32)
    y, codes = max_pool2d(x, 2, 1, padding=2, dilation=4, return_codes=True)
    assert_equal(y, np.full((1, 3, 1, 1), -np.inf))
    assert_equal(max_pool2d_backward(np.ones_like(y), codes, x.shape, 2, 1, 2, 4), np.zeros(x.shape))


def test_empty_batch(dtype):
    x, dy = np.empty((0, 3, 6, 6), dtype), np.empty((0, 3, 3, 3), dtype)
    assert max_pool2d(x, 2).shape == avg_pool2d(x, 2).shape == (0, 3, 3, 3)
    assert _max_gradient(dy, x, Pool(0, 3, 6, 6, 2)).shape == x.shape
    assert avg_pool2d_backward(dy, x.shape, 2).shape == x.shape


def test_a_large_batch_is_its_images_one_by_one(dtype, rng):
    """Large enough to be cut into pieces for the threads."""
    x, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((40, 35, 30, 30), (40, 35, 15, 15)))
    together = (max_pool2d(x, 3, 2, 1), _max_gradient(dy, x, Pool(40, 35, 30, 30, 3, 2, 1)))
    together += (avg_pool2d(x, 3, 2, 1), avg_pool2d_backward(dy, x.shape, 3, 2, 1))
    for n in range(len(x)):
        image, gradient, one = x[n : n + 1], dy[n : n + 1], Pool(1, 35, 30, 30, 3, 2, 1)
        alone = (max_pool2d(image, 3, 2, 1), _max_gradient(gradient, image, one))
        alone += (avg_pool2d(image, 3, 2, 1), avg_pool2d_backward(gradient, image.shape, 3, 2, 1))
        for got, expected in zip(together, alone, strict=True):
            assert_same_bits(got[n : n + 1], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again, geometry = LAYOUTS[layout], Pool(2, 21, 8, 9, 3, 2, 1, ceil_mode=True)
    x, dy = (rng.standard_normal(shape).astype(dtype) for shape in (geometry.x_shape, geometry.y_shape))
    _, codes = max_pool2d(x, 3, 2, 1, ceil_mode=True, return_codes=True)
    assert_same_bits(max_pool2d(again(x), 3, 2, 1, ceil_mode=True), max_pool2d(x, 3, 2, 1, ceil_mode=True))
    assert_same_bits(avg_pool2d(again(x), 3, 2, 1, True), avg_pool2d(x, 3, 2, 1, True))
    expected = _max_gradient(dy, x, geometry)
    assert_same_bits(_max_gradient(again(dy), again(x), geometry), expected)
    assert_same_bits(max_pool2d_backward(dy, again(codes), x.shape, 3, 2, 1, 1, True), expected)
    got, expected = (avg_pool2d_backward(a, x.shape, 3, 2, 1, True) for a in (again(dy), dy))
    assert_same_bits(got, expected)


def test_broadcast_gradient():
    """The gradient of a sum or a mean often arrives as one number broadcast over the map."""
    dy = np.broadcast_to(np.float32(2), (2, 5, 3, 3))
    assert_equal(avg_pool2d_backward(dy, (2, 5, 6, 6), 2), np.full((2, 5, 6, 6), 0.5))


def test_results_are_channels_last_and_arguments_are_not_written_to(dtype, rng):
    geometry = Pool(2, 5, 8, 9, 3, 2, 1)
    x, dy = (rng.standard_normal(shape).astype(dtype) for shape in (geometry.x_shape, geometry.y_shape))
    before = freeze(x, dy)
    y, codes = max_pool2d(x, 3, 2, 1, return_codes=True)
    frozen_codes = freeze(codes)
    dx = max_pool2d_backward(dy, codes, x.shape, 3, 2, 1)
    results = y, dx, avg_pool2d(x, 3, 2, 1), avg_pool2d_backward(dy, x.shape, 3, 2, 1)
    assert all(is_channels_last(result) and result.flags.writeable for result in results)
    assert [x.tobytes(), dy.tobytes(), codes.tobytes()] == before + frozen_codes


def test_codes_fit_the_map():
    """One small code a pooled pixel, not an index of eight bytes."""
    _, codes = max_pool2d(np.zeros((2, 5, 8, 8), np.float32), 2, return_codes=True)
    assert codes.shape == (2, 5, 4, 4)
    assert codes.itemsize == 1
