"""Layers of several inputs; the contract that they share with others is tested through `Parallel`."""

import numpy as np
import pytest
from layouts import freeze, is_channels_last

from convnet.errors import DTypeError, ShapeError
from convnet.layers import Add, Concat, Context, Multiply

MAPS, GATE = (2, 3, 4, 5), (2, 3, 1, 1)


def integers(rng, dtype, *shapes):
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_add(count, dtype, rng):
    xs, ctx = integers(rng, dtype, *[MAPS] * count), Context()
    np.testing.assert_array_equal(Add().forward(xs, ctx), sum(xs), strict=True)
    dy = xs[0]
    assert [gradient is dy for gradient in Add().backward(dy, ctx)] == [True] * count


def test_concat_joins_channels_and_cuts_gradients(dtype, rng):
    a, b, c = xs = integers(rng, dtype, (2, 3, 4, 5), (2, 1, 4, 5), (2, 6, 4, 5))
    ctx = Context()
    y = Concat().forward(xs, ctx)
    np.testing.assert_array_equal(y, np.concatenate([a, b, c], axis=1), strict=True)
    assert is_channels_last(y)
    for gradient, x in zip(Concat().backward(y, ctx), xs, strict=True):
        np.testing.assert_array_equal(gradient, x, strict=True)


def test_concat_of_rows(dtype, rng):
    a, b = integers(rng, dtype, (2, 3), (2, 4))
    np.testing.assert_array_equal(Concat()([a, b]), np.hstack([a, b]), strict=True)


@pytest.mark.parametrize("shapes", [[MAPS], [MAPS] * 2, [MAPS, GATE], [GATE, MAPS, MAPS], [GATE, GATE], [(2, 5)] * 3])
def test_multiply_and_its_gradients(shapes, dtype, rng):
    xs, ctx = integers(rng, dtype, *shapes), Context()
    y = Multiply().forward(xs, ctx)
    np.testing.assert_array_equal(y, np.prod(np.broadcast_arrays(*xs), axis=0), strict=True)
    (dy,) = integers(rng, dtype, y.shape)
    for i, (x, gradient) in enumerate(zip(xs, Multiply().backward(dy, ctx), strict=True)):
        full = dy * np.prod(np.broadcast_arrays(np.ones_like(dy), *xs[:i], *xs[i + 1 :]), axis=0)
        expected = full if x.shape == y.shape else full.sum(axis=(2, 3), keepdims=True)
        np.testing.assert_array_equal(gradient, expected.astype(dtype), strict=True)


def test_multiply_keeps_its_inputs_and_says_so():
    ctx = Context()
    Multiply().forward([np.ones(MAPS), np.ones(GATE)], ctx)
    assert ctx.nbytes == (120 + 6) * 8
    assert "xs[1] (2, 3, 1, 1) float64" in repr(ctx)


def test_gradients_nobody_wants_are_not_computed():
    ctx = Context(wants_dx=False)
    y = Multiply().forward([np.ones(MAPS), np.ones(GATE)], ctx)
    assert Multiply().backward(y, ctx) == (None, None)


@pytest.mark.parametrize("merge", [Add(), Concat(), Multiply()], ids=repr)
def test_nothing_is_written_to_the_inputs(merge, rng):
    xs, ctx = rng.standard_normal((3, *MAPS)), Context()
    dy = rng.standard_normal((2, *merge.output_shape([MAPS[1:]] * 3)))
    before = freeze(xs, dy)
    merge.forward(list(xs), ctx)
    merge.backward(dy, ctx)
    assert [xs.tobytes(), dy.tobytes()] == before


def test_output_shapes():
    assert Add().output_shape([(3, 4, 5)] * 2) == (3, 4, 5)
    assert Concat().output_shape([(3, 4, 5), (2, 4, 5)]) == (5, 4, 5)
    assert Concat().output_shape([(3,), (2,)]) == (5,)
    assert Multiply().output_shape([(3, 1, 1), (3, 4, 5)]) == (3, 4, 5)


@pytest.mark.parametrize(
    ("merge", "shapes", "text"),
    [
        (Add(), [(1, 2), (1, 3)], r"Add: expected arrays of one shape, got \(1, 2\), \(1, 3\)"),
        (Add(), [], "Add: expected arrays of one shape, got none"),
        (
            Concat(),
            [(1, 2, 3, 3), (1, 2, 3, 4)],
            r"Concat: expected arrays that differ in their channels only, got \(",
        ),
        (Concat(), [(1, 2), (1, 2, 1, 1)], "Concat: expected arrays that differ in their channels only"),
        (Concat(), [], "Concat: expected arrays that differ in their channels only, got none"),
        (
            Multiply(),
            [(1, 2, 3, 3), (1, 1, 1, 1)],
            r"Multiply: expected arrays of one shape, or gates for whole maps",
        ),
        (Multiply(), [(1, 2, 3, 3), (1, 2, 3, 1)], "Multiply: expected arrays of one shape, or gates"),
        (Multiply(), [], "Multiply: expected arrays of one shape, or gates for whole maps, got none"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(merge, shapes, text):
    with pytest.raises(ShapeError, match=text):
        merge([np.zeros(shape, np.float32) for shape in shapes])
    with pytest.raises(ShapeError, match=text.partition(", got")[0]):
        merge.output_shape([shape[1:] for shape in shapes])


@pytest.mark.parametrize("merge", [Add(), Concat(), Multiply()], ids=repr)
def test_dtypes_that_do_not_fit_are_refused(merge):
    who = type(merge).__name__
    with pytest.raises(DTypeError, match=f"{who}: expected x of dtype float32, got float64"):
        merge([np.zeros((1, 2), np.float32), np.zeros((1, 2))])
    with pytest.raises(DTypeError, match=f"{who}: expected x of dtype float32 or float64, got int64"):
        merge([np.zeros((1, 2), np.int64)])
