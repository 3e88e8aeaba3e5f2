"""Batch normalisation and its gradient.

The bounds, with K pixels, d = x - mean and u half an eps. The kernel sums deviations from a centre, the mean of a piece
of the batch as it comes out of a plain sum: the absolute deviations from a piece's own mean add up to at most twice
those from the mean of all, and the plain sum is within eps sqrt(K) mean |x| of that. So S = 2 mean |d| + eps sqrt(K)
mean |x| is the scale of the mean, however large the mean is, and S^2 beside the mean square that of the variance. The
pieces meet in float64: its roundings of a mean, of scale |mean|, move the variance by as much times S. From there on
everything is known but for the roundings of each formula, whose terms make the other scales.
"""

import numpy as np
import oracles
import pytest
from bounds import DIRECT, assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last
from oracles import along_channels

from convnet.functional import batch_norm, batch_norm_backward, batch_norm_inference

EPS = 1e-5
SHAPES = [(2, c, 5, 7) for c in (*range(1, 36), 48, 63, 64, 65, 127, 128, 130)]
SHAPES += [(2, 3, 1, 1), (1, 5, 1, 2), (3, 8, 50, 41), (2, 17, 60, 60), (9, 64, 11, 11), (3, 130, 10, 10)]
SHAPES += [(4, 600, 7, 7), (70, 2, 1, 1), (1, 1, 200, 301)]
FORMS = {"plain": (False, False), "relu": (True, False), "add": (False, True), "add-relu": (True, True)}
every_form = pytest.mark.parametrize(("relu", "adds"), FORMS.values(), ids=FORMS.keys())


def _draw(shape, rng, dtype, mean=0.5, scale=2.0):
    """(x, w, b, add, dy), with another mean and scale in each channel."""
    c = shape[1]
    x, add, dy = rng.standard_normal((3, *shape))
    x = x * along_channels(scale * rng.uniform(0.2, 1, c)) + along_channels(mean * rng.uniform(0.5, 1, c))
    return [a.astype(dtype) for a in (x, rng.standard_normal(c), rng.standard_normal(c), add, dy)]


def _scales(x):
    """(S, mean square) of each channel, see above."""
    mean, var = oracles.moments(x)
    count, precision = x[:, 0].size, np.finfo(x.dtype).eps
    sizes = np.abs(np.float64(x)).mean(axis=(0, 2, 3)), np.abs(x - along_channels(mean)).mean(axis=(0, 2, 3))
    s = 2 * sizes[1] + precision * np.sqrt(count) * sizes[0]
    return s, var + s**2


def _check_moments(x, mean, var):
    s, square = _scales(x)
    exact_mean, exact_var = oracles.moments(x)
    root, tiny = np.sqrt(x[:, 0].size), np.finfo(x.dtype).tiny
    for got, exact, scale, joined in (mean, exact_mean, s, 1), (var, exact_var, square, s):
        limit = np.finfo(x.dtype).eps * scale + np.finfo(np.float64).eps * np.abs(exact_mean) * joined
        assert np.all(np.abs(got - exact) <= DIRECT * root * limit + tiny), (got, exact)


def _check_output(y, x, mean, var, w, b, add, relu):
    """Given mean and variance: roundings of the difference and of the shift, scale, products and sums."""
    exact = oracles.batch_norm(x, mean, var, w, b, EPS) + add
    deviation = np.abs(x - along_channels(mean)) * along_channels(np.abs(w) / np.sqrt(var + EPS))
    exact = np.where(exact > 0, exact, 0) if relu else exact
    assert_within(y, exact, deviation + along_channels(np.abs(b)) + np.abs(add), 1, "y")


@every_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_stays_within_the_bound(shape, relu, adds, dtype, rng):
    x, w, b, add, _ = _draw(shape, rng, dtype)
    y, mean, var = batch_norm(x, w, b, eps=EPS, relu=relu, add=add if adds else None)
    assert y.dtype == dtype
    _check_moments(x, mean, var)
    _check_output(y, x, mean, var, w, b, add if adds else 0, relu)


