"""Activations beyond the rectifiers, PReLU and softmax alone, against their formulas in float64.

exp errs by at most 3 u (u = eps / 2: the polynomial, the product with a power of 2, the reduced argument), and no
function rounds more than five times around it; terms cancel nowhere but in the derivative of the gated ones, whose
terms are at most 1.2, and for gelu in x (1 - tail). So 4 eps of the result, or of |x| for gelu, of 2 for derivatives.
What exp flushes to zero is below the smallest normal number, and may be multiplied by |x|.
"""

import layer_oracles as oracles
import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits, assert_within
from layouts import LAYOUTS, freeze
from oracles import softmax as softmax_oracle

from convnet.functional import (
    activation,
    activation_backward,
    prelu,
    prelu_backward,
    softmax,
    softmax_backward,
)
from convnet.layers import ELU

A = 0.75
OF_RESULT = ("sigmoid", "tanh")
every_function = pytest.mark.parametrize("name", oracles.FUNCTIONS)


def _check(x, dy, name):
    flushed = np.abs(x) * (np.finfo(x.dtype).tiny / np.finfo(x.dtype).eps)
    exact = oracles.activation(x, name, A)
    y = activation(x, name, A)
    assert_within(y, exact, (np.abs(x) if name.startswith("gelu") else np.abs(exact)) + flushed, 1, "y")
    saved = y if name in OF_RESULT else x
    dx = activation_backward(dy, saved, name, A)
    assert_within(dx, dy * oracles.derivative(saved, name, A), np.abs(dy) * 2 + flushed, 1, "dx")


@every_function
@pytest.mark.parametrize("size", [*range(40), 1000, 20_003])
def test_every_size(name, size, dtype, rng):
    x, dy = (4 * rng.standard_normal((2, size))).astype(dtype)
    _check(x, dy, name)


@every_function
def test_the_whole_range(name, dtype):
    """From where the result is x itself, or its square, to where exponentials vanish."""
    sizes = np.concatenate(
        [np.geomspace(1e-30, 1e-3, 300), np.linspace(1e-3, 130 if dtype == np.float32 else 800, 4000)]
    )
    x = np.concatenate([-sizes, [0.0, -3.0, 3.0], sizes]).astype(dtype)
    _check(x, np.ones_like(x), name)


@pytest.mark.parametrize("name", ["elu", "tanh"])
def test_small_numbers_lose_no_digits(name, dtype):
    x = -np.geomspace(1e-20, 1, 500).astype(dtype)
    exact = oracles.activation(x, name, 1.0)
    assert np.all(np.abs(activation(x, name) / exact - 1) <= 4 * np.finfo(dtype).eps)


@every_function
@pytest.mark.parametrize("copies", [1, 40])
def test_special_values(name, copies, dtype):
    x = np.tile(np.array([np.nan, -np.nan, np.inf, 1e30, -1e30], dtype), copies)
    y = activation(x, name)
    assert np.isnan(y).reshape(copies, 5).tolist() == [[True, True, False, False, False]] * copies
    top, _, bottom = y[2:5]
    bounded = name in (*OF_RESULT, "hard_sigmoid")
    assert top == (1 if bounded else np.inf)
    assert bottom == {"tanh": -1, "elu": -1, "leaky_relu": dtype(-1e30)}.get(name, 0)
    slopes = activation_backward(np.ones_like(x), x if name not in OF_RESULT else y, name)[2:5]
    assert_equal(slopes, np.array([0, 0, 0] if bounded else [1, 1, 1 if name == "leaky_relu" else 0]))


@every_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_value(name, layout, dtype, rng):
    x, dy = rng.standard_normal((2, 3, 5, 7, 6)).astype(dtype)
    again, before = LAYOUTS[layout], freeze(x, dy)
    y, dx = activation(x, name), activation_backward(dy, x, name)
    assert_same_bits(np.ascontiguousarray(activation(again(x), name)), y)
    assert_same_bits(np.ascontiguousarray(activation_backward(again(dy), again(x), name)), dx)
    assert [a.tobytes() for a in (x, dy)] == before


