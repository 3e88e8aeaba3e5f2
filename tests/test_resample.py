"""Padding and interpolation: against NumPy's padding and formulas; gradients as the transpose of what forward does."""

import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import pad2d, pad2d_backward, upsample2d, upsample2d_backward

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}
SHAPES = [(1, 1, 4, 5), (2, 3, 5, 6), (1, 8, 9, 4), (2, 19, 7, 12), (1, 70, 4, 4)]
SIDES = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((3, 0), (1, 2)), ((0, 2), (3, 3))]
SETTINGS = [
    {"size": (9, 11), "mode": "nearest"},
    {"size": (3, 2), "mode": "nearest"},
    {"scale_factor": 2, "mode": "nearest"},
    {"scale_factor": (2.5, 1.3), "mode": "nearest"},
    {"size": (9, 11), "mode": "bilinear"},
    {"size": (3, 1), "mode": "bilinear"},
    {"scale_factor": 2, "mode": "bilinear"},
    {"scale_factor": (1.7, 0.6), "mode": "bilinear"},
    {"size": (9, 11), "mode": "bilinear", "align_corners": True},
    {"size": (1, 2), "mode": "bilinear", "align_corners": True},
]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


def _transpose(forward, dy, size):
    """The gradient that belongs to a linear map: images of one pixel each tell what it makes of them."""
    pixels = size[0] * size[1]
    matrix = forward(np.eye(pixels).reshape(pixels, 1, *size))[:, 0]
    return np.einsum("phw,nchw->ncp", matrix, np.float64(dy)).reshape(*dy.shape[:2], *size)


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize("sides", SIDES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pad2d(shape, sides, mode, dtype, rng):
    x = rng.integers(-9, 10, shape).astype(dtype)
    y = pad2d(x, sides, mode=mode)
    assert_equal(y, np.pad(x, ((0, 0), (0, 0), *sides), mode=NUMPY_MODES[mode]))
    assert y.dtype == dtype
    assert is_channels_last(y)
    dy = rng.integers(-9, 10, y.shape).astype(dtype)
    dx = pad2d_backward(dy, shape[2:], sides, mode=mode)
    assert_equal(dx, _transpose(lambda images: pad2d(images, sides, mode=mode), dy, shape[2:]))
    assert is_channels_last(dx)


def _positions(length, out, scale, mode, align_corners):
    """For each output the pixels that it mixes and their shares, from the formulas of upsample2d."""
    ratio = length / out if scale is None else 1 / scale
    for i in range(out):
        if mode == "nearest":
            yield [(min(int(i * length // out if scale is None else i / scale), length - 1), 1.0)]
            continue
        at = i * (length - 1) / max(out - 1, 1) if align_corners else max((i + 0.5) * ratio - 0.5, 0)
        low = min(int(at), length - 1)
        yield [(low, 1 - (at - low)), (min(low + 1, length - 1), at - low)]


def _upsampled(x, size=None, scale_factor=None, mode="nearest", align_corners=False):
    factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor, scale_factor)
    out = size or tuple(int(length * factor) for length, factor in zip(x.shape[2:], factors, strict=True))
    axes = [
        list(_positions(length, o, factor, mode, align_corners))
        for length, o, factor in zip(x.shape[2:], out, factors, strict=True)
    ]
    y = np.zeros((*x.shape[:2], *out))
    for i, rows in enumerate(axes[0]):
        for j, columns in enumerate(axes[1]):
            for row, share in rows:
                for column, part in columns:
                    y[:, :, i, j] += share * part * np.float64(x[:, :, row, column])
    return y


@every_setting
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_upsample2d(shape, settings, dtype, rng):
    """Two rounded shares, two products, two sums: 6 roundings of the absolute terms; the gradient sums more of them."""
    x = rng.standard_normal(shape).astype(dtype)
    y = upsample2d(x, **settings)
    assert y.dtype == dtype
    assert is_channels_last(y)
    if settings["mode"] == "nearest":
        assert_equal(y, _upsampled(x, **settings))
    else:
        assert_within(y, _upsampled(x, **settings), _upsampled(np.abs(x), **settings), 6)
    dy = rng.standard_normal(y.shape).astype(dtype)
    exact, scale = (_transpose(lambda images: _upsampled(images, **settings), up, shape[2:]) for up in (dy, np.abs(dy)))
    terms = y.shape[2] * y.shape[3]
    assert_within(upsample2d_backward(dy, shape[2:], **settings), exact, scale, terms + 4)


def test_the_same_size_is_a_copy(dtype, rng):
    x = rng.standard_normal((2, 5, 6, 7)).astype(dtype)
    for mode, align in (("nearest", False), ("bilinear", False), ("bilinear", True)):
        assert_equal(upsample2d(x, (6, 7), mode=mode, align_corners=align), x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    x, dy = rng.standard_normal((2, 5, 3, 4)).astype(dtype), rng.standard_normal((2, 5, 6, 8)).astype(dtype)
    before = freeze(x, dy)
    for settings in ({}, {"mode": "bilinear"}):
        y = upsample2d(x, scale_factor=2, **settings)
        assert_same_bits(upsample2d(again(x), scale_factor=2, **settings), y)
        dx = upsample2d_backward(dy, (3, 4), scale_factor=2, **settings)
        assert_same_bits(upsample2d_backward(again(dy), (3, 4), scale_factor=2, **settings), dx)
    assert_same_bits(pad2d(again(x), 2, mode="reflect"), pad2d(x, 2, mode="reflect"))
    assert [a.tobytes() for a in (x, dy)] == before


def test_nan_stays_where_it_is(dtype, rng):
    x = rng.standard_normal((1, 3, 4, 4)).astype(dtype)
    x[0, 1, 2, 2] = np.nan
    assert np.argwhere(np.isnan(upsample2d(x, scale_factor=2))).tolist() == [
        [0, 1, i, j] for i in (4, 5) for j in (4, 5)
    ]
    assert np.argwhere(np.isnan(pad2d(x, 1))).tolist() == [[0, 1, 3, 3]]


def test_nothing_to_do(dtype):
    empty = np.empty((0, 3, 4, 5), dtype)
    assert pad2d(empty, 1).shape == (0, 3, 6, 7)
    assert pad2d_backward(pad2d(empty, 1), (4, 5), 1).shape == empty.shape
    assert upsample2d(empty, scale_factor=3).shape == (0, 3, 12, 15)
    assert_equal(pad2d(np.empty((1, 2, 0, 3), dtype), 1), np.zeros((1, 2, 2, 5)))
    assert pad2d_backward(np.ones((1, 2, 2, 5), dtype), (0, 3), 1).shape == (1, 2, 0, 3)