@every_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_stay_within_the_bound(shape, relu, adds, dtype, rng):
    x, w, b, add, dy = _draw(shape, rng, dtype)
    y, mean, var = batch_norm(x, w, b, eps=EPS, relu=relu, add=add if adds else None)
    g = np.where(y > 0, dy, 0) if relu else dy
    *gradients, dadd = batch_norm_backward(
        dy, x, mean, var, w, b, eps=EPS, relu=relu, output=y if adds and relu else None
    )
    if adds and relu:
        assert_equal(dadd, g)
    else:
        assert dadd is None
    _check_gradients(gradients, g, x, mean, var, w)


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "add"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_ceiling_cuts_off_what_the_relu_gives(shape, adds, dtype, rng):
    """The same bits as without one, of a gradient that is 0 at both ends."""
    x, w, b, add, dy = _draw(shape, rng, dtype)
    settings = {"eps": EPS, "relu": True, "add": add if adds else None}
    y, mean, var = batch_norm(x, w, b, ceiling=0.75, **settings)
    assert_equal(y, np.minimum(batch_norm(x, w, b, **settings)[0], dtype(0.75)))
    assert_equal(batch_norm_inference(x, mean, var, w, b, ceiling=0.75, **settings), y)
    g = np.where((y > 0) & (y < 0.75), dy, 0)
    output = y if adds else None
    *gradients, dadd = batch_norm_backward(dy, x, mean, var, w, b, eps=EPS, relu=True, ceiling=0.75, output=output)
    for got, expected in zip(gradients, batch_norm_backward(g, x, mean, var, w, b, eps=EPS)[:3], strict=True):
        assert_equal(got, expected)
    if adds:
        assert_equal(dadd, g)


@pytest.mark.parametrize("pixels", [2, 70])
def test_at_the_ends_themselves_the_gradient_is_0(pixels, dtype):
    """3 * (-1, 1) + 3 with a deviation of 1 is 0 and 6; NaN passes, and infinity is cut off."""
    x, dy = np.tile([[-1, 1]], (1, pixels)).reshape(1, 1, 2, -1).astype(dtype), np.ones((1, 1, 2, pixels), dtype)
    three = np.full(1, 3, dtype)
    y, mean, var = batch_norm(x, three, three, eps=0, relu=True, ceiling=6)
    assert_equal(y, 3 * x + 3)
    for gradient in batch_norm_backward(dy, x, mean, var, three, three, eps=0, relu=True, ceiling=6)[:3]:
        assert not gradient.any()
    x.reshape(-1)[:3] = np.nan, np.inf, -np.inf
    y = batch_norm_inference(x, mean, var, three, three, eps=0, relu=True, ceiling=6)
    assert_equal(y.reshape(-1)[:4], np.array([np.nan, 6, 0, 6], dtype))


def _check_gradients(gradients, g, x, mean, var, w):
    count, axes = x[:, 0].size, (0, 2, 3)
    root = np.sqrt(var + EPS)
    size = np.abs(x - along_channels(mean)) + np.finfo(x.dtype).eps * along_channels(np.abs(mean))
    sums, dots = np.abs(g).sum(axis=axes), (np.abs(g) * size).sum(axis=axes)
    scales = (
        along_channels(np.abs(w) / root)
        * (np.abs(g) + along_channels(sums / count) + size * along_channels(dots / count / root**2)),
        dots / root,
        sums,
    )
    exact = oracles.batch_norm_backward(g, x, mean, var, w, EPS)
    for name, got, expected, scale in zip(("dx", "dweight", "dbias"), gradients, exact, scales, strict=True):
        assert_within(got, expected, scale, count, name)


@pytest.mark.parametrize("mean", [1e3, -1e5])
@pytest.mark.parametrize("shape", [(2, 5, 9, 9), (3, 8, 50, 41), (4, 130, 10, 10)], ids=str)
def test_a_large_mean_costs_no_digits(shape, mean, dtype, rng):
    """With a variance of 1 the squares of 1e5 would leave none in float32."""
    x, w, b, _, dy = _draw(shape, rng, dtype, mean, 1)
    y, got_mean, var = batch_norm(x, w, b, eps=EPS)
    _check_moments(x, got_mean, var)
    _check_output(y, x, got_mean, var, w, b, 0, False)
    _check_gradients(batch_norm_backward(dy, x, got_mean, var, w, b, eps=EPS)[:3], dy, x, got_mean, var, w)


@pytest.mark.parametrize("shape", [(2, 3, 40, 70), (3, 70, 4, 4)], ids=str)
def test_a_constant_channel_has_no_variance(shape, dtype, rng):
    x, w, b, _, dy = _draw(shape, rng, dtype)
    x[:, 1] = 0.1
    y, mean, var = batch_norm(x, w, b)
    assert mean[1] == x[0, 1, 0, 0]
    assert var[1] == 0
    assert_equal(y[:, 1], np.full_like(y[:, 1], b[1]))
    assert np.all(np.isfinite(batch_norm_backward(dy, x, mean, var, w, b)[0]))


