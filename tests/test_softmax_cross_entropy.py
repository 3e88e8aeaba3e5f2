"""Softmax and the cross-entropy in one pass, up to the largest and the smallest logits."""

import math

import numpy as np
import oracles
import pytest
from bounds import assert_equal, assert_same_bits
from layouts import LAYOUTS, freeze

from convnet.functional import softmax, softmax_cross_entropy


def _relative_error(logits):
    """How far softmax may err, relative to each probability p.

    Rounding z - max by half a unit becomes a relative error of exp, |z - max| eps / 2, in p itself and, weighted with
    the probabilities, in the sum that p is divided by; exp, the sum over the classes and the division add a few units.
    """
    spread = logits.max(axis=1, keepdims=True) - np.float64(logits)
    mean_spread = np.sum(oracles.softmax(logits) * spread, axis=1, keepdims=True)
    return np.finfo(logits.dtype).eps * (4 + np.sqrt(logits.shape[1]) + spread + mean_spread)


def _assert_near(got, exact, limit):
    """Demand |got - exact| <= limit, but for what underflows."""
    excess = np.abs(np.float64(got) - exact) - limit - np.finfo(got.dtype).tiny
    assert np.all(excess <= 0), f"expected {exact}, got {got}, off by up to {excess.max():.3g} more than allowed"


def _targets(n, classes, rng, dtype):
    """Class indices, and probabilities of which some rows do not add up to one."""
    t = rng.random((n, classes)).astype(dtype)
    t[::2] /= t[::2].sum(axis=1, keepdims=True)
    return rng.integers(0, classes, n), t


@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 1), (5, 3), (100, 10), (3, 1000), (33, 17)], ids=str)
def test_against_the_formula(shape, scale, dtype, rng):
    logits = (scale * rng.standard_normal(shape)).astype(dtype)
    p, relative = softmax(logits), _relative_error(logits)
    _assert_near(p, oracles.softmax(logits), relative * oracles.softmax(logits))
    for targets in _targets(*shape, rng, dtype):
        loss, dlogits = softmax_cross_entropy(logits, targets)
        exact_loss, exact = oracles.softmax_cross_entropy(logits, targets)
        weights = np.eye(shape[1])[targets] if targets.ndim == 1 else np.float64(targets)
        assert isinstance(loss, float)
        summation = np.finfo(dtype).eps * np.sqrt(shape[1]) * exact_loss  # of terms of one sign
        assert abs(loss - exact_loss) <= np.sum(relative * weights) / shape[0] + summation
        sizes = oracles.softmax(logits) * weights.sum(axis=1, keepdims=True) + weights
        _assert_near(dlogits, exact, relative * sizes / shape[0])
        assert dlogits.dtype == p.dtype == dtype


def test_by_hand(dtype):
    logits = np.log(np.array([[1, 2, 5], [6, 1, 1]], dtype))
    loss, dlogits = softmax_cross_entropy(logits, np.array([1, 0]))
    assert loss == pytest.approx((math.log(8 / 2) + math.log(8 / 6)) / 2, rel=1e-6)
    np.testing.assert_allclose(dlogits, [[1 / 16, -3 / 8, 5 / 16], [-1 / 8, 1 / 16, 1 / 16]], rtol=1e-6)


def test_one_class_costs_nothing(dtype):
    loss, dlogits = softmax_cross_entropy(np.array([[3], [-7], [1e30]], dtype), np.zeros(3, np.int64))
    assert loss == 0
    assert_equal(dlogits, np.zeros((3, 1)))


@pytest.mark.parametrize("huge", [1e4, 1e30, 3e38])
def test_huge_logits_do_not_overflow(huge, dtype):
    logits = np.array([[huge, -huge, 0], [-huge, -huge, -huge]], dtype)
    assert_equal(softmax(logits), np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], dtype))
    loss, dlogits = softmax_cross_entropy(logits, np.array([0, 2]))
    assert loss == pytest.approx(math.log(3) / 2, rel=1e-6)
    assert_equal(dlogits[0], np.zeros(3))
    loss, _ = softmax_cross_entropy(logits[:1], np.array([2]))
    assert loss == pytest.approx(float(logits[0, 0]), rel=1e-6)


def test_a_confident_row_keeps_its_small_loss():
    """-log(p) of a p rounded to one would be zero."""
    loss, _ = softmax_cross_entropy(np.array([[0.0, 20.0]]), np.array([1]))
    assert loss == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_impossible_classes(dtype):
    """A logit of -inf is a probability of zero: no gradient, unless it was the right class."""
    logits = np.array([[0, -np.inf, 0]], dtype)
    assert_equal(softmax(logits), np.array([[0.5, 0, 0.5]], dtype))
    for target in np.array([0]), np.array([[1, 0, 0]], dtype):
        loss, dlogits = softmax_cross_entropy(logits, target)
        assert loss == pytest.approx(math.log(2), rel=1e-6)
        assert_equal(dlogits, np.array([[-0.5, 0, 0.5]], dtype))
    loss, dlogits = softmax_cross_entropy(logits, np.array([1]))
    assert loss == math.inf
    assert_equal(dlogits, np.array([[0.5, -1, 0.5]], dtype))


@pytest.mark.parametrize("row", [[np.nan, 0, 1], [0, 1, np.nan], [np.inf, 0, 0], [-np.inf] * 3], ids=str)
def test_what_has_no_softmax_is_nan(row, dtype):
    logits = np.array([[1, 2, 3], row], dtype)
    p = softmax(logits)
    assert np.all(np.isfinite(p[0]))
    assert np.any(np.isnan(p[1]))
    loss, dlogits = softmax_cross_entropy(logits, np.array([0, 1]))
    assert math.isnan(loss)
    assert np.all(np.isfinite(dlogits[0]))


def test_one_hot_targets_are_class_indices(dtype, rng):
    logits = rng.standard_normal((9, 10)).astype(dtype)
    labels = rng.integers(0, 10, 9)
    loss, dlogits = softmax_cross_entropy(logits, labels)
    one_hot_loss, one_hot_dlogits = softmax_cross_entropy(logits, np.eye(10, dtype=dtype)[labels])
    assert one_hot_loss == pytest.approx(loss, rel=4 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose(one_hot_dlogits, dlogits, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, np.intp])
def test_every_type_of_label(integer, rng):
    logits, labels = rng.standard_normal((9, 10)), rng.integers(0, 10, 9)
    expected, got = (softmax_cross_entropy(logits, a) for a in (labels, labels.astype(integer)))
    assert got[0] == expected[0]
    assert_same_bits(got[1], expected[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    again = LAYOUTS[layout]
    logits = rng.standard_normal((9, 10)).astype(dtype)
    before = freeze(logits)
    assert_same_bits(softmax(again(logits)), softmax(logits))
    for targets in _targets(9, 10, rng, dtype):
        loss, dlogits = softmax_cross_entropy(again(logits), again(targets))
        expected_loss, expected = softmax_cross_entropy(logits, targets)
        assert loss == expected_loss
        assert_same_bits(dlogits, expected)
    assert [logits.tobytes()] == before


def test_the_gradient_is_the_derivative(rng):
    """Central differences along one random direction."""
    logits, direction = rng.standard_normal((2, 5, 7))
    for targets in _targets(5, 7, rng, np.float64):
        _, dlogits = softmax_cross_entropy(logits, targets)
        ahead, behind = (softmax_cross_entropy(logits + step * direction, targets)[0] for step in (1e-5, -1e-5))
        assert np.sum(dlogits * direction) == pytest.approx((ahead - behind) / 2e-5, rel=1e-8)
