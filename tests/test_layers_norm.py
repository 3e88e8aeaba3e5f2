import numpy as np
import pytest
from gradcheck import away_from_kinks, check_layer

from convnet.errors import DTypeError, SettingError, ShapeError, WeightsError
from convnet.layers import BatchNorm2d, Context, Sequential
from convnet.layers.fused import BatchNormReLU


def rows(*channels):
    """One image a value: (n, c, 1, 1)."""
    return np.array(channels, np.float32).T[:, :, None, None]


def test_training_by_hand():
    layer, ctx = BatchNorm2d(2, eps=0), Context()
    layer.weight.value[:], layer.bias.value[:] = [1, 2], [0, 10]
    y = layer.forward(rows([1, 3], [5, 5.5]), ctx)
    np.testing.assert_array_equal(y, rows([-1, 1], [8, 12]))
    dx = layer.backward(rows([1, 0], [3, 3]), ctx)
    np.testing.assert_array_equal(dx, rows([0, 0], [0, 0]))  # two values: the output never changes
    np.testing.assert_array_equal(layer.weight.grad, [-1, 0])
    np.testing.assert_array_equal(layer.bias.grad, [1, 6])


def test_running_averages_by_hand():
    layer = BatchNorm2d(1, momentum=0.5)
    layer.forward(rows([1, 3]), Context())
    np.testing.assert_array_equal(layer.running_mean, [1])  # half of 0 and of 2
    np.testing.assert_array_equal(layer.running_var, [1.5])  # half of 1 and of the unbiased 2
    layer.forward(rows([2, 2]), Context())
    np.testing.assert_array_equal(layer.running_mean, [1.5])
    np.testing.assert_array_equal(layer.running_var, [0.75])
    assert layer.num_batches_tracked == 2
    np.testing.assert_allclose(layer(rows([1.5, 3]))[:, 0, 0, 0], [0, 1.5 / np.sqrt(0.75 + 1e-5)], rtol=1e-6)


def test_running_averages_move_in_place():
    layer = BatchNorm2d(2)
    before = dict(layer.named_buffers())
    layer.forward(rows([1, 3], [4, 5]), Context())
    assert all(buffer is before[name] for name, buffer in layer.named_buffers())


def test_no_interest_in_the_input_means_no_gradient_of_it():
    layer, ctx = BatchNorm2d(2), Context(wants_dx=False)
    assert layer.backward(layer.forward(rows([1, 3], [4, 5]), ctx), ctx) is None
    assert layer.weight.grad.any()


def test_without_momentum_all_batches_count_the_same():
    layer = BatchNorm2d(1, momentum=None)
    for batch in ([0, 2], [4, 6], [8, 16]):
        layer.forward(rows(batch), Context())
    np.testing.assert_allclose(layer.running_mean, [6], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, [(2 + 2 + 32) / 3], rtol=1e-6)


def test_an_empty_batch_moves_no_average():
    layer = BatchNorm2d(3)
    before = layer.state_dict()
    layer.forward(np.empty((0, 3, 4, 4), np.float32), Context())
    assert all(np.array_equal(value, before[name]) for name, value in layer.state_dict().items())


def test_one_value_a_channel_cannot_be_normalised():
    layer, x = BatchNorm2d(3), np.ones((1, 3, 1, 1), np.float32)
    text = r"BatchNorm2d: expected more than one value a channel in training, got x of shape \(1, 3, 1, 1\)"
    with pytest.raises(ShapeError, match=text):
        layer.forward(x, Context())
    assert layer.num_batches_tracked == 0
    assert layer(x).shape == x.shape


def test_saved_are_the_input_and_two_numbers_a_channel():
    layer, ctx = BatchNorm2d(3), Context()
    x = np.ones((4, 3, 5, 5), np.float32)
    layer.forward(x, ctx)
    assert ctx.nbytes == x.nbytes + 2 * 3 * 8


def test_the_gradient_behind_a_relu(rng):
    norm = BatchNorm2d(2, dtype=np.float64)
    norm.weight.value[:], norm.bias.value[:] = [0.7, -1.3], [0.05, -0.4]
    x = away_from_kinks(rng, (2, 2, 5, 6))
    assert np.abs(norm.forward(x, Context())).min() > 0.01  # no output changes sign
    check_layer(BatchNormReLU(norm), x, rng)


def test_state_has_the_names_and_the_order_of_pytorch():
    model = Sequential(BatchNorm2d(2), BatchNorm2d(3, affine=False))
    own = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(model.state_dict()) == [f"0.{name}" for name in own] + [f"1.{name}" for name in own[2:]]
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [name for name, _ in model.named_buffers()] == [f"{i}.{name}" for i in range(2) for name in own[2:]]
    assert model[0].num_batches_tracked.dtype == np.int64
    assert model[0].num_batches_tracked.shape == ()


