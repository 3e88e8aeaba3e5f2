"""ColorJitter against light changed by hand."""

import numpy as np
import pytest

from convnet.data.transforms import ColorJitter
from convnet.errors import DTypeError, ShapeError

GREY = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)


class Ends:
    """Draws the upper end of each range, or the lower; of several images the first gets it, the others the middle."""

    def __init__(self, upper):
        self.upper = upper

    def uniform(self, low, high, n):
        numbers = np.full(n, (low + high) / 2)
        numbers[:1] = high if self.upper else low
        return numbers


@pytest.fixture
def x(rng):
    images = rng.integers(60, 196, (2, 3, 5, 4)).astype(np.uint8)
    images.flags.writeable = False
    return images


def changed(x, upper, **limits):
    """The first image, after a check that the second, whose numbers are in the middle, stays."""
    y = ColorJitter(**limits)(x, Ends(upper))
    np.testing.assert_array_equal(y[1:], x[1:], strict=True)
    return y[0].astype(int)


def grey(x):
    return (GREY * x.astype(np.float64)).sum(axis=0)


def close(image, values):
    """Equal but where a half may be rounded to either side: float32 computes ahead of the rounding."""
    np.testing.assert_allclose(image, np.clip(values, 0, 255), rtol=0, atol=0.5 + 1e-3)


@pytest.mark.parametrize("upper", [True, False])
def test_brightness(x, upper):
    close(changed(x, upper, brightness=0.5), x[0] * (1.5 if upper else 0.5))


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("channels", [3, 1])
def test_contrast(x, upper, channels):
    x = x[:, :channels]
    mean = (grey(x[0]) if channels == 3 else x[0].astype(float)).mean()
    close(changed(x, upper, contrast=0.75), mean + (x[0] - mean) * (1.75 if upper else 0.25))


def test_contrast_comes_after_brightness(x):
    mean = grey(x[0]).mean() * 1.25
    close(changed(x, True, brightness=0.25, contrast=0.5), mean + (x[0] * 1.25 - mean) * 1.5)


@pytest.mark.parametrize("upper", [True, False])
def test_saturation(x, upper):
    close(changed(x, upper, saturation=1), grey(x[0]) + (x[0] - grey(x[0])) * (2 if upper else 0))


@pytest.mark.parametrize("upper", [True, False])
def test_half_a_turn_of_the_hue(x, upper):
    close(changed(x, upper, hue=0.5), 2 * grey(x[0]) - x[0])


def test_turns_of_the_hue_keep_the_grey_and_add_up(rng):
    x = rng.integers(100, 156, (1, 3, 9, 9)).astype(np.uint8)
    y = x
    for _ in range(3):
        y = ColorJitter(hue=1 / 3)(y, Ends(upper=True))
        assert np.abs(grey(y[0]) - grey(x[0])).max() < 2
    assert np.abs(y.astype(int) - x).max() <= 3  # three roundings, that of a turn by up to 1.5 in a channel


def test_a_third_of_a_turn_makes_red_of_green():
    green = np.array([40, 120, 40], np.uint8).reshape(1, 3, 1, 1)
    images = [ColorJitter(hue=1 / 3)(green, Ends(upper)).ravel() for upper in (True, False)]
    assert {int(image.argmax()) for image in images} == {0, 2}


def test_pixels_are_cut_off(x):
    dark, light = np.full((1, 3, 2, 2), 5, np.uint8), np.full((1, 3, 2, 2), 250, np.uint8)
    assert (ColorJitter(brightness=1)(light, Ends(upper=True)) == 255).all()
    assert (ColorJitter(brightness=1)(dark, Ends(upper=False)) == 0).all()


def test_the_generator_decides_and_the_layout_does_not(x):
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.1)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y = jitter(x, np.random.default_rng(1))
    np.testing.assert_array_equal(y, jitter(last, np.random.default_rng(1)), strict=True)
    assert not np.array_equal(y, jitter(x, np.random.default_rng(2)))


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (1, 1, 1, 1)])
def test_small_and_empty(shape, rng):
    assert ColorJitter(0.4, 0.4)(np.zeros(shape, np.uint8), rng).shape == shape


def test_errors(x, rng):
    with pytest.raises(
        ShapeError, match=r"^ColorJitter: expected x of 3 channels, or 1 without .*, got \(2, 1, 5, 4\)$"
    ):
        ColorJitter(hue=0.1)(x[:, :1], rng)
    with pytest.raises(
        ShapeError, match=r"^ColorJitter: expected x of 3 channels, or 1 without .*, got \(2, 2, 5, 4\)$"
    ):
        ColorJitter()(x[:, :2], rng)
    with pytest.raises(DTypeError, match=r"^ColorJitter: expected x of dtype uint8, got float32$"):
        ColorJitter()(x.astype(np.float32), rng)
    with pytest.raises(ShapeError, match=r"^ColorJitter: expected x of shape \(n, c, h, w\), got \(5, 4\)$"):
        ColorJitter()(x[0, 0], rng)
