import copy
import pickle

import numpy as np
import pytest

from convnet.errors import DTypeError, ShapeError
from convnet.parameter import Parameter


def test_the_gradient_is_zero_at_first_and_stays_the_same_array():
    p = Parameter(np.ones((2, 3), np.float32))
    assert p.grad.shape == (2, 3)
    assert p.grad.dtype == np.float32
    assert not p.grad.any()
    p.grad += 1
    assert p.grad is p.grad
    assert p.grad.sum() == 6


def test_a_writable_contiguous_array_is_kept():
    value = np.zeros(4)
    assert Parameter(value).value is value


def test_read_only_and_strided_arrays_are_copied():
    value = np.arange(6.0).reshape(2, 3)
    value.flags.writeable = False
    for given in (value, value.T):
        p = Parameter(given)
        assert p.value.flags.c_contiguous
        assert p.value.flags.writeable
        np.testing.assert_array_equal(p.value, given)


def test_two_parameters_are_equal_only_if_they_are_one():
    p, q = Parameter(np.zeros(2)), Parameter(np.zeros(2))
    assert p != q
    assert len({p, q, p}) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_independent(duplicate):
    p = Parameter(np.zeros(2), np.ones(2))
    q = duplicate(p)
    q.value += 5
    q.grad += 5
    assert not p.value.any()
    np.testing.assert_array_equal(p.grad, 1)


def test_wrong_arrays_are_refused():
    with pytest.raises(DTypeError, match="Parameter: expected a value of dtype float32 or float64, got int64"):
        Parameter(np.zeros(2, np.int64))
    with pytest.raises(ShapeError, match=r"Parameter: expected a gradient of shape \(2,\), got \(3,\)"):
        Parameter(np.zeros(2), np.zeros(3))
    with pytest.raises(DTypeError, match="Parameter: expected a gradient of dtype float64, got float32"):
        Parameter(np.zeros(2)).grad = np.zeros(2, np.float32)


def test_repr_names_shape_and_dtype():
    assert repr(Parameter(np.zeros((2, 3)))) == "Parameter(shape=(2, 3), dtype=float64)"
