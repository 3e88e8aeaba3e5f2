"""Laws that every convolution obeys, over geometries that Hypothesis chooses."""

import numpy as np
import oracles
from bounds import assert_equal, assert_same_bits
from geometries import Conv
from hypothesis import assume, given
from hypothesis import strategies as st

from convnet.functional import conv2d, conv2d_backward
from convnet.shapes import conv2d_output_size


@st.composite
def convolutions(draw):
    """A convolution that fits and sums few products."""

    def small(most):
        return st.one_of(st.integers(1, most), st.tuples(st.integers(1, most), st.integers(1, most)))

    side = st.integers(0, 4)
    padding = st.one_of(side, st.tuples(side, side), st.tuples(*[st.tuples(side, side)] * 2))
    groups = draw(st.integers(1, 4))
    geometry = Conv(
        n=draw(st.integers(1, 3)),
        c=groups * draw(st.integers(1, 5)),
        h=draw(st.integers(1, 12)),
        w=draw(st.integers(1, 12)),
        out=groups * draw(st.integers(1, 5)),
        kernel=draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        stride=draw(small(4)),
        padding=draw(st.one_of(padding, st.sampled_from(["same", "valid"]))),
        dilation=draw(small(3)),
        groups=groups,
    )
    assume(geometry.fits)
    return geometry


seeds = st.integers(0, 2**32 - 1)


@given(convolutions(), seeds)
def test_shapes_agree(geometry, seed):
    x, w, b, dy = geometry.integers(np.random.default_rng(seed), np.float32)
    y = conv2d(x, w, b, **geometry.settings)
    settings = {name: value for name, value in geometry.settings.items() if name != "groups"}
    assert y.shape == geometry.y_shape
    assert y.shape[2:] == conv2d_output_size(x.shape[2:], geometry.kernel, **settings)
    dx, dw, db = conv2d_backward(dy, x, w, **geometry.settings)
    assert (dx.shape, dw.shape, db.shape) == (x.shape, w.shape, b.shape)


@given(convolutions().filter(lambda geometry: geometry.cost < 5000), seeds)
def test_the_seven_loops(geometry, seed):
    x, w, b, dy = geometry.integers(np.random.default_rng(seed), np.float32)
    assert_equal(conv2d(x, w, b, **geometry.settings), oracles.conv2d(x, w, b, **geometry.settings), "y")
    expected = oracles.conv2d_backward(dy, x, w, **geometry.settings)
    for got, exact in zip(conv2d_backward(dy, x, w, **geometry.settings), expected, strict=True):
        assert_equal(got, exact)


@given(convolutions(), seeds)
def test_linear_in_x_and_in_w(geometry, seed):
    rng = np.random.default_rng(seed)
    (x1, w1, _, dy1), (x2, w2, _, dy2) = (geometry.integers(rng, np.float32) for _ in range(2))
    settings = geometry.settings
    assert_equal(conv2d(x1 - 2 * x2, w1, **settings), conv2d(x1, w1, **settings) - 2 * conv2d(x2, w1, **settings))
    assert_equal(conv2d(x1, w1 + w2, **settings), conv2d(x1, w1, **settings) + conv2d(x1, w2, **settings))
    sums = zip(*(conv2d_backward(dy, x1, w1, **settings) for dy in (dy1, dy2, dy1 + dy2)), strict=True)
    for first, second, both in sums:
        assert_equal(both, first + second)


@given(convolutions(), seeds)
def test_the_gradients_are_adjoint(geometry, seed):
    """<y, dy> = <x, dx> = <w, dw>: what makes dx and dw the gradients of a map linear in x and in w."""
    x, w, _, dy = geometry.integers(np.random.default_rng(seed), np.float64)
    dx, dw, db = conv2d_backward(dy, x, w, **geometry.settings)
    product = np.sum(conv2d(x, w, **geometry.settings) * dy)
    assert np.sum(x * dx) == product
    assert np.sum(w * dw) == product
    assert_equal(db, dy.sum(axis=(0, 2, 3)))


@given(convolutions(), seeds)
def test_an_image_does_not_depend_on_its_batch(geometry, seed):
    x, w, b, dy = geometry.reals(np.random.default_rng(seed), np.float32)
    y = conv2d(x, w, b, **geometry.settings)
    dx, _, _ = conv2d_backward(dy, x, w, **geometry.settings)
    for n in range(len(x)):
        one = slice(n, n + 1)
        assert_same_bits(conv2d(x[one], w, b, **geometry.settings), y[one], "y")
        alone, _, _ = conv2d_backward(dy[one], x[one], w, **geometry.settings)
        assert_same_bits(alone, dx[one], "dx")


@given(convolutions(), seeds)
def test_padding_is_zeros(geometry, seed):
    x, w, b, _ = geometry.integers(np.random.default_rng(seed), np.float32)
    kernel, stride, dilation = geometry.kernel, oracles.pair(geometry.stride), oracles.pair(geometry.dilation)
    sides = oracles.conv2d_sides(geometry.padding, x.shape[2:], kernel, stride, dilation)
    padded = np.pad(x, ((0, 0), (0, 0), *sides))
    expected = conv2d(padded, w, b, **(geometry.settings | {"padding": 0}))
    assert_equal(conv2d(x, w, b, **geometry.settings), expected)


@given(convolutions(), seeds)
def test_groups_are_convolutions_side_by_side(geometry, seed):
    x, w, b, _ = geometry.integers(np.random.default_rng(seed), np.float32)
    parts = [np.split(a, geometry.groups, axis) for a, axis in ((x, 1), (w, 0), (b, 0))]
    alone = geometry.settings | {"groups": 1}
    expected = np.concatenate([conv2d(*part, **alone) for part in zip(*parts, strict=True)], axis=1)
    assert_equal(conv2d(x, w, b, **geometry.settings), expected)
