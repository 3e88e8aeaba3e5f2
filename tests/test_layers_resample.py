import numpy as np
import pytest

from convnet.errors import SettingError, ShapeError
from convnet.layers import Context, ConvTranspose2d, GroupNorm, LocalResponseNorm, Pad2d, Upsample2d


def test_a_transposed_convolution_by_hand(dtype):
    layer, ctx = ConvTranspose2d(1, 1, 2, stride=2, padding=(1, 0), dtype=dtype), Context()
    layer.weight.value[...] = np.reshape([1, 2, 3, 4], (1, 1, 2, 2))
    layer.bias.value[...] = 10
    y = layer.forward(np.reshape([1, 2, 3, 4], (1, 1, 2, 2)).astype(dtype), ctx)
    np.testing.assert_array_equal(y[0, 0], [[13, 14, 16, 18], [13, 16, 14, 18]])
    dx = layer.backward(np.ones_like(y), ctx)
    np.testing.assert_array_equal(dx[0, 0], [[7, 7], [3, 3]])
    np.testing.assert_array_equal(layer.weight.grad[0, 0], [[7, 7], [3, 3]])
    np.testing.assert_array_equal(layer.bias.grad, [8])


def test_weights_have_two_over_the_products_of_an_output_as_variance():
    layer = ConvTranspose2d(64, 32, 4, stride=2, rng=0)
    assert abs(layer.weight.value.std() - np.sqrt(2 / (64 * 4))) < 0.01 * np.sqrt(2 / (64 * 4))
    assert not layer.bias.value.any()
    assert layer.multiply_adds((64, 5, 6)) == 30 * layer.weight.size


def test_padding_by_hand():
    x = np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(Pad2d(((1, 0), (0, 1)))(x)[0, 0], [[0, 0, 0], [1, 2, 0], [3, 4, 0]])
    np.testing.assert_array_equal(Pad2d(((0, 1), (0, 1)), "reflect")(x)[0, 0], [[1, 2, 1], [3, 4, 3], [1, 2, 1]])
    np.testing.assert_array_equal(Pad2d(((0, 0), (2, 0)), "replicate")(x)[0, 0], [[1, 1, 1, 2], [3, 3, 3, 4]])


def test_interpolation_by_hand():
    layer, ctx = Upsample2d((1, 3), mode="bilinear", align_corners=True), Context()
    np.testing.assert_array_equal(layer.forward(np.array([2.0, 4]).reshape(1, 1, 1, 2), ctx)[0, 0], [[2, 3, 4]])
    np.testing.assert_array_equal(layer.backward(np.array([1.0, 2, 4]).reshape(1, 1, 1, 3), ctx)[0, 0], [[2, 5]])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: ConvTranspose2d(4, 6, 3, groups=4),
            "groups: expected a divisor of in_channels=4 and out_channels=6, got 4",
        ),
        (lambda: ConvTranspose2d(4, 6, 3, 2, output_padding=2), "output_padding: expected less than stride=(2, 2) or"),
        (lambda: ConvTranspose2d(4, 6, 3, padding=-1), "ConvTranspose2d padding: expected an integer of at least 0"),
        (lambda: Pad2d("same"), "Pad2d padding: expected integers, got 'same'"),
        (lambda: Pad2d(1, "circular"), "Pad2d mode: expected 'zeros', 'reflect' or 'replicate', got 'circular'"),
        (lambda: Upsample2d(), "Upsample2d: expected either size or scale_factor, got size=None, scale_factor=None"),
        (lambda: Upsample2d(3, mode="cubic"), "Upsample2d mode: expected 'nearest' or 'bilinear', got 'cubic'"),
        (lambda: Upsample2d(3, align_corners=True), "Upsample2d align_corners: expected False for mode='nearest'"),
        (
            lambda: Upsample2d(scale_factor=-1),
            "Upsample2d scale_factor: expected a finite number of at least 0, got -1",
        ),
        (lambda: GroupNorm(3, 4), "GroupNorm num_groups: expected a divisor of num_channels=4, got 3"),
        (lambda: GroupNorm(2, 4, eps=-1), "GroupNorm eps: expected a finite number of at least 0, got -1"),
        (lambda: LocalResponseNorm(0), "LocalResponseNorm size: expected an integer of at least 1, got 0"),
        (lambda: LocalResponseNorm(5, beta=-1), "LocalResponseNorm beta: expected a finite number of at least 0"),
    ],
)
def test_settings_are_checked(build, text):
    with pytest.raises(SettingError) as error:
        build()
    assert text in str(error.value)


def test_maps_that_are_too_small():
    with pytest.raises(ShapeError, match=r"^Pad2d: expected a height of at least 3 for padding=.*, got size=\(2, 5\)$"):
        Pad2d(2, "reflect").output_shape((1, 2, 5))
    with pytest.raises(ShapeError, match=r"^conv_transpose2d: expected an input and an output of at least one pixel"):
        ConvTranspose2d(1, 1, 1, padding=2).output_shape((1, 4, 4))
    with pytest.raises(ShapeError, match=r"^Upsample2d: expected maps of at least one pixel, got size=\(3, 1\) that"):
        Upsample2d(scale_factor=0.5).output_shape((1, 3, 1))


def test_reprs():
    assert repr(Pad2d((1, 2), "reflect")) == "Pad2d(padding=(1, 2), mode='reflect')"
    assert repr(Upsample2d(scale_factor=2)) == "Upsample2d(scale_factor=2)"
    assert repr(Upsample2d(7, mode="bilinear")) == "Upsample2d(size=7, mode='bilinear')"
    assert repr(GroupNorm(2, 4)) == "GroupNorm(2, 4)"
    assert repr(ConvTranspose2d(2, 4, 3, bias=False)) == "ConvTranspose2d(2, 4, kernel_size=3, bias=False)"
