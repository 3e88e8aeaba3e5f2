import numpy as np
import pytest

from convnet.errors import SettingError
from convnet.layers import Context, PadChannels


def test_channels_of_zeros_by_hand(dtype):
    layer, ctx = PadChannels(1, 2), Context()
    x = np.array([[1, 2], [3, 4]], dtype).reshape(1, 2, 1, 2)
    y = layer.forward(x, ctx)
    np.testing.assert_array_equal(y[0, :, 0], [[0, 0], [1, 2], [3, 4], [0, 0], [0, 0]])
    np.testing.assert_array_equal(layer.backward(y + 5, ctx)[0, :, 0], [[6, 7], [8, 9]])
    assert repr(layer) == "PadChannels(1, 2)"


@pytest.mark.parametrize(("settings", "text"), [((-1, 0), "before: .* at least 0, got -1"), ((0, 0.5), "after: .*0.5")])
def test_numbers_of_channels_are_checked(settings, text):
    with pytest.raises(SettingError, match=f"PadChannels {text}"):
        PadChannels(*settings)
