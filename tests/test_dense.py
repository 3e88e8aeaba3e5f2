"""Matrix products, matrix-vector shapes included, their gradients, and flattening."""

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import dense, dense_backward, flatten, relu, relu_backward, unflatten

SHAPES = [
    (1, 1, 1),
    (1, 5, 1),
    (1, 300, 10),
    (3, 1, 4),
    (100, 1568, 64),
    (100, 84, 10),
    (64, 256, 120),
    (700, 513, 129),
    (1, 300, 7),  # few rows, read in place
    (31, 256, 50),
    (5, 1001, 25),
    (3, 2049, 130),  # long rows: in chunks of the outputs
    (16, 2500, 1100),
    (65, 2048, 40),  # too many rows for that
]
SAMPLED = [tuple(map(int, shape)) for shape in np.random.default_rng(3).integers(1, [40, 70, 70], (60, 3))]


def _draw(shape, rng, dtype, integers=True):
    """(x, w, b, dy) for n rows of inputs to outputs."""
    n, inputs, outputs = shape
    shapes = (n, inputs), (outputs, inputs), (outputs,), (n, outputs)
    if integers:
        return tuple(rng.integers(-4, 5, shape).astype(dtype) for shape in shapes)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


@pytest.mark.parametrize("shape", SHAPES + SAMPLED, ids=str)
def test_integers_are_exact(shape, dtype, rng):
    x, w, b, dy = _draw(shape, rng, dtype)
    exact = map(np.float64, (x, w, b, dy))
    x64, w64, b64, dy64 = exact
    assert_equal(dense(x, w, b), x64 @ w64.T + b64, "y")
    assert_equal(dense(x, w), x64 @ w64.T, "y without bias")
    dx, dw, db = dense_backward(dy, x, w)
    assert_equal(dx, dy64 @ w64, "dx")
    assert_equal(dw, dy64.T @ x64, "dw")
    assert_equal(db, dy64.sum(axis=0), "db")
    assert dx.dtype == dw.dtype == db.dtype == dtype


@pytest.mark.parametrize("shape", [shape for shape in SHAPES + SAMPLED if np.prod(shape) < 4000], ids=str)
def test_the_three_loops(shape, rng):
    x, w, b, dy = _draw(shape, rng, np.float32)
    assert_equal(dense(x, w, b), oracles.dense(x, w, b))
    for got, expected in zip(dense_backward(dy, x, w), oracles.dense_backward(dy, x, w), strict=True):
        assert_equal(got, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reals_stay_within_the_bound(shape, dtype, rng):
    x, w, b, dy = _draw(shape, rng, dtype, integers=False)
    x64, w64, b64, dy64 = map(np.float64, (x, w, b, dy))
    n, inputs, outputs = shape
    assert_within(dense(x, w, b), x64 @ w64.T + b64, abs(x64) @ abs(w64).T + abs(b64), inputs + 1, "y")
    dx, dw, db = dense_backward(dy, x, w)
    assert_within(dx, dy64 @ w64, abs(dy64) @ abs(w64), outputs, "dx")
    assert_within(dw, dy64.T @ x64, abs(dy64).T @ abs(x64), n, "dw")
    assert_within(db, dy64.sum(axis=0), abs(dy64).sum(axis=0), n, "db")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    x, w, b, dy = _draw((9, 37, 21), rng, dtype, integers=False)
    before = freeze(x, w, b, dy)
    assert_same_bits(dense(again(x), again(w), again(b)), dense(x, w, b))
    results = dense_backward(again(dy), again(x), again(w)), dense_backward(dy, x, w)
    for got, expected in zip(*results, strict=True):
        assert_same_bits(got, expected)
    assert [a.tobytes() for a in (x, w, b, dy)] == before


def test_gradients_are_added_into_given_arrays(dtype, rng):
    x, w, _, dy = _draw((5, 37, 21), rng, dtype)
    none, dw, db = dense_backward(dy, x, w, dx=False)
    dw_sum, db_sum = np.full_like(w, 3), np.full(21, 4, dtype)
    _, dw_same, db_same = dense_backward(dy, x, w, dw=dw_sum, db=db_sum)
    assert none is None
    assert dw_same is dw_sum
    assert db_same is db_sum
    assert_equal(dw_sum, 3 + dw)
    assert_equal(db_sum, 4 + db)
    assert dense_backward(dy, x, w, dw=False, db=False)[1:] == (None, None)


@pytest.mark.parametrize("shape", SHAPES + SAMPLED[:20], ids=str)
def test_relu_is_that_of_the_separate_passes(shape, dtype, rng):
    x, w, b, dy = _draw(shape, rng, dtype, integers=False)
    x[0, 0] = np.nan
    y = dense(x, w, b, relu=True)
    assert_same_bits(y, relu(dense(x, w, b)))
    assert_same_bits(dense(x, w, relu=True), relu(dense(x, w)))
    fused, separate = dense_backward(dy, x, w, relu_output=y), dense_backward(relu_backward(dy, y), x, w)
    for got, expected in zip(fused, separate, strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_relu_in_every_layout(layout, rng):
    x, w, b, dy = _draw((9, 37, 21), rng, np.float32, integers=False)
    y = dense(x, w, b, relu=True)
    before = freeze(dy, y)
    results = (dense_backward(a(dy), x, w, relu_output=a(y)) for a in (LAYOUTS[layout], np.asarray))
    for got, expected in zip(*results, strict=True):
        assert_same_bits(got, expected)
    assert [a.tobytes() for a in (dy, y)] == before


def test_empty_batch(dtype, rng):
    x, w, b, dy = _draw((0, 7, 5), rng, dtype)
    assert dense(x, w, b).shape == dense(x, w, b, relu=True).shape == (0, 5)
    assert dense_backward(dy, x, w, relu_output=dy)[0].shape == (0, 7)
    dx, dw, db = dense_backward(dy, x, w)
    assert dx.shape == (0, 7)
    assert_equal(dw, np.zeros((5, 7)))
    assert_equal(db, np.zeros(5))


def test_nan_and_infinity_stay_in_their_row(rng):
    x, w, b, _ = _draw((9, 37, 21), rng, np.float32)
    x[4, 3], x[6, 5] = np.nan, np.inf
    w[w == 0] = 1
    y = dense(x, w, b)
    assert np.all(np.isnan(y[4]))
    assert np.all(np.isinf(y[6]))
    assert np.all(np.isfinite(np.delete(y, [4, 6], axis=0)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flatten_is_in_the_order_of_c_h_w(layout, dtype, rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    flat = flatten(LAYOUTS[layout](x))
    assert_same_bits(flat, x.reshape(2, 60))
    back = unflatten(LAYOUTS[layout](flat), (2, 3, 4, 5))
    assert_same_bits(back, x)
    assert is_channels_last(back)


def test_flatten_an_empty_batch():
    assert flatten(np.empty((0, 3, 4, 5), np.float32)).shape == (0, 60)
    assert unflatten(np.empty((0, 60), np.float32), (0, 3, 4, 5)).shape == (0, 3, 4, 5)
