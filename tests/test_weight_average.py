"""The average of the weights that a training passes through, and the Trainer that measures it."""

import copy
import pickle

import numpy as np
import pytest

from convnet import Predictor, load, models, save
from convnet.errors import SettingError, ShapeError
from convnet.layers import BatchNorm2d, Conv2d, Dense, Flatten, ReLU, Sequential
from convnet.losses import MeanSquaredError, SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Trainer, WeightAverage

DECAYS = [None, 0.0, 0.5, 0.99]


def network(dtype=np.float32):
    """With buffers, floating ones and an integer one."""
    rng = np.random.default_rng(1)
    conv = Conv2d(1, 2, 3, rng=rng, dtype=dtype)
    return Sequential(conv, BatchNorm2d(2, dtype=dtype), ReLU(), Flatten(), Dense(32, 3, rng=rng, dtype=dtype))


def data(n=20):
    rng = np.random.default_rng(2)
    return rng.integers(0, 255, (n, 1, 6, 6)).astype(np.uint8), rng.integers(3, size=n)


def walk(model, rng, steps):
    """Change all weights and buffers again and again; yield after each time."""
    for step in range(steps):
        for array in model._state().values():
            array[...] = rng.standard_normal(array.shape) if array.dtype.kind == "f" else step
        yield model.state_dict()


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("start", "every"), [(0, 1), (3, 1), (0, 4), (2, 3)])
def test_it_is_the_weighted_mean_of_what_came_by(decay, start, every, dtype, rng):
    model = network(dtype)
    average, seen = WeightAverage(model, decay, start, every), []
    for number, state in enumerate(walk(model, rng, 12)):
        average.update()
        if number < start:
            expected = state
        elif (number - start) % every == 0:
            seen.append(state)
            weights = [1.0 if decay is None else decay**k for k in reversed(range(len(seen)))]
            expected = {name: np.average([s[name] for s in seen], axis=0, weights=weights) for name in state}
        for name, value in average.model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                assert value == number or number >= start
            else:  # each update rounds a few times, numbers of at most 5
                limit = 4 * 12 * 5 * np.finfo(dtype).eps
                np.testing.assert_allclose(value, expected[name], rtol=0, atol=limit, err_msg=name)
            assert value.dtype == state[name].dtype
    assert average.steps == 12


def test_a_layer_that_occurs_twice_is_averaged_once(dtype):
    norm, values = BatchNorm2d(1, dtype=dtype), (1.0, 4.0, 7.0)
    model = Sequential(norm, ReLU(), norm)
    average = WeightAverage(model, decay=None)
    for value in values:
        norm.weight.value[...] = norm.running_mean[...] = value
        average.update()
    for name in "0.weight", "2.weight", "0.running_mean", "2.running_mean":
        np.testing.assert_allclose(average.model.state_dict()[name], 4, rtol=1e-6, err_msg=name)


def test_integer_buffers_are_copied(rng):
    model = network()
    average = WeightAverage(model, decay=0.5)
    for number, _ in enumerate(walk(model, rng, 3)):
        average.update()
        assert average.model.state_dict()["1.num_batches_tracked"] == number


@pytest.mark.parametrize("decay", [0.5, None])
def test_it_agrees_with_torch(decay, rng):
    """Equal weights exactly; an exponential average once the first weights are forgotten, which count more there."""
    torch = pytest.importorskip("torch")
    steps = 60 if decay else 9
    theirs, ours = torch.nn.Linear(4, 3).double(), Dense(4, 3, dtype=np.float64)
    swa = torch.optim.swa_utils
    settings = {} if decay is None else {"multi_avg_fn": swa.get_ema_multi_avg_fn(decay)}
    expected, average = swa.AveragedModel(theirs, **settings), WeightAverage(ours, decay)
    for _ in walk(ours, rng, steps):
        with torch.no_grad():
            theirs.weight.copy_(torch.from_numpy(ours.weight.value))
        expected.update_parameters(theirs)
        average.update()
    atol = 5 * 9 * 4 * 2.2e-16 if decay is None else 5 * 2.0 ** (2 - steps) + 5 * 16 * 2.2e-16
    np.testing.assert_allclose(average.model.weight.value, expected.module.weight.detach().numpy(), rtol=0, atol=atol)


def test_before_the_first_update_it_is_a_copy():
    model = network()
    average = WeightAverage(model)
    for name, value in average.model.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])
    assert not any(a is b for a in average.model._state().values() for b in model._state().values())


def test_arrays_put_in_place_of_others_are_seen(rng):
    model = Dense(3, 2, rng=0)
    average = WeightAverage(model, decay=None)
    average.update()
    first = model.weight.value
    model.weight.value = first + 2
    average.update()
    np.testing.assert_allclose(average.model.weight.value, first + 1, rtol=0, atol=1e-6)
    model.weight.value = np.zeros((2, 2), np.float32)
    with pytest.raises(ShapeError, match=r"WeightAverage.update: expected value of shape \(2, 3\), got \(2, 2\)"):
        average.update()


