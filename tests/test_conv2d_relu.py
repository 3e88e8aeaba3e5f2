"""Convolution, ReLU and max pool in one pass: the numbers of the three functions one after another."""

import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits
from geometries import CONV_EDGES, CONV_LARGE, Conv
from layouts import freeze, is_channels_last

from convnet.errors import DTypeError, SettingError, ShapeError
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

pytestmark = pytest.mark.usefixtures("direct")  # test_winograd.py tests what the other algorithm fuses

MORE = [
    Conv(3, 6, 12, 12, 16, (5, 5)),  # few channels in, a ragged number out
    Conv(5, 3, 20, 20, 20, (3, 3), padding=1),
    Conv(2, 8, 30, 30, 5, (3, 3), stride=2, padding=2),
    Conv(2, 5, 9, 40, 3, (2, 5), padding=(1, 2), dilation=(2, 1)),
    Conv(40, 2, 6, 6, 3, (3, 3)),
]
POOLS = [None, 2, (2, 3), (3, 1), (1, 2)]
X, W, B = np.ones((2, 3, 6, 6), np.float32), np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)


def _pooled(geometry, pool):
    _, _, oh, ow = geometry.y_shape
    windows = (pool, pool) if isinstance(pool, int) else pool or (1, 1)
    return oh >= windows[0] and ow >= windows[1]


CASES = [(g, pool) for g in CONV_EDGES + CONV_LARGE + MORE for pool in POOLS if _pooled(g, pool)]


def _apart(x, w, b, dy, settings, pool):
    """The three functions one after another; dy is asked for with the shape of the output."""
    rectified = relu(conv2d(x, w, b, **settings))
    if pool is None:
        return rectified, lambda dy: conv2d_backward(relu_backward(dy, rectified), x, w, **settings)
    y, codes = max_pool2d(rectified, pool, return_codes=True)

    def backward(dy):
        behind = max_pool2d_backward(dy, codes, rectified.shape, pool)
        return conv2d_backward(relu_backward(behind, rectified), x, w, **settings)

    return y, backward


def _fused(x, w, b, settings, pool):
    if pool is None:
        y = conv2d_relu(x, w, b, **settings)
        return y, y
    return conv2d_relu(x, w, b, pool=pool, return_codes=True, **settings)


@pytest.mark.parametrize(("geometry", "pool"), CASES, ids=str)
def test_one_pass_gives_the_same(geometry, pool, dtype, rng):
    x, w, b, _ = geometry.integers(rng, dtype)
    expected, backward = _apart(x, w, b, None, geometry.settings, pool)
    freeze(x, w, b)
    y, saved = _fused(x, w, b, geometry.settings, pool)
    assert_equal(y, expected, "y")
    assert is_channels_last(y)
    assert saved.dtype == (dtype if pool is None else np.uint8)
    dy = rng.integers(-4, 5, y.shape).astype(dtype)
    freeze(dy, saved)
    got = conv2d_relu_backward(dy, saved, x, w, pool=pool, **geometry.settings)
    for name, a, e in zip(("dx", "dw", "db"), got, backward(dy), strict=True):
        assert_equal(a, e, name)


def test_codes_tell_the_place_of_the_maximum():
    x = np.array([[3, 9, -1, -2], [9, 4, 0, -5]], np.float32).reshape(1, 1, 2, 4)
    one = np.ones((1, 1, 1, 1), np.float32)
    y, codes = conv2d_relu(x, one, pool=2, return_codes=True)
    assert y.ravel().tolist() == [9, 0]
    assert codes.ravel().tolist() == [1, 255]  # the first of equals; nobody where the ReLU gives 0
    assert conv2d_relu(x, one, pool=2).ravel().tolist() == [9, 0]


def test_nan_passes():
    x = np.array([[1, np.nan], [5, 2]], np.float32).reshape(1, 1, 2, 2)
    one = np.ones((1, 1, 1, 1), np.float32)
    y, codes = conv2d_relu(x, one, pool=2, return_codes=True)
    assert np.isnan(y.item())
    assert codes.item() == 1
    assert np.isnan(conv2d_relu(x, one)[0, 0, 0, 1])


def test_gradients_are_added_into_given_arrays(rng):
    geometry = Conv(3, 6, 12, 12, 16, (5, 5))
    x, w, b, _ = geometry.integers(rng, np.float32)
    y, codes = conv2d_relu(x, w, b, pool=2, return_codes=True)
    dy = rng.integers(-4, 5, y.shape).astype(np.float32)
    _, new_dw, new_db = conv2d_relu_backward(dy, codes, x, w, pool=2)
    dw, db = np.full_like(w, 7), np.full_like(b, 5)
    dx, same_dw, same_db = conv2d_relu_backward(dy, codes, x, w, pool=2, dx=False, dw=dw, db=db)
    assert dx is None
    assert same_dw is dw
    assert same_db is db
    assert_equal(dw, new_dw + 7)
    assert_equal(db, new_db + 5)


@pytest.mark.parametrize("pool", [None, 2])
def test_an_empty_batch(pool, dtype):
    x, w = np.zeros((0, 3, 6, 6), dtype), np.ones((4, 3, 3, 3), dtype)
    y, saved = _fused(x, w, None, {}, pool)
    dx, dw, db = conv2d_relu_backward(y, saved, x, w, pool=pool)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize(
    "geometry", [Conv(100, 1, 28, 28, 8, (3, 3), padding=1), Conv(30, 6, 12, 12, 16, (5, 5))], ids=str
)
def test_the_number_of_threads_changes_no_bit(geometry, pool, rng, set_num_threads):
    x, w, b, _ = geometry.reals(rng, np.float32)
    results = []
    for threads in 1, 2, 3, 7:
        set_num_threads(threads)
        y, saved = _fused(x, w, b, geometry.settings, pool)
        results.append((y, saved, *conv2d_relu_backward(y, saved, x, w, pool=pool, **geometry.settings)))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert_same_bits(other, one)


BAD = [
    (lambda: conv2d_relu(X[0], W), ShapeError, "conv2d_relu: expected x of shape (n, c, h, w), got (3, 6, 6)"),
    (lambda: conv2d_relu(X, W, B[1:]), ShapeError, "conv2d_relu: expected b of shape (4,), got (3,)"),
    (lambda: conv2d_relu(X, W, pool=5), ShapeError, "conv2d_relu: expected pool of at most (4, 4)"),
    (lambda: conv2d_relu(X, W, pool=0), SettingError, "conv2d_relu pool: expected an integer of at least 1, got 0"),
    (lambda: conv2d_relu(X, W, pool=1), SettingError, "expected pool windows of 2 to 255 elements, got (1, 1)"),
    (lambda: conv2d_relu_backward(X, X[1:], X, W), ShapeError, "expected saved of shape (2, 3, 6, 6), like dy"),
    (lambda: conv2d_relu_backward(Y, Y, X, W, pool=2), DTypeError, "codes of dtype uint8, got float32"),
    (lambda: conv2d_relu_backward(Y, Y.astype(np.float64), X, W), DTypeError, "expected saved of dtype float32"),
    (lambda: conv2d_relu_backward(Y, Y, X, W), ShapeError, "expected dy of shape (2, 4, 4, 4), got (2, 4, 2, 2)"),
]
Y = np.ones((2, 4, 2, 2), np.float32)


@pytest.mark.parametrize(("call", "error", "text"), BAD, ids=[text for *_, text in BAD])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
