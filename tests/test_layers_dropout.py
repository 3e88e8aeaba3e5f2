import math

import numpy as np
import pytest

from convnet.errors import SettingError
from convnet.layers import Context, Dropout


def test_inference_is_the_identity():
    x = np.ones((2, 3), np.float32)
    assert Dropout(0.5)(x) is x


@pytest.mark.parametrize("shape", [(400, 250), (10, 10, 25, 40)])
def test_training_zeroes_at_the_rate_and_keeps_the_mean(shape, dtype):
    y = Dropout(0.3, rng=0).forward(np.ones(shape, dtype), Context())
    scale = dtype(1 / 0.7)
    assert y.dtype == dtype
    assert set(np.unique(y)) == {0, scale}
    # six standard deviations of the share of 100,000 draws
    assert abs(np.mean(y == 0) - 0.3) < 6 * math.sqrt(0.3 * 0.7 / y.size)


def test_a_dropped_infinity_is_zero():
    y = Dropout(0.5, rng=0).forward(np.full((5, 20), np.inf), Context())
    assert set(np.unique(y)) == {0, np.inf}


def test_backward_uses_the_mask_of_its_context():
    layer, first, second = Dropout(0.5, rng=0), Context(), Context()
    x = np.ones((50, 20))
    y = layer.forward(x, first)
    assert (layer.forward(x, second) != y).any()
    np.testing.assert_array_equal(layer.backward(x, first), y)
    first.wants_dx = False
    assert layer.backward(x, first) is None


def test_a_seed_decides_the_mask_whatever_the_memory_layout():
    x = np.ones((2, 3, 4, 5))
    y = Dropout(0.5, rng=3).forward(x, Context())
    z = Dropout(0.5, rng=3).forward(np.asfortranarray(x), Context())
    np.testing.assert_array_equal(y, z)


def test_a_rate_of_zero_changes_nothing():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Dropout(0).forward(x, Context()), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan, "0.5"])
def test_bad_rates_are_refused(rate):
    with pytest.raises(SettingError, match=r"Dropout rate: expected a number in \[0, 1\), got"):
        Dropout(rate)


def test_repr():
    assert repr(Dropout(0.25)) == "Dropout(0.25)"
