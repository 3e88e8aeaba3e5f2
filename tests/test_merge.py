"""Joining and multiplying arrays, on integers: equality."""

import numpy as np
import pytest
from layouts import LAYOUTS, is_channels_last

from convnet import functional
from convnet.errors import DTypeError, ShapeError

MAPS, GATE = (2, 3, 4, 5), (2, 3, 1, 1)
SHAPES = [[MAPS], [MAPS, MAPS], [MAPS, GATE, MAPS], [GATE, MAPS], [(7, 3), (7, 3)], [(0, 3, 4, 4), (0, 3, 1, 1)]]


def integers(rng, shapes, dtype=np.float32):
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_concat(layout, dtype, rng):
    xs = integers(rng, [(2, 3, 4, 5), (2, 1, 4, 5), (2, 0, 4, 5), (2, 18, 4, 5)], dtype)
    y = functional.concat([LAYOUTS[layout](x) for x in xs])
    np.testing.assert_array_equal(y, np.concatenate(xs, axis=1), strict=True)
    assert is_channels_last(y)


def test_concat_of_one_array_is_a_copy(rng):
    (x,) = integers(rng, [MAPS])
    y = functional.concat([x])
    np.testing.assert_array_equal(y, x, strict=True)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_multiply(shapes, layout, dtype, rng):
    xs = integers(rng, shapes, dtype)
    y = functional.multiply([LAYOUTS[layout](x) for x in xs])
    np.testing.assert_array_equal(y, np.prod(np.broadcast_arrays(*xs), axis=0), strict=True)
    assert not any(np.shares_memory(x, y) for x in xs)


@pytest.mark.parametrize("shapes", SHAPES)
def test_multiply_backward(shapes, dtype, rng):
    xs = integers(rng, shapes, dtype)
    (dy,) = integers(rng, [max(shapes, key=np.prod)], dtype)
    for i, (x, dx) in enumerate(zip(xs, functional.multiply_backward(dy, xs), strict=True)):
        full = np.prod(np.broadcast_arrays(dy, *xs[:i], *xs[i + 1 :]), axis=0)
        expected = full if x.shape == dy.shape else full.sum(axis=(2, 3), keepdims=True)
        np.testing.assert_array_equal(dx, expected.astype(dtype), strict=True)
        assert not np.shares_memory(dx, dy)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda a, b: functional.concat([a, b]),
            r"concat: expected arrays that differ in their channels only, got",
        ),
        (lambda a, b: functional.multiply([a, b]), "multiply: expected arrays of one shape, or gates for whole maps"),
        (lambda a, b: functional.multiply_backward(a, [a, b]), "multiply_backward: expected arrays of one shape, or"),
        (
            lambda a, b: functional.multiply_backward(b, [a, a]),
            r"multiply_backward: expected dy of shape \(2, 3, 4",
        ),
        (lambda a, b: functional.concat([]), "concat: expected arrays that differ in their channels only, got none"),
        (lambda a, b: functional.multiply([]), "multiply: expected arrays of one shape, .*, got none"),
    ],
)
def test_shapes_that_do_not_fit(call, text):
    with pytest.raises(ShapeError, match=text):
        call(np.zeros(MAPS), np.zeros((2, 4, 4, 4)))


@pytest.mark.parametrize("function", [functional.concat, functional.multiply])
def test_dtypes_that_do_not_fit(function):
    who = function.__name__
    with pytest.raises(
        DTypeError, match=rf"{who}: expected xs\[1\] of dtype float32, like the other arrays, got float64"
    ):
        function([np.zeros(MAPS, np.float32), np.zeros(MAPS)])
    with pytest.raises(DTypeError, match=rf"{who}: expected xs\[0\] of dtype float32 or float64, got int64"):
        function([np.zeros(MAPS, np.int64)])
    with pytest.raises(DTypeError, match="multiply_backward: expected dy of dtype float32"):
        functional.multiply_backward(np.zeros(MAPS), [np.zeros(MAPS, np.float32)])
