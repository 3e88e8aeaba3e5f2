import numpy as np
import pytest

import convnet
from convnet.errors import SettingError, ShapeError
from convnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    Context,
    GlobalAvgPool2d,
    Identity,
    MaxPool2d,
)


def image():
    return np.array([[1, 2, 5, 4], [3, 0, 1, 6], [7, 7, -1, -2], [7, 2, -4, -3]], np.float32).reshape(1, 1, 4, 4)


def test_max_pooling_by_hand():
    layer, ctx = MaxPool2d(2), Context()
    np.testing.assert_array_equal(layer.forward(image(), ctx)[0, 0], [[3, 6], [7, -1]])
    dx = layer.backward(np.array([[[[1, 2], [3, 4]]]], np.float32), ctx)
    np.testing.assert_array_equal(dx[0, 0], [[0, 0, 0, 0], [1, 0, 0, 2], [3, 0, 4, 0], [0, 0, 0, 0]])


def test_average_pooling_by_hand():
    layer, ctx = AvgPool2d(2), Context()
    np.testing.assert_array_equal(layer.forward(image(), ctx)[0, 0], [[1.5, 4], [5.75, -2.5]])
    dx = layer.backward(np.array([[[[4, 8], [12, 16]]]], np.float32), ctx)
    np.testing.assert_array_equal(dx[0, 0], np.kron([[1, 2], [3, 4]], np.ones((2, 2))))


@pytest.mark.parametrize(("count_include_pad", "corner"), [(True, 0.25), (False, 1.0)])
def test_the_padding_counts_or_not(count_include_pad, corner):
    layer = AvgPool2d(2, padding=1, count_include_pad=count_include_pad)
    assert layer(image())[0, 0, 0, 0] == corner


def test_max_pooling_saves_places_not_numbers():
    layer, ctx = MaxPool2d(2), Context()
    x = np.zeros((2, 3, 4, 4))
    assert layer.forward(x, ctx).size == 24
    assert ctx.nbytes == 24


def test_adaptive_pooling_by_hand():
    average, largest, ctx = AdaptiveAvgPool2d((1, 2)), AdaptiveMaxPool2d((1, 2)), Context()
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 1, 5)  # windows 0 1 2 and 2 3 4
    np.testing.assert_array_equal(average.forward(x, ctx)[0, 0], [[1, 3]])
    dx = average.backward(np.array([[[[3, 6]]]], np.float32), ctx)
    np.testing.assert_array_equal(dx[0, 0], [[1, 1, 3, 2, 2]])
    np.testing.assert_array_equal(largest.forward(x, ctx)[0, 0], [[2, 4]])
    dx = largest.backward(np.array([[[[3, 6]]]], np.float32), ctx)
    np.testing.assert_array_equal(dx[0, 0], [[0, 0, 3, 0, 6]])


def test_global_average_pooling_by_hand():
    layer, ctx = GlobalAvgPool2d(), Context()
    np.testing.assert_array_equal(layer.forward(image(), ctx), np.full((1, 1, 1, 1), 35 / 16))
    np.testing.assert_array_equal(layer.backward(np.full((1, 1, 1, 1), 16.0), ctx), np.ones((1, 1, 4, 4)))


def test_a_map_of_the_right_size_is_returned_as_it_is():
    layer, ctx, x = AdaptiveAvgPool2d(4), Context(), image()
    assert layer(x) is x
    assert layer.forward(x, ctx) is x
    assert layer.backward(x, ctx) is x
    assert Identity().forward(x, ctx) is x


@pytest.mark.parametrize("layer", [GlobalAvgPool2d(), AdaptiveAvgPool2d(2), AdaptiveMaxPool2d(2)])
def test_maps_without_pixels_are_refused(layer):
    with pytest.raises(ShapeError, match=r"expected x of at least one pixel, got \(1, 3, 0, 4\)"):
        layer(np.ones((1, 3, 0, 4)))


@pytest.mark.parametrize(
    "layer",
    [MaxPool2d(2), AvgPool2d(2), AdaptiveAvgPool2d(2), AdaptiveAvgPool2d(4), AdaptiveMaxPool2d(2), GlobalAvgPool2d()],
    ids=repr,
)
def test_no_interest_in_the_input_means_no_work(layer):
    ctx = Context(wants_dx=False)
    assert layer.backward(layer.forward(image(), ctx), ctx) is None


@pytest.mark.parametrize(
    ("text", "output_shape"),
    [
        ("MaxPool2d(kernel_size=2)", (3, 3, 4)),
        ("MaxPool2d(kernel_size=2, stride=1, padding=1)", (3, 8, 9)),
        ("MaxPool2d(kernel_size=(2, 3), dilation=2, ceil_mode=True)", (3, 3, 2)),
        ("AdaptiveAvgPool2d(6)", (3, 6, 6)),
        ("AdaptiveMaxPool2d((2, 3))", (3, 2, 3)),
        ("GlobalAvgPool2d()", (3, 1, 1)),
        ("AvgPool2d(kernel_size=(3, 2))", (3, 2, 4)),
        ("AvgPool2d(kernel_size=2, stride=3, padding=(1, 0), ceil_mode=True, count_include_pad=False)", (3, 3, 3)),
    ],
)
def test_reprs_and_sizes(text, output_shape):
    layer = eval(text, vars(convnet))
    assert repr(layer) == text
    assert layer.output_shape((3, 7, 8)) == output_shape
    assert layer.multiply_adds((3, 7, 8)) == 0


@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
def test_bad_settings_are_refused(pool):
    with pytest.raises(SettingError, match=f"{pool.__name__} kernel_size: expected an integer of at least 1, got 0"):
        pool(0)
    with pytest.raises(SettingError, match=f"{pool.__name__} stride: expected an integer of at least 1, got -2"):
        pool(2, stride=-2)
    with pytest.raises(SettingError, match=f"{pool.__name__} padding: expected at most half the window"):
        pool(2, padding=2)
    with pytest.raises(SettingError, match="MaxPool2d dilation: expected an integer of at least 1, got 0"):
        MaxPool2d(2, dilation=0)


@pytest.mark.parametrize("pool", [AdaptiveAvgPool2d, AdaptiveMaxPool2d])
def test_bad_sizes_are_refused(pool):
    with pytest.raises(SettingError, match=f"{pool.__name__} output_size: expected an integer of at least 1, got 0"):
        pool((2, 0))
