"""RandomAffine against moves by hand."""

import numpy as np
import pytest

from convnet.data.transforms import RandomAffine
from convnet.errors import SettingError, ShapeError


class Extreme:
    """A generator that draws one end of every range: always the upper, or always the lower."""

    def __init__(self, upper):
        self.upper = upper

    def uniform(self, low, high, size):
        return np.full(size, high if self.upper else low)


@pytest.fixture
def x(rng):
    images = rng.integers(1, 255, (3, 2, 5, 4)).astype(np.uint8)
    images.flags.writeable = False
    return images


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_nothing_asked_is_a_copy(x, rng, dtype):
    images = x.astype(dtype)
    y = RandomAffine()(images, rng)
    np.testing.assert_array_equal(y, images)
    assert y.dtype == dtype
    assert not np.shares_memory(y, images)


@pytest.mark.parametrize("pixels", [1, 2, 3, 9])
def test_shift(x, pixels):
    p = pixels
    down_right, up_left = np.zeros_like(x), np.zeros_like(x)
    down_right[:, :, p:, p:] = x[:, :, :-p, :-p] if p < 4 else 0
    up_left[:, :, :-p, :-p] = x[:, :, p:, p:] if p < 4 else 0
    np.testing.assert_array_equal(RandomAffine(shift=p)(x, Extreme(upper=True)), up_left)
    np.testing.assert_array_equal(RandomAffine(shift=p)(x, Extreme(upper=False)), down_right)


def test_rotation_by_quarter_turns(rng):
    x = rng.integers(1, 255, (2, 3, 7, 7)).astype(np.uint8)
    quarter, half = RandomAffine(rotation=90), RandomAffine(rotation=180)
    turned = quarter(x, Extreme(upper=True))
    np.testing.assert_array_equal(turned, np.rot90(x, -1, axes=(2, 3)))
    np.testing.assert_array_equal(quarter(turned, Extreme(upper=False)), x)
    np.testing.assert_array_equal(half(x, Extreme(upper=True)), x[:, :, ::-1, ::-1])


def test_scale():
    x = np.zeros((1, 1, 9, 9), np.uint8)
    x[0, 0, 4, 4], x[0, 0, 4, 6], x[0, 0, 1, 4] = 1, 2, 3
    small, large = (RandomAffine(scale=0.5)(x, Extreme(upper))[0, 0] for upper in (True, False))
    assert (small[4, 4], small[2, 4]) == (1, 3)  # 1.5 pixels of the image in one
    assert (large[4, 4], large[4, 8]) == (1, 2)  # half a pixel of the image in one


class OneNumber(Extreme):
    """Draws the upper end for one of the numbers, and the middle for the others."""

    def __init__(self, which):
        self.draws = 0
        self.which = which

    def uniform(self, low, high, size):
        self.draws += 1
        return np.full(size, high if self.draws == self.which else (low + high) / 2)


def test_the_axes_scale_apart():
    x = np.zeros((1, 1, 9, 9), np.uint8)
    x[0, 0, 1, 4], x[0, 0, 4, 1] = 1, 2
    images = [RandomAffine(scale=0.5)(x, OneNumber(which))[0, 0] for which in range(1, 7)]
    marks = {tuple(zip(*np.nonzero(image), strict=True)) for image in images}
    assert marks == {((1, 4), (4, 1)), ((2, 4), (4, 1)), ((1, 4), (4, 2))}


def test_shear():
    x = np.zeros((1, 1, 5, 5), np.uint8)
    x[0, 0, :, 2] = 7
    np.testing.assert_array_equal(RandomAffine(shear=1)(x, Extreme(upper=False))[0, 0], 7 * np.eye(5))
    np.testing.assert_array_equal(RandomAffine(shear=1)(x, Extreme(upper=True))[0, 0], 7 * np.eye(5)[::-1])


def test_every_image_has_its_own_numbers_and_all_channels_the_same(rng):
    x = np.tile(np.arange(1, 122, dtype=np.uint8).reshape(1, 1, 11, 11), (200, 2, 1, 1))
    y = RandomAffine(shift=2)(x, rng)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    assert len(np.unique(y[:, 0], axis=0)) == 25


def test_the_generator_decides(x):
    change = RandomAffine(shift=2, rotation=40, scale=0.4, shear=0.3)
    first, same, other = (change(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("shape", [(0, 1, 5, 5), (2, 0, 5, 5), (2, 1, 1, 1), (2, 1, 1, 7), (2, 1, 0, 3)])
def test_small_and_empty(shape, rng):
    change = RandomAffine(shift=1, rotation=40, scale=0.4, shear=0.3)
    assert change(np.zeros(shape, np.uint8), rng).shape == shape


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "far"])
@pytest.mark.parametrize("name", ["shift", "rotation", "scale", "shear"])
def test_bad_settings(name, value):
    with pytest.raises(SettingError, match=f"^RandomAffine {name}: expected a finite number of at least 0, got"):
        RandomAffine(**{name: value})


def test_other_errors(rng):
    with pytest.raises(SettingError, match="RandomAffine scale: expected a number less than 1, got 1"):
        RandomAffine(scale=1)
    with pytest.raises(ShapeError, match=r"RandomAffine: expected x of shape \(n, c, h, w\), got \(3, 4\)"):
        RandomAffine()(np.zeros((3, 4)), rng)
