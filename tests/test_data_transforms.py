"""Transforms against moves by hand."""

import re

import numpy as np
import pytest

from convnet.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)
from convnet.errors import DTypeError, SettingError, ShapeError


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


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


TRANSFORMS = [
    RandomCrop(2),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    Cutout(3),
    RandomResizedCrop((5, 4)),
    Compose(RandomCrop(1), RandomHorizontalFlip()),
]
every = pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)


@every
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_the_generator_decides_and_the_layout_does_not(x, transform, dtype):
    images = np.tile(x, (9, 1, 1, 1)).astype(dtype)
    y = transform(images, np.random.default_rng(1))
    np.testing.assert_array_equal(y, transform(channels_last(images), np.random.default_rng(1)), strict=True)
    assert (y.shape, y.dtype) == (images.shape, dtype)
    assert not np.array_equal(y, transform(images, np.random.default_rng(2)))
    assert not np.shares_memory(y, images)


@every
@pytest.mark.parametrize("shape", [(0, 1, 5, 4), (2, 0, 5, 4), (2, 1, 1, 1), (2, 1, 0, 3)])
def test_all_take_small_and_empty_batches(transform, shape, rng):
    if not isinstance(transform, RandomResizedCrop):
        assert transform(np.zeros(shape, np.uint8), rng).shape == shape
    elif shape[2]:
        assert transform(np.zeros(shape, np.uint8), rng).shape == (*shape[:2], 5, 4)


@every
def test_all_want_images(transform, rng):
    with pytest.raises(ShapeError, match=r": expected x of shape \(n, c, h, w\), got \(3, 4\)$"):
        transform(np.zeros((3, 4)), rng)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_crops_are_windows_of_the_padded_image_all_equally_often(mode, rng):
    p = 1
    image = rng.integers(1, 255, (2, 3, 4)).astype(np.uint8)
    padded = np.pad(image, ((0, 0), (p, p), (p, p)), mode)
    windows = [padded[:, i : i + 3, j : j + 4].tobytes() for i in range(3) for j in range(3)]
    n = 9000
    crops = RandomCrop(p, mode)(np.tile(image, (n, 1, 1, 1)), rng)
    counts = [windows.index(crop.tobytes()) for crop in crops]
    # Six standard deviations of a binomial distribution.
    assert np.abs(np.bincount(counts, minlength=9) - n / 9).max() < 6 * np.sqrt(n / 9 * 8 / 9)


def test_crops_of_a_size_are_windows_all_equally_often(rng):
    n, image = 9000, rng.integers(1, 255, (2, 4, 5)).astype(np.uint8)
    windows = [image[:, i : i + 2, j : j + 3].tobytes() for i in range(3) for j in range(3)]
    crops = RandomCrop(size=(2, 3))(np.tile(image, (n, 1, 1, 1)), rng)
    counts = [windows.index(crop.tobytes()) for crop in crops]
    assert np.abs(np.bincount(counts, minlength=9) - n / 9).max() < 6 * np.sqrt(n / 9 * 8 / 9)


@pytest.mark.parametrize("size", [1, 2, 3, (5, 4), (2, 3)])
def test_the_middle(x, size):
    h, w = (size, size) if isinstance(size, int) else size
    top, left = (5 - h) // 2, (4 - w) // 2
    y = CenterCrop(size)(x)
    np.testing.assert_array_equal(y, x[:, :, top : top + h, left : left + w])
    assert not np.shares_memory(y, x)


@pytest.mark.parametrize("p", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize(
    ("flip", "axis"), [(RandomHorizontalFlip, 2), (RandomVerticalFlip, 1)], ids=["horizontal", "vertical"]
)
def test_so_many_are_mirrored(rng, p, flip, axis):
    n = 4000
    image = rng.integers(1, 255, (2, 3, 4)).astype(np.uint8)
    flipped = flip(p)(np.tile(image, (n, 1, 1, 1)), rng)
    mirrored = (flipped == np.flip(image, axis)).all((1, 2, 3))
    assert (mirrored ^ (flipped == image).all((1, 2, 3))).all()
    assert abs(mirrored.sum() - n * p) <= 6 * np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 9])
