import numpy as np
import pytest

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.layers import Context, Dense


def test_by_hand():
    layer, ctx = Dense(2, 3), Context()
    layer.weight.value[...] = [[1, 2], [3, 4], [5, 6]]
    layer.bias.value[...] = [10, 20, 30]
    np.testing.assert_array_equal(layer.forward(np.array([[1, -1]], np.float32), ctx), [[9, 19, 29]])
    np.testing.assert_array_equal(layer.backward(np.array([[1, 0, 2]], np.float32), ctx), [[11, 14]])
    np.testing.assert_array_equal(layer.weight.grad, [[1, -1], [0, 0], [2, -2]])
    np.testing.assert_array_equal(layer.bias.grad, [1, 0, 2])


def test_no_interest_in_the_input_means_no_gradient_for_it():
    layer, ctx = Dense(2, 3), Context(wants_dx=False)
    assert layer.backward(layer.forward(np.ones((1, 2), np.float32), ctx), ctx) is None


def test_weights_are_lecun_normal_and_biases_zero():
    layer = Dense(400, 300, rng=0)
    assert abs(layer.weight.value.std() - np.sqrt(1 / 400)) < 0.01 * np.sqrt(1 / 400)
    assert not layer.bias.value.any()


def test_sizes_and_repr():
    assert Dense(4, 2).output_shape((4,)) == (2,)
    assert Dense(4, 2).multiply_adds((4,)) == 8
    assert repr(Dense(4, 2)) == "Dense(4, 2)"
    assert repr(Dense(4, 2, bias=False)) == "Dense(4, 2, bias=False)"


def test_bad_input_is_refused():
    with pytest.raises(SettingError, match="Dense out_features: expected an integer of at least 1, got 0"):
        Dense(4, 0)
    with pytest.raises(ShapeError, match=r"Dense: expected x of shape \(n, 4\), got \(2, 5\)"):
        Dense(4, 2)(np.zeros((2, 5), np.float32))
    with pytest.raises(ShapeError, match=r"got \(2, 1, 2, 2\); a Flatten layer makes rows of images"):
        Dense(4, 2)(np.zeros((2, 1, 2, 2), np.float32))
    with pytest.raises(DTypeError, match="Dense: expected x of dtype float64, got float32"):
        Dense(4, 2, dtype=np.float64)(np.zeros((2, 4), np.float32))
    with pytest.raises(ShapeError, match=r"Dense: expected an input of shape \(4,\), got \(5,\)"):
        Dense(4, 2).output_shape((5,))
