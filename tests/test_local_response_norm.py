"""Local response normalisation and its gradient.

d rounds at most window + 3 times, all its terms being positive, its power and the product with x 6 times; in the
gradient the sum of window terms and three products come on top. In u = eps / 2 of the absolute terms.
"""

import layer_oracles as oracles
import numpy as np
import pytest
from bounds import assert_same_bits, assert_within
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import local_response_norm, local_response_norm_backward

SHAPES = [(1, 1, 1, 1), (2, 3, 4, 5), (1, 96, 5, 5), (3, 17, 9, 2), (1, 700, 3, 3), (2, 40, 30, 31)]
PAPER = (5, 5e-4, 0.75, 2.0)
every_form = pytest.mark.parametrize(
    "settings", [PAPER, (1, 0.5, 0.5, 1.0), (4, 2.0, 1.0, 0.5), (9, 1.0, 0.6, 1.0)], ids=str
)


def _keywords(settings):
    return dict(zip(("size", "alpha", "beta", "k"), settings, strict=True))


@every_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_within_the_bound(shape, settings, dtype, rng):
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(dtype)
    exact = oracles.local_response_norm(x, *settings)
    window = settings[0]
    assert_within(local_response_norm(x, **_keywords(settings)), exact, np.abs(exact), window + 9, "y")
    direct, rest = oracles.local_response_norm_backward(dy, x, *settings)
    sizes = oracles.local_response_norm_backward(np.abs(dy), np.abs(x), *settings)
    dx = local_response_norm_backward(dy, x, **_keywords(settings))
    assert_within(dx, direct - rest, sum(sizes), 3 * window + 20, "dx")


@pytest.mark.parametrize("size", [3, 4, 8, 9])
def test_windows_wider_than_the_channels(size, dtype, rng):
    x = rng.standard_normal((2, 3, 2, 2)).astype(dtype)
    exact = oracles.local_response_norm(x, size, 1.0, 0.75, 1.0)
    assert_within(local_response_norm(x, size, alpha=1.0), exact, np.abs(exact), size + 9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 2, 21, 8, 9)).astype(dtype)
    again, before = LAYOUTS[layout], freeze(x, dy)
    y, dx = local_response_norm(x, 5), local_response_norm_backward(dy, x, 5)
    assert is_channels_last(y)
    assert is_channels_last(dx)
    assert_same_bits(local_response_norm(again(x), 5), y)
    assert_same_bits(local_response_norm_backward(again(dy), again(x), 5), dx)
    assert [a.tobytes() for a in (x, dy)] == before


def test_nan_reaches_the_window_of_its_pixel(dtype, rng):
    x = rng.standard_normal((1, 40, 3, 3)).astype(dtype)
    x[0, 20, 1, 1] = np.nan
    y = np.isnan(local_response_norm(x, 5))
    assert np.argwhere(y).tolist() == [[0, c, 1, 1] for c in range(18, 23)]


def test_an_empty_batch(dtype):
    x = np.empty((0, 3, 4, 5), dtype)
    assert local_response_norm(x, 5).shape == local_response_norm_backward(x, x, 5).shape == x.shape
