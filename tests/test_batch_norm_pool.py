"""Batch normalisation, ReLU and max pooling in one pass: what the three do one after the other."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last
from oracles import along_channels

from convnet.functional import batch_norm, batch_norm_inference, batch_norm_relu_pool, batch_norm_relu_pool_backward
from convnet.functional import max_pool2d as pooled

EPS = 1e-5
CASES = [((2, c, 6, 8), 2) for c in (*range(1, 36), 48, 63, 64, 65, 130)]
CASES += [((2, 5, 7, 9), 2), ((3, 8, 50, 41), (2, 3)), ((2, 17, 60, 60), (1, 2)), ((2, 3, 16, 17), (15, 17))]
CASES += [
    ((9, 64, 11, 11), 3),
    ((3, 130, 10, 10), 5),
    ((4, 600, 7, 7), 2),
    ((70, 2, 2, 1), (2, 1)),
    ((1, 1, 200, 301), 4),
]
every_case = pytest.mark.parametrize(("shape", "pool"), CASES, ids=str)


def _draw(shape, pool, rng, dtype):
    """(x, w, b, dy): half of the weights are negative."""
    size = [side // step for side, step in zip(shape[2:], oracles.pair(pool), strict=True)]
    x, w, b = rng.standard_normal(shape) + 0.5, *rng.standard_normal((2, shape[1]))
    return [a.astype(dtype) for a in (x, w, b, rng.standard_normal((*shape[:2], *size)))]


@every_case
def test_forward_gives_the_bits_of_the_three(shape, pool, dtype, rng):
    x, w, b, _ = _draw(shape, pool, rng, dtype)
    y, codes, mean, var = batch_norm_relu_pool(x, w, b, pool=pool)
    normal, *moments = batch_norm(x, w, b, relu=True)
    expected, places = pooled(normal, pool, return_codes=True)
    assert_same_bits(y, expected)
    assert_same_bits(mean, moments[0])
    assert_same_bits(var, moments[1])
    assert_equal(codes, np.where(expected > 0, places, 255))


@every_case
def test_moments_may_be_given(shape, pool, dtype, rng):
    x, w, b, _ = _draw(shape, pool, rng, dtype)
    mean, var = rng.standard_normal(shape[1]).astype(dtype), rng.uniform(0.5, 2, shape[1]).astype(dtype)
    y, _, *given = batch_norm_relu_pool(x, w, b, pool=pool, mean=mean, var=var)
    assert_same_bits(y, pooled(batch_norm_inference(x, mean, var, w, b, relu=True), pool))
    assert_equal(np.array(given), np.array([mean, var]))


@every_case
def test_gradients_stay_within_the_bound(shape, pool, dtype, rng):
    """Scales as for batch normalisation; g, which the codes choose, is exact."""
    x, w, b, dy = _draw(shape, pool, rng, dtype)
    y, codes, mean, var = batch_norm_relu_pool(x, w, b, pool=pool, eps=EPS)
    gradients = batch_norm_relu_pool_backward(dy, codes, x, mean, var, w, pool=pool, eps=EPS)
    g = oracles.max_pool2d_backward(np.where(y > 0, dy, 0), batch_norm(x, w, b, eps=EPS)[0], pool)
    count, axes, root = x[:, 0].size, (0, 2, 3), np.sqrt(var + EPS)
    size = np.abs(x - along_channels(mean)) + np.finfo(dtype).eps * along_channels(np.abs(mean))
    sums, dots = np.abs(g).sum(axis=axes), (np.abs(g) * size).sum(axis=axes)
    spread = along_channels(sums / count) + size * along_channels(dots / count / root**2)
    scales = along_channels(np.abs(w) / root) * (np.abs(g) + spread), dots / root, sums
    exact = oracles.batch_norm_backward(g, x, mean, var, w, EPS)
    for name, got, expected, scale in zip(("dx", "dweight", "dbias"), gradients, exact, scales, strict=True):
        assert_within(got, expected, scale, count, name)


def test_of_equal_elements_the_first_wins_and_of_nan_the_last(dtype):
    x = np.array([[[1, 1, 3, 3], [1, 1, 3, 1]], [[1, 1, np.nan, 2], [2, 1, np.nan, 2]]], dtype)[None]
    y, codes, _, _ = batch_norm_relu_pool(x, pool=2, mean=np.array([2.0, 0]), var=np.ones(2))
    assert_equal(codes, np.array([[[[255, 0]], [[2, 2]]]], np.uint8))
    assert_equal(np.isnan(y), np.array([[[[False, False]], [[False, True]]]]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit_and_nothing_is_written_to(layout, dtype, rng):
    results = []
    for again in np.ascontiguousarray, LAYOUTS[layout]:
        arrays = x, w, b, dy = [again(a) for a in _draw((2, 21, 8, 9), 2, np.random.default_rng(3), dtype)]
        before = freeze(*arrays)
        y, codes, *moments = batch_norm_relu_pool(x, w, b, pool=2)
        kept = freeze(codes, *moments)
        dx, *gradients = batch_norm_relu_pool_backward(dy, again(codes), x, *moments, w, pool=2)
        assert [a.tobytes() for a in (*arrays, codes, *moments)] == before + kept
        assert all(map(is_channels_last, (y, codes, dx)))
        results.append([y, codes, *moments, dx, *gradients])
    for got, expected in zip(*results, strict=True):
        assert_same_bits(got, expected)


def test_an_empty_batch(dtype):
    x, w = np.empty((0, 3, 4, 5), dtype), np.ones(3, dtype)
    y, codes, mean, var = batch_norm_relu_pool(x, w, w, pool=2)
    assert y.shape == codes.shape == (0, 3, 2, 2)
    assert_equal(np.array([mean, var]), np.zeros((2, 3)))
    dx, dweight, dbias = batch_norm_relu_pool_backward(y, codes, x, mean, var, w, pool=2)
    assert dx.shape == x.shape
    assert not dweight.any()
    assert not dbias.any()
