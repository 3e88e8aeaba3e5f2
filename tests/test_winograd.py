"""Winograd's convolution, asked for by name: within its bound, fused or not, the same bits however it is cut."""

import fast_oracles
import numpy as np
import pytest
import winograd_oracle
from bounds import WINOGRAD, assert_equal, assert_same_bits, assert_within
from geometries import Conv
from layouts import freeze, is_channels_last
from oracles import conv2d_sides

from convnet.functional import (
    conv2d,
    conv2d_backward,
    conv2d_relu,
    conv2d_relu_backward,
    max_pool2d,
    max_pool2d_backward,
    relu,
    relu_backward,
)

EDGES = [
    Conv(1, 1, 1, 1, 1, (3, 3), padding=1),
    Conv(1, 1, 3, 3, 1, (3, 3)),  # one output
    Conv(1, 2, 4, 4, 3, (3, 3)),
    Conv(2, 3, 5, 9, 4, (3, 3), padding=1),
    Conv(3, 16, 8, 8, 16, (3, 3), padding=1),  # whole tiles
    Conv(1, 8, 12, 10, 8, (3, 3), padding="same"),
    Conv(2, 17, 7, 6, 33, (3, 3), padding=2),
    Conv(1, 5, 6, 7, 4, (3, 3), padding=((3, 0), (0, 2))),  # more padding than taps: dx crops
    Conv(1, 3, 2, 2, 3, (3, 3), padding=((9, 7), (6, 8))),  # tiles wholly in the padding
    Conv(5, 40, 14, 14, 40, (3, 3), padding=1),
    Conv(2, 65, 9, 9, 130, (3, 3), padding=1),  # several blocks of channels and outputs
    Conv(9, 12, 33, 33, 200, (3, 3), padding=1),  # several groups of tiles
    Conv(300, 9, 4, 4, 10, (3, 3)),  # several chunks of the weight gradient
]


def _sampled(count):
    """Random sizes 1-33, channels 1-40 and paddings."""
    rng = np.random.default_rng(3)
    while count:
        n, c, h, w, out = (int(rng.integers(1, most + 1)) for most in (3, 40, 33, 33, 40))
        sides = tuple(tuple(map(int, rng.integers(0, 5, 2))) for _ in range(2))
        geometry = Conv(n, c, h, w, out, (3, 3), padding=[0, 1, "same", sides][rng.integers(4)])
        if geometry.fits:
            count -= 1
            yield geometry


GEOMETRIES = EDGES + list(_sampled(60))
FUSED = [Conv(2, 17, 9, 14, 20, (3, 3), padding=1), Conv(3, 4, 8, 8, 16, (3, 3)), Conv(9, 32, 30, 30, 64, (3, 3))]
POOLS = [None, 2, (1, 2), (2, 1), 4, (4, 2)]
LARGE = [Conv(8, 32, 24, 24, 64, (3, 3), padding=1), Conv(1, 200, 13, 13, 300, (3, 3), padding=1)]


def _before(geometry):
    sides = conv2d_sides(geometry.padding, geometry.x_shape[2:], (3, 3), (1, 1), (1, 1))
    return sides[0][0], sides[1][0]


def _all(x, w, b, dy, geometry, algorithm="winograd"):
    settings = geometry.settings | {"algorithm": algorithm}
    return conv2d(x, w, b, **settings), *conv2d_backward(dy, x, w, **settings)