@every_form
@pytest.mark.parametrize("c", [1, 3, 8, 64, 130])
def test_inference_uses_the_moments_given(c, relu, adds, dtype, rng):
    x, w, b, add, _ = _draw((3, c, 9, 21), rng, dtype)
    mean, var = rng.standard_normal(c).astype(dtype), rng.uniform(0.5, 2, c).astype(dtype)
    y = batch_norm_inference(x, mean, var, w, b, eps=EPS, relu=relu, add=add if adds else None)
    _check_output(y, x, mean, var, w, b, add if adds else 0, relu)


def test_without_weight_and_bias_they_are_1_and_0(dtype, rng):
    x, w, b, _, dy = _draw((2, 5, 6, 7), rng, dtype)
    ones, zeros = np.ones_like(w), np.zeros_like(b)
    y, mean, var = batch_norm(x)
    assert_same_bits(y, batch_norm(x, ones, zeros)[0])
    for got, expected in zip(
        batch_norm_backward(dy, x, mean, var)[:3], batch_norm_backward(dy, x, mean, var, ones, zeros)[:3], strict=True
    ):
        assert_same_bits(got, expected)


def test_gradients_are_added_or_left_out(dtype, rng):
    x, w, b, _, dy = _draw((2, 5, 6, 7), rng, dtype)
    _, mean, var = batch_norm(x, w, b)
    dx, dweight, dbias, _ = batch_norm_backward(dy, x, mean, var, w, b)
    into = np.ones_like(w), np.ones_like(b)
    nothing, *same, _ = batch_norm_backward(dy, x, mean, var, w, b, dx=False, dweight=into[0], dbias=into[1])
    assert nothing is None
    for got, target, gradient in zip(same, into, (dweight, dbias), strict=True):
        assert got is target
        assert_equal(got, gradient + dtype(1))
    alone, *none = batch_norm_backward(dy, x, mean, var, w, b, dweight=False, dbias=False)
    assert_same_bits(alone, dx)
    assert none == [None, None, None]


@every_form
def test_nan_stays_in_its_channel(relu, adds, dtype, rng):
    x, w, b, add, dy = _draw((3, 19, 30, 31), rng, dtype)
    x[1, 4, 3, 3] = np.nan
    y, mean, var = batch_norm(x, w, b, relu=relu, add=add if adds else None)
    dx, dweight, dbias, _ = batch_norm_backward(dy, x, mean, var, w, b, relu=relu, output=y if adds and relu else None)
    affected = np.arange(19) == 4
    for maps in y, dx:
        assert_equal(np.isnan(maps).all(axis=(0, 2, 3)), affected)
        assert_equal(np.isnan(maps).any(axis=(0, 2, 3)), affected)
    for values in mean, var, dweight:
        assert_equal(np.isnan(values), affected)
    assert np.all(np.isfinite(dbias))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    x, w, b, add, dy = _draw((2, 21, 8, 9), rng, dtype)
    for given in (x, w, b, add, dy), tuple(map(again, (x, w, b, add, dy))):
        gx, gw, gb, gadd, gdy = given
        y, mean, var = batch_norm(gx, gw, gb, relu=True, add=gadd)
        results = y, *batch_norm_backward(gdy, gx, mean, var, gw, gb, relu=True, output=again(y))
        results += (batch_norm_inference(gx, again(mean), again(var), gw, gb, add=gadd),)
        if given[0] is x:
            expected = results
    for got, alone in zip(results, expected, strict=True):
        assert_same_bits(got, alone)


def test_results_are_channels_last_and_arguments_are_not_written_to(dtype, rng):
    arrays = x, w, b, add, dy = _draw((2, 5, 8, 9), rng, dtype)
    before = freeze(*arrays)
    y, mean, var = batch_norm(x, w, b, relu=True, add=add)
    kept = freeze(y, mean, var)
    dx, _, _, dadd = batch_norm_backward(dy, x, mean, var, w, b, relu=True, output=y)
    inferred = batch_norm_inference(x, mean, var, w, b)
    assert all(map(is_channels_last, (y, dx, dadd, inferred)))
    assert [a.tobytes() for a in (*arrays, y, mean, var)] == before + kept


@every_form
def test_an_empty_batch(relu, adds, dtype):
    x, w = np.empty((0, 3, 4, 5), dtype), np.ones(3, dtype)
    y, mean, var = batch_norm(x, w, w, relu=relu, add=x if adds else None)
    assert y.shape == batch_norm_inference(x, mean, var, w, w).shape == x.shape
    assert_equal(np.array([mean, var]), np.zeros((2, 3)))
    dx, dweight, dbias, _ = batch_norm_backward(x, x, mean, var, w, w, relu=relu)
    assert dx.shape == x.shape
    assert not dweight.any()
    assert not dbias.any()