def test_channels_last_stays_channels_last(rng):
    x = LAYOUTS["channels-last"](rng.standard_normal((2, 5, 4, 3)).astype(np.float32))
    y = activation(x, "silu")
    assert y.strides == x.strides
    assert activation_backward(x, y, "silu").strides == x.strides


# ---- PReLU -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3, 1), (2, 7), (5, 64, 3, 9), (2, 19, 40, 41), (1, 200, 2, 2), (0, 4, 3, 3)], ids=str
)
@pytest.mark.parametrize("shared", [False, True], ids=["each", "shared"])
def test_prelu_on_integers(shape, shared, dtype, rng):
    x, dy = rng.integers(-3, 4, (2, *shape)).astype(dtype)
    weight = rng.integers(-2, 3, 1 if shared else shape[1]).astype(dtype)
    along = np.broadcast_to(weight, shape[1]).reshape(-1, *[1] * (len(shape) - 2))
    assert_equal(prelu(x, weight), np.where(x > 0, x, along * x))
    dx, dweight = prelu_backward(dy, x, weight)
    assert_equal(dx, np.where(x > 0, dy, along * dy))
    terms = np.moveaxis(np.where(x > 0, 0, x * dy), 1, -1).reshape(-1, 1 if shared else shape[1])
    assert_equal(dweight, terms.sum(axis=0))
    into = np.ones_like(weight)
    assert prelu_backward(dy, x, weight, dweight=into)[1] is into
    assert_equal(into, dweight + dtype(1))
    assert prelu_backward(dy, x, weight, dweight=False)[1] is None


def test_prelu_of_any_rank_with_one_slope(dtype):
    weight = np.array([0.5], dtype)
    assert_equal(prelu(np.array([-2, 4], dtype), weight), np.array([-1, 4]))
    assert prelu(np.zeros((), dtype), weight).shape == ()


def test_nan_passes_prelu(dtype):
    x, weight = np.array([[np.nan, -1.0]] * 9, dtype), np.array([0.5, 2], dtype)
    assert_equal(prelu(x, weight), np.array([[np.nan, -2]] * 9))
    dx, dweight = prelu_backward(np.ones_like(x), x, weight)
    assert_equal(dx, np.array([[0.5, 2]] * 9))
    assert_equal(dweight, np.array([np.nan, -9]))


# ---- softmax of maps, and its gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (3, 1000), (2, 5, 3, 4), (1, 40, 30, 21), (0, 3, 2, 2)], ids=str)
def test_softmax_and_its_gradient(shape, dtype, rng):
    x, dy = (5 * rng.standard_normal((2, *shape))).astype(dtype)
    rows = np.moveaxis(x, 1, -1).reshape(-1, shape[1])
    exact = np.moveaxis(softmax_oracle(rows).reshape(*np.moveaxis(x, 1, -1).shape), -1, 1)
    y = softmax(x)
    # exp of a rounded difference: u |difference| relative, and 3 u, in the terms of the sum too, which runs in float64
    distance = np.float64(x.max(axis=1, keepdims=True) - x) if x.size else x
    distance = distance + (exact * distance).sum(axis=1, keepdims=True)
    assert_within(y, exact, exact * (1 + distance / 4), 1 if dtype == np.float32 else shape[1], "y")
    p, up = np.float64(y), np.float64(dy)
    mean = (p * up).sum(axis=1, keepdims=True)
    size = np.abs(p) * (np.abs(up) + (p * np.abs(up)).sum(axis=1, keepdims=True))
    dx = softmax_backward(dy, y)
    inner = np.finfo(np.float64).eps * np.sqrt(shape[1]) * size / np.finfo(dtype).eps  # sums run in float64
    assert_within(dx, p * (up - mean), np.abs(p * (up - mean)) + inner, 1, "dx")


def test_softmax_of_maps_is_channels_last(dtype, rng):
    y = softmax(rng.standard_normal((2, 3, 4, 5)).astype(dtype))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert softmax_backward(y, y).transpose(0, 2, 3, 1).flags.c_contiguous


def test_the_parameter_has_a_name():
    x = np.array([-1.0, 2.0])
    np.testing.assert_array_equal(activation(x, "elu", alpha=2.0), ELU(alpha=2)(x))
    np.testing.assert_array_equal(activation_backward(x, x, "leaky_relu", alpha=0.5), [-0.5, 2])
