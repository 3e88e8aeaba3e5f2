"""Dropout against its generator written from the paper, and its masks as random numbers."""

import math

import numpy as np
import pytest
from bounds import assert_same_bits
from layouts import LAYOUTS, freeze

from convnet.errors import DTypeError, SettingError
from convnet.functional import dropout


def threefry(counter, key, rounds):
    """Threefry-4x32 in plain integers: Salmon et al. 2011 (SC11), section 4.2, and the constants of Skein 1.3."""
    rotations = [(10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20)]
    keys = [*key, 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [(a + b) % 2**32 for a, b in zip(counter, key, strict=True)]
    for r in range(rounds):
        partners = (1, 3) if r % 2 == 0 else (3, 1)
        for a, b, k in zip((0, 2), partners, rotations[r % 8], strict=True):
            x[a] = (x[a] + x[b]) % 2**32
            x[b] = ((x[b] << k) % 2**32 | x[b] >> (32 - k)) ^ x[a]
        if r % 4 == 3:
            s = r // 4 + 1
            x = [(value + keys[(s + i) % 5] + (s if i == 3 else 0)) % 2**32 for i, value in enumerate(x)]
    return x


def words(numbers, seed):
    """The word of each number: of 64, sixteen have the first word of their counter, the next sixteen the second."""
    key = [seed % 2**32, seed >> 32, 0, 0]
    return np.array([threefry([i // 64 * 16 + i % 16, 0, 0, 0], key, 13)[i % 64 // 16] for i in numbers], np.uint64)


@pytest.mark.parametrize(
    ("fill", "answer"),
    [(0, "531c7e4f 39491ee5 2c855a92 3d6abf9a"), (0xFFFFFFFF, "c4189358 1c9cc83a d5881c67 6a0a89e0")],
)
def test_the_generator_gives_the_published_answers(fill, answer):
    assert " ".join(f"{word:08x}" for word in threefry([fill] * 4, [fill] * 4, 13)) == answer


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 200])
@pytest.mark.parametrize("seed", [0, 2**64 - 1, 0x0123456789ABCDEF])
def test_small_words_become_zero(n, seed, dtype):
    x = np.random.default_rng(n).standard_normal(n).astype(dtype)
    expected = np.where(words(range(n), seed) < 0.25 * 2**32, dtype(0), x * dtype(1 / 0.75))
    assert_same_bits(dropout(x, 0.25, seed), expected)


def test_blocks_of_tasks_go_on_where_the_last_ended():
    kept = dropout(np.ones(70_000), 0.5, 7) != 0
    for start in 16_384, 32_768, 69_900:
        places = range(start - 100, start + 100)
        np.testing.assert_array_equal(kept[places], words(places, 7) >= 2**31)


def test_the_seed_decides_whatever_the_layout_and_the_type(dtype):
    x = np.random.default_rng(0).standard_normal((3, 5, 6, 7)).astype(dtype)
    y = dropout(x, 0.5, 11)
    np.testing.assert_array_equal(y != 0, dropout(np.ones(x.shape, np.float32), 0.5, 11) != 0)
    for layout in LAYOUTS.values():
        given = layout(x)
        before = freeze(given)
        assert_same_bits(dropout(given, 0.5, 11), y)
        assert freeze(given) == before


def masks(rate, seeds, n=1 << 15):
    """Deviations of the zeros from their rate, for each seed n."""
    return np.array([(dropout(np.ones(n, np.float32), rate, seed) == 0) - rate for seed in seeds])


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.95])
def test_the_share_of_zeros(rate):
    """Within six standard deviations of independent draws."""
    deviations = masks(rate, range(20))
    assert abs(deviations.mean()) < 6 * math.sqrt(rate * (1 - rate) / deviations.size)
    for one in deviations:
        assert abs(one.mean()) < 6 * math.sqrt(rate * (1 - rate) / one.size)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbours_and_passes_are_independent(rate):
    """Products of two independent deviations have mean 0 and standard deviation rate (1 - rate)."""
    rng = np.random.default_rng(3)
    seeds = [int(seed) for seed in rng.integers(2**64, size=4, dtype=np.uint64)]
    near = masks(rate, [seeds[0], seeds[0] ^ 1, seeds[0] ^ (1 << 32), *seeds[1:], 0, 1, 2])
    for distance in 1, 2, 3, 16, 32, 48, 64, 1024:
        products = near[:, distance:] * near[:, :-distance]
        assert abs(products.mean()) < 6 * rate * (1 - rate) / math.sqrt(products.size), distance
    for i, one in enumerate(near):
        for other in near[:i]:
            assert abs((one * other).mean()) < 6 * rate * (1 - rate) / math.sqrt(one.size)


def test_places_are_independent_over_the_passes():
    signs = 2 * np.array([dropout(np.ones(64, np.float32), 0.5, seed) != 0 for seed in range(4000)]) - 1.0
    products = signs.T @ signs - len(signs) * np.eye(64)
    assert np.abs(products).max() < 6 * math.sqrt(len(signs))
    assert np.abs(signs.sum(axis=0)).max() < 6 * math.sqrt(len(signs))


def test_what_is_not_finite_is_dropped_too(dtype):
    for value in np.inf, np.nan:
        y = dropout(np.full(1000, value, dtype), 0.5, 1)
        assert set(np.unique(y)) == {0, value} or (np.isnan(y) | (y == 0)).all()
        assert 400 < np.count_nonzero(y == 0) < 600  # six standard deviations of 16


def test_rates_at_the_ends():
    x = np.ones(1000)
    np.testing.assert_array_equal(dropout(x, 0, 5), x)
    assert np.count_nonzero(dropout(x, 1 - 2**-40, 5)) == 0


def test_bad_arguments_are_refused():
    with pytest.raises(DTypeError, match="dropout: expected x of dtype float32 or float64, got int64"):
        dropout(np.ones(3, np.int64), 0.5, 0)
    with pytest.raises(SettingError, match=r"dropout rate: expected a number in \[0, 1\), got 1"):
        dropout(np.ones(3), 1, 0)
    with pytest.raises(SettingError, match="dropout seed: expected an integer of at least 0, got -1"):
        dropout(np.ones(3), 0.5, -1)
    with pytest.raises(SettingError, match=r"dropout seed: expected an integer below 2\*\*64, got 184467"):
        dropout(np.ones(3), 0.5, 2**64)
