"""Group normalisation and its gradient, with the bounds of test_batch_norm.py.

A channel's deviations are taken from a centre within eps sqrt(K) mean |x| of its mean, K its pixels, and add up to at
most twice those from the mean of all (pieces have means of their own). The means of pieces and channels then meet in
float64: what they err by moves the group's variance by as much times their distance from the group's mean.
"""

import layer_oracles as oracles
import numpy as np
import pytest
from bounds import DIRECT, assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last
from oracles import along_channels

from convnet.functional import group_norm, group_norm_backward
from convnet.layers import GroupNorm

EPS = 1e-3
SHAPES = [((1, 1, 1, 1), 1), ((2, 6, 4, 5), 3), ((3, 64, 9, 9), 8), ((1, 48, 50, 41), 6), ((2, 130, 7, 7), 1),
          ((2, 20, 30, 31), 20), ((5, 12, 1, 1), 4), ((1, 3, 130, 129), 1)]  # fmt: skip
every_shape = pytest.mark.parametrize(("shape", "groups"), SHAPES, ids=str)


def _draw(shape, rng, dtype, mean=0.5):
    x = (rng.standard_normal(shape) * rng.uniform(0.5, 2, (1, shape[1], 1, 1)) + mean).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    return x, w, b, rng.standard_normal(shape).astype(dtype)


def _check_moments(x, mean, var):
    n, _, h, w = x.shape
    groups, eps = mean.shape[1], np.finfo(x.dtype).eps
    exact_mean, exact_var = oracles.group_moments(x, groups)
    wide, root = np.float64(x).reshape(n, groups, -1), DIRECT * np.sqrt(h * w)
    size = 2 * np.abs(wide - exact_mean[:, :, None]).mean(axis=2) + eps * root * np.abs(wide).mean(axis=2)
    joined = DIRECT * np.finfo(np.float64).eps * np.sqrt(wide.shape[2]) * np.abs(wide).mean(axis=2)
    mean_limit = root * eps * size + joined
    spread = np.abs(wide - exact_mean[:, :, None]).max(axis=2)
    assert np.all(np.abs(mean - exact_mean) <= mean_limit)
    assert np.all(np.abs(var - exact_var) <= root * eps * (4 * exact_var + size**2) + 2 * spread * mean_limit)


def _check_output(y, x, mean, var, w, b):
    c = x.shape[1]
    size = np.abs(x - oracles.over_channels(mean, c)) * along_channels(np.abs(w))
    scale = size / np.sqrt(oracles.over_channels(var, c) + EPS) + along_channels(np.abs(b))
    assert_within(y, oracles.group_norm(x, mean, var, w, b, EPS), scale, 1, "y")


def _check_gradients(gradients, dy, x, mean, var, w):
    n, c, h, width = x.shape
    size = np.abs(x - oracles.over_channels(mean, c)) + np.finfo(x.dtype).eps * np.abs(oracles.over_channels(mean, c))
    root = np.sqrt(oracles.over_channels(var, c) + EPS)
    g = along_channels(np.abs(w)) * np.abs(dy)
    first, second = (
        oracles.over_channels(terms.reshape(*mean.shape, -1).mean(axis=2), c) for terms in (g, g * size / root)
    )
    scales = (
        (g + first + size / root * second) / root,
        (np.abs(dy) * size / root).sum(axis=(0, 2, 3)),
        np.abs(dy).sum(axis=(0, 2, 3)),
    )
    exact = oracles.group_norm_backward(dy, x, mean, var, w, EPS)
    for name, got, expected, scale in zip(("dx", "dweight", "dbias"), gradients, exact, scales, strict=True):
        assert_within(got, expected, scale, n * h * width, name)


@every_shape
def test_within_the_bounds(shape, groups, dtype, rng):
    x, w, b, dy = _draw(shape, rng, dtype)
    y, mean, var = group_norm(x, groups, w, b, eps=EPS)
    assert y.dtype == dtype
    _check_moments(x, mean, var)
    _check_output(y, x, mean, var, w, b)
    _check_gradients(group_norm_backward(dy, x, mean, var, w, eps=EPS), dy, x, mean, var, w)