def _roundings(geometry):
    n, _, oh, ow = geometry.y_shape
    return geometry.c + WINOGRAD, geometry.out + WINOGRAD, n * -(-oh // 4) * -(-ow // 4) + WINOGRAD, n * oh * ow


def _scales(x, w, b, dy, geometry):
    before, sizes = _before(geometry), [np.abs(a) for a in (x, w, b, dy)]
    x, w, b, dy = sizes
    y = winograd_oracle.forward(x, w, b, before, dy.shape[2:], absolute=True)
    dx = winograd_oracle.data_gradient(dy, w, before, x.shape[2:], absolute=True)
    dw = winograd_oracle.weight_gradient(dy, x, before, absolute=True)
    return y, dx, dw, np.float64(dy).sum(axis=(0, 2, 3))


def _check(x, w, b, dy, geometry):
    settings = geometry.settings
    exact = fast_oracles.conv2d(x, w, b, **settings), *fast_oracles.conv2d_backward(dy, x, w, **settings)
    rows = zip(_all(x, w, b, dy, geometry), exact, _scales(x, w, b, dy, geometry), _roundings(geometry), strict=True)
    for name, (got, *check) in zip(("y", "dx", "dw", "db"), rows, strict=True):
        assert got.dtype == x.dtype
        assert_within(got, *check, name)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_all_passes_stay_within_the_bound(geometry, dtype, rng):
    _check(*geometry.reals(rng, dtype), geometry)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_size_of_a_map(size, rng):
    for padding in (1, 0) if size >= 3 else (1,):
        geometry = Conv(2, 3, size, 34 - size if padding else size, 8, (3, 3), padding=padding)
        _check(*geometry.reals(rng, np.float32), geometry)


@pytest.mark.parametrize("channels", range(1, 41))
def test_every_number_of_channels(channels, rng):
    for c, out in (channels, 5), (5, channels), (channels, channels):
        geometry = Conv(1, c, 5, 6, out, (3, 3), padding=1)
        _check(*geometry.reals(rng, np.float32), geometry)


def test_errors_grow_as_the_points_predict(rng):
    """With equal sizes everywhere, a product's error reaches a result times the entries that its factors passed.

    Along an axis the variance of output i is the sum over points k of (AT_ik |G_k| |BT_k|)^2 / 3 against that of 3
    products; the mean over outputs counts, squared for two axes. The direct sum has 9 times as many roundings, each
    of partial sums that reach 9 times as far, so the ratio is that of the roots: 4.8 for these points.
    """
    f = winograd_oracle.Transforms(4, 3, absolute=True)
    growth = np.mean(f.at**2 @ (np.sum(f.g**2, axis=1) * np.sum(f.bt**2, axis=1)) / 3)
    assert growth == pytest.approx(4.8, rel=0.02)
    geometry = Conv(2, 64, 24, 24, 64, (3, 3), padding=1)
    x, w, b, _ = geometry.reals(rng, np.float32)
    exact = fast_oracles.conv2d(x, w, b, **geometry.settings)
    errors = [
        np.sqrt(np.mean((conv2d(x, w, b, algorithm=name, **geometry.settings) - exact) ** 2))
        for name in ("winograd", "direct")
    ]
    assert errors[0] <= growth * errors[1]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("geometry", FUSED, ids=str)
def test_fused_layers_give_the_same_bits(geometry, pool, dtype, rng):
    x, w, b, _ = geometry.reals(rng, dtype)
    settings = geometry.settings | {"algorithm": "winograd"}
    freeze(x, w, b)
    rectified = relu(conv2d(x, w, b, **settings))
    if pool is None:
        y = saved = conv2d_relu(x, w, b, **settings)
        expected = rectified
    else:
        y, saved = conv2d_relu(x, w, b, pool=pool, return_codes=True, **settings)
        expected, codes = max_pool2d(rectified, pool, return_codes=True)
        assert_equal(conv2d_relu(x, w, b, pool=pool, **settings), y)
    assert_same_bits(y, expected, "y")
    assert is_channels_last(y)
    dy = rng.standard_normal(y.shape).astype(dtype)
    freeze(dy, saved)
    behind = dy if pool is None else max_pool2d_backward(dy, codes, rectified.shape, pool)
    apart = conv2d_backward(relu_backward(behind, rectified), x, w, **settings)
    fused = conv2d_relu_backward(dy, saved, x, w, pool=pool, **settings)
    for name, got, alone in zip(("dx", "dw", "db"), fused, apart, strict=True):
        assert_equal(got, alone, name)


def test_the_gradient_behind_other_windows(rng):
    geometry = FUSED[0]
    x, w, b, _ = geometry.reals(rng, np.float32)
    y, codes = conv2d_relu(x, w, b, pool=3, return_codes=True, padding=1, algorithm="direct")
    dy = rng.standard_normal(y.shape).astype(np.float32)
    behind = conv2d_relu_backward(dy, codes, x, w, pool=3, padding=1, algorithm="winograd")
    rectified = relu(conv2d(x, w, b, padding=1, algorithm="direct"))
    _, codes = max_pool2d(rectified, 3, return_codes=True)
    expanded = relu_backward(max_pool2d_backward(dy, codes, rectified.shape, 3), rectified)
    for got, alone in zip(behind, conv2d_backward(expanded, x, w, padding=1, algorithm="winograd"), strict=True):
        assert_equal(got, alone)


@pytest.mark.parametrize("geometry", LARGE, ids=str)
def test_the_number_of_threads_changes_no_bit(geometry, dtype, rng, set_num_threads):
    arrays = geometry.reals(rng, dtype)
    set_num_threads(1)
    expected = _all(*arrays, geometry)
    for threads in 2, 3, 7:
        set_num_threads(threads)
        for got, alone in zip(_all(*arrays, geometry), expected, strict=True):
            assert_same_bits(got, alone, f"{threads} threads")


def test_an_image_does_not_depend_on_its_batch(dtype, rng):
    geometry = Conv(20, 24, 13, 13, 40, (3, 3), padding=1)
    x, w, b, dy = geometry.reals(rng, dtype)
    y, dx, _, _ = _all(x, w, b, dy, geometry)
    for image in 0, 7, 19:
        one = slice(image, image + 1)
        alone = _all(x[one], w, b, dy[one], geometry)
        assert_same_bits(alone[0], y[one], "y")
        assert_same_bits(alone[1], dx[one], "dx")


def test_an_empty_batch_and_gradients_added(dtype, rng):
    x, w, b, dy = Conv(0, 9, 6, 7, 5, (3, 3)).reals(rng, dtype)
    y, dx, dw, db = _all(x, w, b, dy, Conv(0, 9, 6, 7, 5, (3, 3)))
    assert (y.shape, dx.shape) == (dy.shape, x.shape)
    assert not dw.any()
    assert not db.any()
    geometry = Conv(2, 9, 6, 7, 5, (3, 3))
    x, w, b, dy = geometry.reals(rng, dtype)
    _, _, dw, db = _all(x, w, b, dy, geometry)
    dw_sum, db_sum = np.full_like(dw, 3), np.full_like(db, 4)
    conv2d_backward(dy, x, w, dw=dw_sum, db=db_sum, algorithm="winograd")
    assert_equal(dw_sum, 3 + dw, "dw")
    assert_equal(db_sum, 4 + db, "db")
    assert_same_bits(conv2d_backward(dy, x, w, db=False, algorithm="winograd")[1], dw, "dw")


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_reach_what_they_should_and_only_their_tiles(poison, rng):
    geometry = Conv(2, 5, 14, 14, 9, (3, 3), padding=1)
    x, w, b, dy = geometry.reals(rng, np.float32)
    clean = _all(x, w, b, dy, geometry)
    x[1, 2, 3, 4] = dy[0, 3, 2, 1] = poison
    with np.errstate(invalid="ignore"):
        exact = fast_oracles.conv2d(x, w, b, padding=1), *fast_oracles.conv2d_backward(dy, x, w, padding=1)
    got = _all(x, w, b, dy, geometry)
    for result, reference in zip(got, exact, strict=True):
        assert not np.all(np.isfinite(reference))
        assert not np.any(np.isfinite(result) & ~np.isfinite(reference))
    for result, before, image in (got[0], clean[0], 1), (got[1], clean[1], 0):
        assert_same_bits(result[1 - image], before[1 - image])
        assert_same_bits(result[image, :, 8:], before[image, :, 8:])
    assert np.all(np.isnan(relu(conv2d(x, w, b, padding=1, algorithm="winograd"))) == np.isnan(got[0]))


def test_denormal_arguments_count_as_zero(dtype, rng):
    geometry = Conv(4, 16, 24, 24, 32, (3, 3), padding=1)
    x, w, b, dy = geometry.reals(rng, dtype)
    small = [np.full_like(a, np.finfo(dtype).tiny / 1024) for a in (x, w, dy)]
    assert_equal(conv2d(small[0], np.ones_like(w), padding=1, algorithm="winograd"), np.zeros(dy.shape))
    ones = np.ones_like(x), np.ones_like(w)
    for gradient in conv2d_backward(small[2], *ones, padding=1, algorithm="winograd")[:2]:
        assert_equal(gradient, np.zeros(gradient.shape))
    expected = conv2d(x, np.zeros_like(w), b, padding=1, algorithm="winograd")
    assert_equal(conv2d(x, small[1], b, padding=1, algorithm="winograd"), expected)


@pytest.mark.parametrize("geometry", [*EDGES[:8], Conv(4, 64, 20, 20, 48, (3, 3), padding=1)], ids=str)
def test_pytorch_agrees(geometry, rng):
    torch = pytest.importorskip("torch")
    arrays = geometry.reals(rng, np.float64)
    x, w, b = (torch.from_numpy(a).requires_grad_() for a in arrays[:3])
    (top, bottom), (left, right) = conv2d_sides(geometry.padding, geometry.x_shape[2:], (3, 3), (1, 1), (1, 1))
    y = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (left, right, top, bottom)), w, b)
    gradients = torch.autograd.grad(y, (x, w, b), torch.from_numpy(arrays[3]))
    expected = [a.detach().numpy() for a in (y, *gradients)]
    checks = zip(_all(*arrays, geometry), expected, _scales(*arrays, geometry), _roundings(geometry), strict=True)
    for check in checks:
        assert_within(*check)
