import numpy as np
import pytest

from convnet import initializers
from convnet.errors import ShapeError

SHAPE = (60, 20, 3, 5)  # fan_in 300, fan_out 900
VARIANCE = {"he": 2 / 300, "glorot": 2 / 1200, "lecun": 1 / 300}
RULES = [f"{rule}_{form}" for rule in VARIANCE for form in ("normal", "uniform")]


def test_fans():
    assert initializers.fans(SHAPE) == (300, 900)
    assert initializers.fans((10, 64)) == (64, 10)
    with pytest.raises(ShapeError, match=r"expected weights of shape \(out, in\) or \(out, in, kh, kw\), got \(3,\)"):
        initializers.fans((3,))


@pytest.mark.parametrize("name", RULES)
def test_mean_and_variance(name, dtype):
    values = getattr(initializers, name)(SHAPE, 0, dtype)
    variance = VARIANCE[name.split("_")[0]]
    assert values.shape == SHAPE
    assert values.dtype == dtype
    # six standard deviations of the estimates from 18,000 numbers; the variance of a square is at most 2 variance**2
    assert abs(values.mean()) < 6 * np.sqrt(variance / values.size)
    assert abs(np.square(values).mean() - variance) < 6 * variance * np.sqrt(2 / values.size)


@pytest.mark.parametrize("name", [name for name in RULES if "uniform" in name])
def test_uniform_values_fill_their_interval(name):
    values = initializers.__dict__[name](SHAPE, 0)
    bound = np.sqrt(3 * VARIANCE[name.split("_")[0]])
    assert -bound <= values.min() < -0.99 * bound
    assert 0.99 * bound < values.max() <= bound


@pytest.mark.parametrize("name", RULES)
def test_a_seed_decides_and_a_generator_moves_on(name):
    draw = getattr(initializers, name)
    np.testing.assert_array_equal(draw((4, 3), 7), draw((4, 3), np.random.default_rng(7)))
    rng = np.random.default_rng(7)
    assert (draw((4, 3), rng) != draw((4, 3), rng)).all()


def test_constants(dtype):
    assert initializers.zeros((3,), dtype).dtype == dtype
    assert not initializers.zeros((3,), dtype).any()
    np.testing.assert_array_equal(initializers.constant((2, 2), 0.5, dtype), np.full((2, 2), 0.5, dtype), strict=True)
