import math

import numpy as np
import pytest

from convnet.data import DataLoader
from convnet.errors import SettingError
from convnet.initializers import glorot_uniform
from convnet.layers import Conv2d, ConvTranspose2d, Dense, Dropout
from convnet.models import MODELS
from convnet.settings import flag, generator, integer, real


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.int64(0)])
def test_numbers_in_range_become_floats(value):
    assert real(value, "rate", below=1) == value
    assert type(real(value, "rate", below=1)) is float


@pytest.mark.parametrize("value", [-0.1, 1, math.nan, math.inf, "0.5", None, np.zeros(1)])
def test_other_things_are_refused(value):
    with pytest.raises(SettingError, match=r"rate: expected a number in \[0, 1\), got"):
        real(value, "rate", below=1)


def test_without_an_upper_end_infinity_is_refused():
    with pytest.raises(SettingError, match="lr: expected a finite number of at least 0, got inf"):
        real(math.inf, "lr")


def test_integers():
    assert integer(np.int32(3), "channels") == 3
    with pytest.raises(SettingError, match="channels: expected an integer of at least 1, got 0"):
        integer(0, "channels")
    with pytest.raises(SettingError, match=r"channels: expected an integer, got 3\.0"):
        integer(3.0, "channels")


def test_true_and_false_are_no_numbers():
    for value in True, False, np.True_:
        with pytest.raises(SettingError, match=f"channels: expected an integer, got .*{value}"):
            integer(value, "channels", least=0)
        with pytest.raises(SettingError, match=f"rate: expected a finite number of at least 0, got .*{value}"):
            real(value, "rate")


def test_flags():
    assert [flag(value, "bias") for value in (True, np.False_)] == [True, False]
    for value in "no", 1, None:
        with pytest.raises(SettingError, match=f"bias: expected True or False, got {value!r}"):
            flag(value, "bias")


def test_generators():
    mine = np.random.default_rng(3)
    assert generator(mine, "Dense") is mine
    assert generator(3, "Dense").random() == generator(np.uint8(3), "Dense").random() == mine.random()
    assert generator(None, "Dense").random() != generator(None, "Dense").random()


TAKERS = {
    "Conv2d": lambda rng: Conv2d(1, 1, 3, rng=rng),
    "ConvTranspose2d": lambda rng: ConvTranspose2d(1, 1, 3, rng=rng),
    "Dense": lambda rng: Dense(1, 1, rng=rng),
    "Dropout": lambda rng: Dropout(rng=rng),
    "DataLoader": lambda rng: DataLoader(np.zeros(3), np.zeros(3), rng=rng),
    "initializers": lambda rng: glorot_uniform((3, 3), rng),
} | {name: lambda rng, build=build: build(rng=rng) for name, build in MODELS.items()}


@pytest.mark.parametrize("who", TAKERS)
def test_whoever_takes_a_generator_refuses_what_is_none(who):
    for rng in "seed", 1.5, -1, True, np.random.RandomState(0):
        with pytest.raises(SettingError) as caught:
            TAKERS[who](rng)
        expected = "an integer of at least 0, a numpy.random.Generator or None"
        assert str(caught.value) == f"{who} rng: expected {expected}, got {rng!r}"
