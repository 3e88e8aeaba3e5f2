import math

import numpy as np
import pytest

from convnet.errors import SettingError
from convnet.settings import integer, real


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