def test_cutout_is_a_square_about_each_pixel_equally_often(rng, size):
    n, h, w = 20 * 600, 4, 5
    x = rng.integers(1, 255, (n, 2, h, w)).astype(np.uint8)
    y = Cutout(size)(x, rng)
    hole = y == 0
    np.testing.assert_array_equal(y, np.where(hole, 0, x))
    np.testing.assert_array_equal(hole[:, 0], hole[:, 1])
    expected = {}
    for i in range(h):
        for j in range(w):
            square = np.zeros((h, w), bool)
            square[max(i - size // 2, 0) : i - size // 2 + size, max(j - size // 2, 0) : j - size // 2 + size] = True
            expected[square.tobytes()] = expected.get(square.tobytes(), 0) + n / 20
    squares, counts = np.unique(hole[:, 0].reshape(n, -1), axis=0, return_counts=True)
    assert {square.tobytes() for square in squares} == set(expected)
    for square, count in zip(squares, counts, strict=True):
        assert abs(count - expected[square.tobytes()]) < 6 * np.sqrt(expected[square.tobytes()]) + (size in (0, 9))


def test_normalized_numbers(dtype):
    x = np.arange(256 * 2, dtype=np.int64).reshape(2, 2, 8, 16).astype(np.uint8)
    mean, std = np.array([0.25, 0.5]), np.array([0.125, 2.0])
    y = Normalize(mean, std, dtype)(x)
    expected = (x / 255 - mean.reshape(1, 2, 1, 1)) / std.reshape(1, 2, 1, 1)
    np.testing.assert_array_equal(y, expected.astype(dtype), strict=True)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_composition_goes_in_order(rng):
    x = np.full((1, 1, 2, 2), 255, np.uint8)
    transform = Compose(Normalize([0.5], [0.5]), lambda x, rng: x + 1, lambda x, rng: 3 * x)
    np.testing.assert_array_equal(transform(x, rng), np.full((1, 1, 2, 2), 6, np.float32), strict=True)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandomCrop(-1), "RandomCrop padding: expected an integer of at least 0, got -1"),
        (lambda: RandomCrop(1.5), "RandomCrop padding: expected an integer, got 1.5"),
        (lambda: RandomCrop(1, "wrap"), "RandomCrop mode: expected 'constant', 'edge' or 'reflect', got 'wrap'"),
        (lambda: RandomCrop(0, "edge", 0), "RandomCrop size: expected an integer of at least 1, got 0"),
        (lambda: CenterCrop("all"), "CenterCrop size: expected an integer or a pair (height, width), got 'all'"),
        (
            lambda: CenterCrop((1, 2, 3)),
            "CenterCrop size: expected an integer or a pair (height, width), got (1, 2, 3)",
        ),
        (lambda: Resize((4, 1.5)), "Resize size: expected an integer, got 1.5"),
        (lambda: RandomResizedCrop(0), "RandomResizedCrop size: expected an integer of at least 1, got 0"),
        (
            lambda: RandomResizedCrop(2, scale=(0.5, 1.5)),
            "RandomResizedCrop scale: expected a pair (least, largest) of finite numbers above 0 and at most 1, "
            "got (0.5, 1.5)",
        ),
        (
            lambda: RandomResizedCrop(2, ratio=(2, 1)),
            "RandomResizedCrop ratio: expected a pair (least, largest) of finite numbers above 0, got (2, 1)",
        ),
        (lambda: RandomResizedCrop(2, scale=0.5), "above 0 and at most 1, got 0.5"),
        (lambda: RandomVerticalFlip(None), "RandomVerticalFlip p: expected a number from 0 to 1, got None"),
        (lambda: ColorJitter(contrast=1.5), "ColorJitter contrast: expected a number from 0 to 1, got 1.5"),
        (lambda: ColorJitter(hue=0.6), "ColorJitter hue: expected a number from 0 to 0.5, got 0.6"),
        (lambda: RandomHorizontalFlip(1.5), "RandomHorizontalFlip p: expected a number from 0 to 1, got 1.5"),
        (lambda: RandomHorizontalFlip("p"), "RandomHorizontalFlip p: expected a number from 0 to 1, got 'p'"),
        (lambda: Cutout(-1), "Cutout size: expected an integer of at least 0, got -1"),
        (lambda: Normalize([1], [1, 2]), "expected equally many finite means and deviations, got [1] and [1, 2]"),
        (lambda: Normalize([np.nan], [1]), "expected equally many finite means and deviations, got [nan] and [1]"),
        (lambda: Normalize([0], [0]), "Normalize std: expected finite numbers above 0, got [0]"),
    ],
)
def test_settings_that_are_refused(make, text):
    with pytest.raises(SettingError, match=re.escape(text)):
        make()


def test_images_that_are_too_small(rng):
    x = np.zeros((1, 1, 3, 5), np.uint8)
    for transform in (CenterCrop((4, 5)), RandomCrop(size=(4, 5))):
        with pytest.raises(ShapeError, match=r": expected x of at least 4x5 pixels, got \(1, 1, 3, 5\)$"):
            transform(x, rng)
    assert RandomCrop(1, size=(5, 7))(x, rng).shape == (1, 1, 5, 7)
    for transform in (Resize(2), RandomResizedCrop(2)):
        with pytest.raises(ShapeError, match=r": expected x of at least 1x1 pixels, got \(1, 1, 0, 5\)$"):
            transform(x[:, :, :0], rng)


def test_normalize_refuses_other_images():
    normalize = Normalize([0, 0, 0], [1, 1, 1])
    with pytest.raises(ShapeError, match=r"^Normalize: expected x of 3 channels, got \(1, 2, 4, 4\)$"):
        normalize(np.zeros((1, 2, 4, 4), np.uint8))
    with pytest.raises(DTypeError, match=r"^Normalize: expected x of dtype uint8, got float32$"):
        normalize(np.zeros((1, 3, 4, 4), np.float32))