@pytest.mark.parametrize("mean", [1e3, -1e5])
@pytest.mark.parametrize(("shape", "groups"), [((2, 6, 9, 9), 2), ((1, 8, 50, 41), 1)], ids=str)
def test_a_large_mean_costs_no_digits(shape, groups, mean, dtype, rng):
    x, w, b, dy = _draw(shape, rng, dtype, mean)
    y, got_mean, var = group_norm(x, groups, w, b, eps=EPS)
    _check_moments(x, got_mean, var)
    _check_output(y, x, got_mean, var, w, b)
    _check_gradients(group_norm_backward(dy, x, got_mean, var, w, eps=EPS), dy, x, got_mean, var, w)


def test_without_weight_and_bias_they_are_1_and_0(dtype, rng):
    x, w, b, dy = _draw((2, 6, 6, 7), rng, dtype)
    y, mean, var = group_norm(x, 2)
    assert_same_bits(y, group_norm(x, 2, np.ones_like(w), np.zeros_like(b))[0])
    plain, given = (group_norm_backward(dy, x, mean, var, weight) for weight in (None, np.ones_like(w)))
    for got, expected in zip(plain, given, strict=True):
        assert_same_bits(got, expected)


def test_gradients_are_added_or_left_out(dtype, rng):
    x, w, b, dy = _draw((2, 6, 6, 7), rng, dtype)
    _, mean, var = group_norm(x, 3, w, b)
    dx, dweight, dbias = group_norm_backward(dy, x, mean, var, w)
    into = np.ones_like(w), np.ones_like(b)
    nothing, *same = group_norm_backward(dy, x, mean, var, w, dx=False, dweight=into[0], dbias=into[1])
    assert nothing is None
    for got, target, gradient in zip(same, into, (dweight, dbias), strict=True):
        assert got is target
        np.testing.assert_allclose(
            got, gradient + dtype(1), rtol=0, atol=np.finfo(dtype).eps * (abs(gradient) + 1).max()
        )
    alone, *none = group_norm_backward(dy, x, mean, var, w, dweight=False, dbias=False)
    assert_same_bits(alone, dx)
    assert none == [None, None]


def test_an_image_does_not_depend_on_the_batch(dtype, rng):
    x, w, b, _ = _draw((4, 12, 20, 21), rng, dtype)
    y, _, _ = group_norm(x, 3, w, b)
    assert_same_bits(np.ascontiguousarray(y[2:3]), np.ascontiguousarray(group_norm(x[2:3], 3, w, b)[0]))


def test_nan_stays_in_its_group(dtype, rng):
    x, w, b, dy = _draw((2, 6, 30, 31), rng, dtype)
    x[1, 4, 3, 3] = np.nan
    y, mean, var = group_norm(x, 3, w, b)
    affected = np.zeros((2, 6), bool)
    affected[1, 4:] = True
    dx, _, _ = group_norm_backward(dy, x, mean, var, w)
    for maps in y, dx:
        assert_equal(np.isnan(maps).all(axis=(2, 3)), affected)
        assert_equal(np.isnan(maps).any(axis=(2, 3)), affected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    x, w, b, dy = arrays = _draw((2, 21, 8, 9), rng, dtype)
    before = freeze(*arrays)
    y, mean, var = group_norm(x, 7, w, b)
    gradients = group_norm_backward(dy, x, mean, var, w)
    assert is_channels_last(y)
    assert is_channels_last(gradients[0])
    assert_same_bits(group_norm(again(x), 7, again(w), again(b))[0], y)
    for got, expected in zip(group_norm_backward(again(dy), again(x), mean, var, again(w)), gradients, strict=True):
        assert_same_bits(got, expected)
    assert [a.tobytes() for a in arrays] == before


def test_an_empty_batch(dtype):
    x, w = np.empty((0, 4, 4, 5), dtype), np.ones(4, dtype)
    y, mean, var = group_norm(x, 2, w, w)
    assert y.shape == x.shape
    assert mean.shape == var.shape == (0, 2)
    dx, dweight, dbias = group_norm_backward(x, x, mean, var, w)
    assert dx.shape == x.shape
    assert not dweight.any()
    assert not dbias.any()


def test_settings_have_the_names_of_the_layer(rng):
    x = rng.random((2, 4, 3, 3))
    np.testing.assert_array_equal(group_norm(x, num_groups=2)[0], GroupNorm(2, 4, dtype=np.float64)(x))
