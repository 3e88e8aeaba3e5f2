"""Mixup and CutMix: images and targets tell the same mixture."""

import numpy as np
import pytest

from convnet.data import one_hot
from convnet.data.transforms import CutMix, Mixup
from convnet.errors import DataError, DTypeError, SettingError, ShapeError

N = 40
VALUES = np.arange(N) * 6.0

both = pytest.mark.parametrize("mix", [Mixup(N, 1.0), CutMix(N)], ids=repr)


def images(dtype, h=7, w=9):
    """Each of one value, its own; of which each is a class."""
    x = np.broadcast_to(VALUES.astype(dtype).reshape(N, 1, 1, 1), (N, 2, h, w))
    x.flags.writeable = False
    return x


@both
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_targets_say_what_is_in_the_images(mix, kind, rng):
    x, y = mix(images(kind), np.arange(N), rng)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((N, 2, 7, 9), kind, (N, N), np.float32)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=0, atol=2e-7)
    assert np.count_nonzero(y, axis=1).max() == 2
    # uint8 images are rounded by Mixup; the shares are float32 and multiply values of up to 240.
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3), dtype=np.float64), y @ VALUES, rtol=0, atol=0.5 + 1e-3)


def test_mixup_mixes_all_pixels_alike(rng):
    x, _ = Mixup(N, 1.0)(images(np.float64), np.arange(N), rng)
    assert (np.ptp(x, axis=(1, 2, 3)) < 1e-9).all()


def test_cutmix_puts_in_one_rectangle(rng):
    x, y = CutMix(N)(images(np.uint8), np.arange(N), rng)
    for image, own, shares in zip(x[:, 0], VALUES, y, strict=True):
        foreign = image != own
        rows, columns = foreign.any(axis=1), foreign.any(axis=0)
        np.testing.assert_array_equal(foreign, rows[:, None] & columns)
        assert np.abs(np.diff(rows.astype(int))).sum() <= 2
        assert len(np.unique(image)) <= 2
        assert abs(shares.max() - max(foreign.mean(), 1 - foreign.mean())) < 1e-6
    np.testing.assert_array_equal(x[:, 0], x[:, 1])


@pytest.mark.parametrize("alpha", [1.0, 8.0])
def test_shares_of_mixup_have_a_beta_distribution(alpha, rng):
    n = 4000
    _, y = Mixup(2, alpha)(np.zeros((n, 1, 1, 1), np.float32), np.arange(n) % 2, rng)
    own = y[np.arange(n), np.arange(n) % 2].astype(np.float64)
    # Half of the images meet one of their class, and keep 1. The others: mean 1/2, variance 1 / (4 (2 alpha + 1)).
    met = own[own < 1]
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(met.mean() - 0.5) < 6 * np.sqrt(variance / len(met))
    assert abs(met.var() - variance) < 6 * variance * np.sqrt(2 / len(met))


def test_cutmix_covers_as_much_as_the_beta_distribution_says(rng):
    n, side = 3000, 32
    x = np.zeros((n, 1, side, side), np.uint8)
    _, y = CutMix(2, alpha=1)(x, np.arange(n) % 2, rng)
    share = 1 - y[np.arange(n), np.arange(n) % 2]
    # For t uniform the area is s * s with s * s uniform; of a side s about a uniform centre s - s * s / 4 is inside.
    s = np.sqrt(np.linspace(0, 1, 100_001))
    expected = np.mean((s - s * s / 4) ** 2)
    # Half of the images meet one of their class. No share deviates by more than 1/2.
    assert abs(share.mean() - expected / 2) < 6 * 0.5 / np.sqrt(n)
    assert share.max() > 0.9


@both
def test_targets_may_be_probabilities(mix):
    labels = np.arange(N)
    x, y = mix(images(np.float32), labels, np.random.default_rng(1))
    again, soft = mix(images(np.float32), one_hot(labels, N, np.float64), np.random.default_rng(1))
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(soft.astype(np.float32), y)
    assert soft.dtype == np.float64


@both
def test_the_generator_decides(mix):
    runs = [mix(images(np.uint8), np.arange(N), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for first, same, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)


@both
def test_no_images(mix, rng):
    x, y = mix(np.zeros((0, 3, 4, 4), np.uint8), np.zeros(0, int), rng)
    assert (x.shape, y.shape) == ((0, 3, 4, 4), (0, N))


@pytest.mark.parametrize("mix", [Mixup, CutMix])
def test_errors(mix, rng):
    x, who = np.zeros((2, 1, 2, 2), np.uint8), mix.__name__
    with pytest.raises(SettingError, match=rf"^{who} classes: expected an integer of at least 2, got 1$"):
        mix(1)
    with pytest.raises(SettingError, match=rf"^{who} alpha: expected a finite number above 0, got 0$"):
        mix(3, 0)
    with pytest.raises(ShapeError, match=rf"^{who}: expected x of shape \(n, c, h, w\), got \(2, 2\)$"):
        mix(3)(x[0, 0], [0, 1], rng)
    with pytest.raises(ShapeError, match=rf"^{who}: expected targets of shape \(2,\) or \(2, 3\), got \(2, 4\)$"):
        mix(3)(x, np.zeros((2, 4)), rng)
    with pytest.raises(DTypeError, match=rf"^{who}: expected targets of shape \(2, 3\) to be floats, got int64$"):
        mix(3)(x, np.zeros((2, 3), np.int64), rng)
    with pytest.raises(DataError, match=r"^one_hot: expected labels in 0..2, got 3 at index 1$"):
        mix(3)(x, [0, 3], rng)
