"""Transposed convolution and its gradients: exact on integers; the passes themselves are tested in test_conv2d.py."""

import layer_oracles as oracles
import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import conv2d, conv_transpose2d, conv_transpose2d_backward
from convnet.upsampling import conv_transpose2d_output_size

# x, (out / groups, kh, kw), settings
GEOMETRIES = [
    ((1, 1, 1, 1), (1, 1, 1), {}),
    ((2, 3, 4, 5), (2, 3, 3), {}),
    ((2, 4, 5, 4), (3, 2, 2), {"stride": 2}),
    ((1, 5, 4, 6), (4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 3, 5, 3), (2, 4, 4), {"stride": 2, "padding": 1}),
    ((1, 2, 4, 4), (2, 3, 2), {"stride": (3, 1), "padding": (2, 0), "output_padding": (1, 0)}),
    ((1, 3, 5, 6), (2, 3, 3), {"dilation": 2, "padding": 1}),
    ((1, 2, 3, 4), (2, 2, 3), {"dilation": 3, "stride": 2, "output_padding": 2}),
    ((2, 6, 3, 4), (2, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
    ((2, 5, 4, 4), (1, 3, 3), {"groups": 5, "padding": 1}),
    ((1, 4, 9, 9), (2, 1, 3), {"padding": (2, 3)}),  # more padding than the taps reach
    ((1, 40, 5, 5), (17, 3, 3), {"padding": 1}),
    ((2, 3, 4, 3), (9, 2, 3), {"stride": (3, 4), "output_padding": (2, 3)}),  # no tap leads to some pixels
    ((1, 0, 3, 3), (2, 2, 2), {"stride": 2}),
    ((1, 0, 3, 3), (20, 2, 2), {"stride": 2}),
]
every_geometry = pytest.mark.parametrize(("x_shape", "w_shape", "settings"), GEOMETRIES, ids=str)


def _draw(rng, x_shape, w_shape, settings, dtype):
    w_shape = (x_shape[1], *w_shape)
    y_shape = oracles.conv_transpose2d_shape(x_shape, w_shape, **settings)
    return [rng.integers(-3, 4, shape).astype(dtype) for shape in (x_shape, w_shape, y_shape[1], y_shape)]


@every_geometry
def test_integers_are_exact(x_shape, w_shape, settings, dtype, rng):
    x, w, b, dy = _draw(rng, x_shape, w_shape, settings, dtype)
    y = conv_transpose2d(x, w, b, **settings)
    assert y.dtype == dtype
    assert is_channels_last(y)
    assert_equal(y, oracles.conv_transpose2d(x, w, b, **settings))
    assert_equal(conv_transpose2d(x, w, **settings), oracles.conv_transpose2d(x, w, **settings))
    gradients = conv_transpose2d_backward(dy, x, w, **settings)
    for name, got, exact in zip(
        ["x", "w", "b"], gradients, oracles.conv_transpose2d_backward(dy, x, w, **settings), strict=True
    ):
        assert_equal(got, exact, f"d{name}")


@every_geometry
def test_real_numbers_stay_within_the_bound(x_shape, w_shape, settings, dtype, rng):
    x, w, b, _ = (rng.standard_normal(a.shape).astype(dtype) for a in _draw(rng, x_shape, w_shape, settings, dtype))
    exact = oracles.conv_transpose2d(x, w, b, **settings)
    scale = oracles.conv_transpose2d(*map(np.abs, (x, w, b)), **settings)
    y = conv_transpose2d(x, w, b, **settings, algorithm="direct")
    assert_within(y, exact, scale, x_shape[1] * w_shape[1] * w_shape[2] + 1)


def test_winograd_serves_it_too(dtype, rng):
    """To 11 times the error of the direct sum at most, see conv2d_algorithm; 40 channels, 9 taps."""
    x, w = rng.standard_normal((2, 40, 9, 10)).astype(dtype), rng.standard_normal((40, 24, 3, 3)).astype(dtype)
    direct, other = (conv_transpose2d(x, w, padding=1, algorithm=name) for name in ("direct", "winograd"))
    scale = conv_transpose2d(np.abs(x), np.abs(w), padding=1).max()
    assert 0 < np.abs(direct - other).max() <= 11 * 4 * np.finfo(dtype).eps * np.sqrt(360) * scale


def test_it_undoes_the_size_of_a_convolution(rng):
    for size in range(4, 12):
        for settings in ({"stride": 2, "padding": 1}, {"stride": 3, "dilation": 2, "padding": 2}):
            maps = conv2d(rng.random((1, 1, size, size)), rng.random((1, 1, 3, 3)), **settings)
            sizes = [
                conv_transpose2d_output_size(maps.shape[2:], 3, output_padding=more, **settings)[0]
                for more in range(settings["stride"])
            ]
            assert size in sizes


def test_gradients_are_added_or_left_out(dtype, rng):
    x, w, b, dy = _draw(rng, *GEOMETRIES[3], dtype)
    settings = GEOMETRIES[3][2]
    dx, dw, db = conv_transpose2d_backward(dy, x, w, **settings)
    into = np.ones_like(w), np.ones_like(b)
    nothing, *same = conv_transpose2d_backward(dy, x, w, dx=False, dw=into[0], db=into[1], **settings)
    assert nothing is None
    for got, target, gradient in zip(same, into, (dw, db), strict=True):
        assert got is target
        assert_equal(got, gradient + 1)
    alone, *none = conv_transpose2d_backward(dy, x, w, dw=False, db=False, **settings)
    assert_same_bits(alone, dx)
    assert none == [None, None]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again, settings = LAYOUTS[layout], GEOMETRIES[4][2]
    x, w, b, dy = arrays = _draw(rng, *GEOMETRIES[4], dtype)
    before = freeze(*arrays)
    expected = conv_transpose2d(x, w, b, **settings), *conv_transpose2d_backward(dy, x, w, **settings)
    got = (
        conv_transpose2d(again(x), again(w), again(b), **settings),
        *conv_transpose2d_backward(again(dy), again(x), again(w), **settings),
    )
    for one, other in zip(got, expected, strict=True):
        assert_same_bits(one, other)
    assert [a.tobytes() for a in arrays] == before


def test_an_empty_batch(dtype):
    x, w = np.empty((0, 2, 3, 3), dtype), np.ones((2, 4, 2, 2), dtype)
    y = conv_transpose2d(x, w, np.ones(4, dtype), stride=2)
    assert y.shape == (0, 4, 6, 6)
    dx, dw, db = conv_transpose2d_backward(y, x, w, stride=2)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not db.any()
