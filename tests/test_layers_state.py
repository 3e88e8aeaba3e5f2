import numpy as np
import pytest

from convnet.errors import WeightsError
from convnet.layers import Dense, Identity, Sequential


def model(dtype=np.float32):
    return Sequential(Dense(3, 4, rng=0, dtype=dtype), Dense(4, 2, rng=1, dtype=dtype))


def test_a_state_is_a_copy():
    layer = model()
    state = layer.state_dict()
    layer[0].weight.value[...] = 0
    assert state["0.weight"].any()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_loading_writes_into_the_arrays_that_are_there():
    layer, state = model(), {name: value + 1 for name, value in model().state_dict().items()}
    weight = layer[0].weight.value
    assert layer.load_state_dict(state) == ([], [])
    assert layer[0].weight.value is weight
    np.testing.assert_array_equal(weight, state["0.weight"])


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64])
def test_floats_are_converted_to_the_dtype_of_the_parameter(stored, dtype):
    layer = model(dtype)
    state = {name: value.astype(stored) for name, value in model().state_dict().items()}
    layer.load_state_dict(state)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, state[name].astype(dtype), strict=True)


def test_without_strict_the_difference_is_reported():
    layer, state = model(), model().state_dict()
    before = layer[0].bias.value.copy()
    state["2.weight"] = state.pop("0.bias")
    report = layer.load_state_dict(state, strict=False)
    assert report.missing_keys == ["0.bias"]
    assert report.unexpected_keys == ["2.weight"]
    np.testing.assert_array_equal(layer[0].bias.value, before)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("1.bias", np.zeros(3), r"1.bias: expected shape \(2,\), got \(3,\)"),
        ("1.bias", np.zeros(2, np.int64), "1.bias: expected dtype float16, float32 or float64, got int64"),
        ("1.bias", np.array([1e300, 0]), "1.bias: expected values in the range of float32, got larger ones"),
        ("2.bias", np.zeros(2), r"expected exactly the keys of the model, got missing keys \[\] and .* \['2.bias'\]"),
    ],
)
def test_nothing_is_half_loaded(key, value, text):
    layer = model()
    before = layer.state_dict()
    state = {name: old + 1 for name, old in before.items()} | {key: value}
    with pytest.raises(WeightsError, match=text):
        layer.load_state_dict(state)
    for name, old in layer.state_dict().items():
        np.testing.assert_array_equal(old, before[name])


def test_all_that_does_not_fit_is_named_at_once():
    layer = Sequential(*(Dense(3, 3, rng=i) for i in range(4)))
    before = layer.state_dict()
    state = {name: old + 1 for name, old in before.items()} | {
        "0.weight": np.zeros((2, 3)), "0.bias": np.zeros(3, np.int64), "1.bias": np.full(3, 1e300),
        "9.bias": np.zeros(3), "2.bias": [[1], [2, 3]],
    }  # fmt: skip
    del state["3.bias"]
    faults = [
        r"Sequential: expected exactly the keys .* missing keys \['3.bias'\] and unexpected keys \['9.bias'\]",
        r"0.weight: expected shape \(3, 3\), got \(2, 3\)",
        r"0.bias: expected dtype float16, float32 or float64, got int64",
        r"1.bias: expected values in the range of float32, got larger ones",
        r"2.bias: expected an array that NumPy can read, got .*",
    ]
    with pytest.raises(WeightsError, match=f"^{'; '.join(faults)}$"):
        layer.load_state_dict(state)
    with pytest.raises(WeightsError, match=f"^Sequential: {'; '.join(faults[1:])}$"):
        layer.load_state_dict(state, strict=False)
    for name, old in layer.state_dict().items():
        np.testing.assert_array_equal(old, before[name])


def test_tensors_that_numpy_cannot_read_are_told_the_way():
    torch = pytest.importorskip("torch")
    layer = model()
    tensors = {"0.bias": torch.ones(4, requires_grad=True), "1.bias": torch.ones(2, dtype=torch.bfloat16)}
    for name, tensor in tensors.items():
        with pytest.raises(
            WeightsError, match=rf"{name}: expected an .*; convert .* tensor.detach\(\).float\(\).numpy"
        ):
            layer.load_state_dict(layer.state_dict() | {name: tensor})
        layer.load_state_dict(layer.state_dict() | {name: tensor.detach().float().numpy()})
    np.testing.assert_array_equal(layer[0].bias.value, np.ones(4))


def test_missing_keys_are_named():
    state = model().state_dict()
    del state["0.weight"]
    with pytest.raises(WeightsError, match=r"Sequential: expected exactly the keys .* missing keys \['0.weight'\]"):
        model().load_state_dict(state)


def test_infinities_of_the_file_are_kept():
    layer = model()
    layer.load_state_dict(layer.state_dict() | {"1.bias": np.array([np.inf, np.nan])})
    np.testing.assert_array_equal(layer[1].bias.value, [np.inf, np.nan])


class Counting(Identity):
    """A layer with a buffer and an array of its own."""

    def __init__(self):
        self.count, self._table = np.zeros(2, np.int64), np.zeros(3)


def test_arrays_are_buffers_but_for_those_with_an_underscore():
    layer = Sequential(Counting(), Dense(3, 4))
    assert [name for name, _ in layer.named_buffers()] == ["0.count"]
    assert list(layer.state_dict()) == ["0.count", "1.weight", "1.bias"]
    layer.load_state_dict(layer.state_dict() | {"0.count": np.array([3, 4])})
    np.testing.assert_array_equal(layer[0].count, [3, 4])
