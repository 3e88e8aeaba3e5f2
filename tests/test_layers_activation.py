import numpy as np
import pytest

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.layers import ELU, GELU, Context, LeakyReLU, PReLU, Softmax, Tanh


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: LeakyReLU(-1), "LeakyReLU negative_slope: expected a finite number of at least 0, got -1"),
        (lambda: ELU(np.nan), "ELU alpha: expected a finite number of at least 0, got nan"),
        (lambda: GELU("fast"), "GELU approximate: expected 'none' or 'tanh', got 'fast'"),
        (lambda: PReLU(0), "PReLU num_parameters: expected an integer of at least 1, got 0"),
        (lambda: PReLU(1, "a"), "PReLU init: expected a finite number of at least 0, got 'a'"),
    ],
)
def test_settings_are_checked(build, text):
    with pytest.raises(SettingError) as error:
        build()
    assert str(error.value) == text


def test_reprs_name_what_is_not_the_default():
    assert repr(LeakyReLU()) == "LeakyReLU()"
    assert repr(LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(ELU(2)) == "ELU(alpha=2.0)"
    assert repr(GELU("tanh")) == "GELU(approximate='tanh')"
    assert repr(PReLU()) == "PReLU()"
    assert repr(Tanh()) == "Tanh()"


def test_prelu_learns_its_slopes_by_hand():
    layer, ctx = PReLU(2), Context()
    layer.forward(np.float32([[-4, 2], [-1, -8]]), ctx)
    np.testing.assert_array_equal(layer.backward(np.float32([[1, 1], [2, 3]]), ctx), [[0.25, 1], [0.5, 0.75]])
    np.testing.assert_array_equal(layer.weight.grad, [-6, -24])
    assert layer.state_dict()["weight"].tolist() == [0.25, 0.25]


def test_prelu_refuses_other_channels():
    layer = PReLU(3)
    with pytest.raises(ShapeError, match=r"^PReLU: expected x of shape \(n, 3\) or \(n, 3, h, w\), got \(2, 4\)$"):
        layer(np.zeros((2, 4), np.float32))
    with pytest.raises(ShapeError, match=r"^PReLU: expected an input of shape \(3,\) or \(3, h, w\), got \(4, 2, 2\)$"):
        layer.output_shape((4, 2, 2))
    with pytest.raises(DTypeError, match=r"^PReLU: expected x of dtype float32, got float64"):
        layer(np.zeros((2, 3)))


def test_softmax_takes_rows_and_maps_only():
    with pytest.raises(
        ShapeError, match=r"^Softmax: expected x of shape \(n, features\) or \(n, c, h, w\), got \(3,\)$"
    ):
        Softmax()(np.zeros(3))
    np.testing.assert_array_equal(Softmax()(np.zeros((1, 4, 1, 2))), np.full((1, 4, 1, 2), 0.25))
