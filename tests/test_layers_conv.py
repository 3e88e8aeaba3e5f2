import numpy as np
import pytest

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.layers import Context, Conv2d


def by_hand():
    """The two 3x3 filters of the classic exercise."""
    layer = Conv2d(1, 2, 3)
    layer.weight.value[...] = np.reshape([[0, 0, 0, 0, 1, 0, 0, -1, 0], [0, 0, 0, 0, -1, 1, 0, 0, 0]], (2, 1, 3, 3))
    return layer


def test_the_classic_exercise_is_exact():
    layer, ctx = by_hand(), Context()
    x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(layer.forward(x, ctx)[0], [[[-4, -4], [-4, -4]], [[1, 1], [1, 1]]])
    dy = np.array([[[[-4, -4], [-4, -4]], [[1, -7], [1, -11]]]], np.float32)
    dx = layer.backward(dy, ctx)
    np.testing.assert_array_equal(dx[0, 0], [[0, 0, 0, 0], [0, -5, 4, -7], [0, -1, 12, -11], [0, 4, 4, 0]])
    np.testing.assert_array_equal(layer.bias.grad, [-16, -16])


def test_no_interest_in_the_input_means_no_gradient_for_it():
    layer, ctx = by_hand(), Context(wants_dx=False)
    y = layer.forward(np.ones((1, 1, 4, 4), np.float32), ctx)
    assert layer.backward(np.ones_like(y), ctx) is None
    assert layer.weight.grad.all()


def test_the_gradient_is_added_into_the_array_of_the_parameter():
    layer, ctx = by_hand(), Context()
    gradient = layer.weight.grad
    layer.backward(np.ones_like(layer.forward(np.ones((1, 1, 4, 4), np.float32), ctx)), ctx)
    assert layer.weight.grad is gradient
    np.testing.assert_array_equal(gradient, 4)


def test_weights_are_he_normal_and_biases_zero():
    layer = Conv2d(32, 64, 3, groups=2, rng=0)
    assert layer.weight.shape == (64, 16, 3, 3)
    assert abs(layer.weight.value.std() - np.sqrt(2 / 144)) < 0.01 * np.sqrt(2 / 144)
    assert not layer.bias.value.any()


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape", "parameters"),
    [
        (Conv2d(3, 6, 3), (3, 144, 144), (6, 142, 142), 168),
        (Conv2d(24, 48, 3), (24, 60, 60), (48, 58, 58), 10416),
        (Conv2d(10, 20, 3, stride=2), (10, 20, 20), (20, 9, 9), 1820),
        (Conv2d(8, 8, 3, padding="same", groups=8, bias=False), (8, 5, 7), (8, 5, 7), 72),
    ],
)
def test_sizes(layer, input_shape, output_shape, parameters):
    assert layer.output_shape(input_shape) == output_shape
    assert sum(p.size for p in layer.parameters()) == parameters
    _, oh, ow = output_shape
    assert layer.multiply_adds(input_shape) == oh * ow * layer.weight.size


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Conv2d(1, 8, 3, padding=1), "Conv2d(1, 8, kernel_size=3, padding=1)"),
        (Conv2d(2, 4, (3, 5), (1, 2), (1, 2)), "Conv2d(2, 4, kernel_size=(3, 5), stride=(1, 2), padding=(1, 2))"),
        (Conv2d(2, 4, 3, padding="same", groups=2), "Conv2d(2, 4, kernel_size=3, padding='same', groups=2)"),
        (Conv2d(2, 4, 3, padding=((0, 1), (1, 1))), "Conv2d(2, 4, kernel_size=3, padding=((0, 1), (1, 1)))"),
        (Conv2d(2, 4, 3, 1, "valid", 2, bias=False), "Conv2d(2, 4, kernel_size=3, dilation=2, bias=False)"),
    ],
)
def test_the_repr_builds_the_layer(layer, text):
    assert repr(layer) == text
    assert repr(eval(text, {"Conv2d": Conv2d})) == text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"in_channels": 0}, "Conv2d in_channels: expected an integer of at least 1, got 0"),
        ({"out_channels": 2.5}, "Conv2d out_channels: expected an integer, got 2.5"),
        ({"kernel_size": (3, 0)}, "Conv2d kernel_size: expected an integer of at least 1, got 0"),
        ({"kernel_size": (3, 3, 3)}, "Conv2d kernel_size: expected an integer or a pair of integers"),
        ({"stride": -1}, "Conv2d stride: expected an integer of at least 1, got -1"),
        ({"dilation": 0}, "Conv2d dilation: expected an integer of at least 1, got 0"),
        ({"padding": -1}, "Conv2d padding: expected an integer of at least 0, got -1"),
        ({"padding": "full"}, "Conv2d padding: expected 'same', 'valid' or integers, got 'full'"),
        ({"groups": 3}, "Conv2d groups: expected a divisor of in_channels=4 and out_channels=6, got 3"),
        ({"groups": 4}, "Conv2d groups: expected a divisor of in_channels=4 and out_channels=6, got 4"),
    ],
)
def test_bad_settings_are_refused(settings, text):
    with pytest.raises(SettingError, match=text):
        Conv2d(**({"in_channels": 4, "out_channels": 6, "kernel_size": 3} | settings))


def test_bad_arrays_are_refused():
    layer = Conv2d(3, 4, 5)
    with pytest.raises(ShapeError, match=r"Conv2d: expected x of shape \(n, 3, h, w\), got \(10, 1, 28, 28\)"):
        layer(np.zeros((10, 1, 28, 28), np.float32))
    with pytest.raises(DTypeError, match="Conv2d: expected x of dtype float32, got float64"):
        layer(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ShapeError, match="expected a padded height of at least 5"):
        layer.output_shape((3, 4, 8))
    with pytest.raises(DTypeError, match="Conv2d: expected dtype float32 or float64, got float16"):
        Conv2d(3, 4, 5, dtype=np.float16)