def test_loading_writes_into_the_buffers_that_are_there(dtype):
    layer, other = BatchNorm2d(2, dtype=dtype), BatchNorm2d(2)
    other.forward(rows([1, 3], [4, 4]), Context())
    mean, count = layer.running_mean, layer.num_batches_tracked
    assert layer.load_state_dict(other.state_dict()) == ([], [])
    assert layer.running_mean is mean
    assert layer.num_batches_tracked is count
    assert count == 1
    np.testing.assert_array_equal(mean, other.running_mean.astype(dtype), strict=True)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("running_mean", np.zeros(3), r"running_mean: expected shape \(2,\), got \(3,\)"),
        ("running_var", np.zeros(2, int), "running_var: expected dtype float16, float32 or float64, got int64"),
        ("num_batches_tracked", np.zeros(1, int), r"num_batches_tracked: expected shape \(\), got \(1,\)"),
        ("num_batches_tracked", np.float32(1), "num_batches_tracked: expected dtype int64, got float32"),
        ("running_variance", np.zeros(2), r"unexpected keys \['running_variance'\]"),
    ],
)
def test_nothing_is_half_loaded(name, value, text):
    layer = BatchNorm2d(2)
    before = layer.state_dict()
    state = {key: old + 1 for key, old in before.items()} | {name: value}
    with pytest.raises(WeightsError, match=text):
        layer.load_state_dict(state)
    assert all(np.array_equal(old, before[key]) for key, old in layer.state_dict().items())


def test_a_missing_buffer_is_named():
    state = BatchNorm2d(2).state_dict()
    del state["running_mean"]
    with pytest.raises(WeightsError, match=r"got missing keys \['running_mean'\]"):
        BatchNorm2d(2).load_state_dict(state)
    assert BatchNorm2d(2).load_state_dict(state, strict=False).missing_keys == ["running_mean"]


@pytest.mark.parametrize(
    "text", ["BatchNorm2d(3)", "BatchNorm2d(3, eps=0.001, momentum=None)", "BatchNorm2d(3, momentum=0.9, affine=False)"]
)
def test_reprs_and_sizes(text):
    layer = eval(text, {"BatchNorm2d": BatchNorm2d})
    assert repr(layer) == text
    assert layer.output_shape((3, 7, 8)) == BatchNormReLU(layer).output_shape((3, 7, 8)) == (3, 7, 8)


def test_bad_settings_are_refused():
    with pytest.raises(SettingError, match="BatchNorm2d num_features: expected an integer of at least 1, got 0"):
        BatchNorm2d(0)
    with pytest.raises(SettingError, match="BatchNorm2d eps: expected a finite number of at least 0, got -1"):
        BatchNorm2d(2, -1)
    with pytest.raises(SettingError, match=r"BatchNorm2d momentum: expected a number in \[0, 1\], got 'fast'"):
        BatchNorm2d(2, momentum="fast")
    with pytest.raises(SettingError, match=r"BatchNorm2d momentum: expected a number in \[0, 1\], got 5"):
        BatchNorm2d(2, momentum=5)
    assert BatchNorm2d(2, momentum=1).momentum == 1
    with pytest.raises(DTypeError, match="BatchNorm2d: expected dtype float32 or float64, got float16"):
        BatchNorm2d(2, dtype=np.float16)


@pytest.mark.parametrize("make", [BatchNorm2d, lambda c: BatchNormReLU(BatchNorm2d(c))])
def test_other_channels_are_refused(make):
    layer = make(3)
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected x of shape \(n, 3, h, w\), got \(1, 4, 5, 5\)"):
        layer(np.ones((1, 4, 5, 5), np.float32))
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected an input of shape \(3, h, w\), got \(4, 5, 5\)"):
        layer.output_shape((4, 5, 5))
    with pytest.raises(DTypeError, match="BatchNorm2d: expected x of dtype float32, got float64"):
        layer(np.ones((1, 3, 5, 5)))


def test_the_count_of_batches_may_be_missing():
    """As in files of older versions of PyTorch."""
    model = Sequential(BatchNorm2d(2))
    model[0].num_batches_tracked += 3
    state = {name: value + 1 for name, value in model.state_dict().items() if "tracked" not in name}
    assert model.load_state_dict(state) == ([], [])
    assert model[0].num_batches_tracked == 3
    assert model[0].running_mean.tolist() == [1, 1]


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e38])
def test_statistics_that_are_not_finite_move_no_average(bad, dtype):
    """The variance of 1e38 is no float32, but a float64."""
    layer = BatchNorm2d(1, dtype=dtype)
    with np.errstate(invalid="ignore"):
        layer.forward(np.array([0, bad], dtype).reshape(1, 1, 1, 2), Context())
    moved = bad == 1e38 and dtype == np.float64
    assert layer.num_batches_tracked == moved
    assert moved or (layer.running_mean[0], layer.running_var[0]) == (0, 1)
    assert np.isfinite(layer.running_var[0])