def test_a_buffer_that_cannot_be_averaged_is_refused_at_once():
    model = BatchNorm2d(2)
    model.running_mean = np.zeros((2, 2), np.float32)[:, 0]
    model.running_mean.flags.writeable = False
    with pytest.raises(ShapeError, match="expected value to be a writeable C-contiguous array"):
        WeightAverage(model)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_made_together_with_its_model_goes_on_alike(duplicate, rng):
    model = network()
    average = WeightAverage(model, decay=0.5, start=1, every=2)
    for _ in walk(model, rng, 4):
        average.update()
    twins = duplicate((model, average))
    assert twins[1].source is twins[0]
    assert repr(twins[1]) == repr(average) == "WeightAverage(decay=0.5, start=1, every=2)"
    for m, a in ((model, average), twins):
        for _ in walk(m, np.random.default_rng(4), 3):
            a.update()
    for name, value in average.model.state_dict().items():
        np.testing.assert_array_equal(twins[1].model.state_dict()[name], value)


def test_bad_settings_are_refused():
    model = Dense(1, 1)
    for settings, text in [
        ({"decay": 1}, r"WeightAverage decay: expected a number in \[0, 1\), got 1"),
        ({"start": -1}, "WeightAverage start: expected an integer of at least 0, got -1"),
        ({"every": 0}, "WeightAverage every: expected an integer of at least 1, got 0"),
    ]:
        with pytest.raises(SettingError, match=text):
            WeightAverage(model, **settings)
    with pytest.raises(SettingError, match="WeightAverage model: expected a Layer, got 3"):
        WeightAverage(3)
    with pytest.raises(
        SettingError, match="Trainer average: expected an average of the model given, got one of another"
    ):
        Trainer(Dense(1, 1), MeanSquaredError(), SGD(0.1), average=WeightAverage(model))


# ---- in the Trainer --------------------------------------------------------------------------------------------------


def trained(epochs=3, average=True, **settings):
    model = network()
    mean = WeightAverage(model, 0.8) if average else None
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1, momentum=0.9, **settings), average=mean)
    trainer.fit(data(), validation=data(12), epochs=epochs, batch_size=5, progress=False)
    return trainer


def test_averaging_changes_no_step():
    with_average, without = trained(), trained(average=False)
    for name, value in without.model.state_dict().items():
        np.testing.assert_array_equal(with_average.model.state_dict()[name], value)
    assert with_average.average.steps == with_average.optimizer.steps == 12


def test_the_average_is_what_is_measured():
    trainer = trained()
    average = Trainer(trainer.average.model, SoftmaxCrossEntropy(), SGD(0.1))
    images, _ = data()
    np.testing.assert_array_equal(trainer.predict(images), average.predict(images))
    assert trainer.evaluate(data(12)) == average.evaluate(data(12))
    assert trainer.history[-1].val_loss == pytest.approx(average.evaluate(data(12))["loss"], rel=1e-6)
    raw = Trainer(trainer.model, SoftmaxCrossEntropy(), SGD(0.1))
    assert not np.array_equal(trainer.predict(images), raw.predict(images))


def test_the_average_is_saved_and_used_like_any_model(tmp_path):
    trainer = trained()
    save(trainer.average.model, tmp_path / "average.safetensors")
    loaded = load(network(), tmp_path / "average.safetensors")
    x = np.random.default_rng(0).random((4, 1, 6, 6), np.float32)
    np.testing.assert_array_equal(loaded(x), trainer.average.model(x))
    predictor = Predictor(trainer.average.model, input_shape=(1, 6, 6))
    np.testing.assert_allclose(predictor(x), loaded(x), rtol=0, atol=1e-5)


def test_a_training_goes_on_from_a_pickle():
    whole, half = trained(epochs=1), trained(epochs=1)
    state = pickle.dumps((half.model, half.optimizer, half.average))
    model, optimizer, average = pickle.loads(state)
    again = Trainer(model, SoftmaxCrossEntropy(), optimizer, average=average)
    for trainer in whole, again:
        trainer.fit(data(), epochs=2, batch_size=5, progress=False, rng=9)
    for name, value in whole.average.model.state_dict().items():
        np.testing.assert_array_equal(again.average.model.state_dict()[name], value)


def test_a_network_of_several_branches(rng):
    model = models.resnet18(3, width=4, rng=0)
    average = WeightAverage(model, decay=None)
    for _ in walk(model, rng, 2):
        average.update()
    assert len(average.model.parameters()) == len(model.parameters())
