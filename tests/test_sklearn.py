"""The estimators for scikit-learn: its own checks, and what they do not know."""

import copy
import pickle

import numpy as np
import pytest

from convnet import SoftmaxCrossEntropy, Trainer, save
from convnet.data.transforms import RandomCrop
from convnet.errors import SettingError, ShapeError
from convnet.layers import Dense, Flatten, ReLU, Sequential
from convnet.optim import SGD

pytest.importorskip("sklearn", "1.6", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from convnet.sklearn import ConvNetClassifier, ConvNetRegressor

EPS = np.finfo(np.float64).eps


@parametrize_with_checks([ConvNetClassifier(), ConvNetRegressor()])
def test_the_checks_of_scikit_learn(estimator, check):
    """All of them: there is no list of expected failures."""
    check(estimator)


def small_network(input_shape, outputs, rng):
    """In float64."""
    features = int(np.prod(input_shape))
    first, last = (Dense(i, o, rng=rng, dtype=np.float64) for i, o in ((features, 5), (5, outputs)))
    return Sequential(*([Flatten()] if len(input_shape) > 1 else []), first, ReLU(), last)


def table(rng, n=60):
    x = rng.standard_normal((n, 3))
    return x, np.where(x[:, 0] > x[:, 1], "left", "right")


def weights(estimator):
    return np.concatenate([p.value.ravel() for p in estimator.model_.parameters()])


# ---- among other estimators ------------------------------------------------------------------------------------------


def test_a_pipeline_and_a_grid_search(rng):
    x, y = table(rng, 100)
    pipeline = make_pipeline(StandardScaler(), ConvNetClassifier(epochs=10, random_state=0))
    search = GridSearchCV(pipeline, {"convnetclassifier__learning_rate": [0.0, 0.02]}, cv=2).fit(x * [1, 1, 1000], y)
    assert search.best_params_ == {"convnetclassifier__learning_rate": 0.02}
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict(x[:3] * [1, 1, 1000]).tolist() == y[:3].tolist()


def test_digits_by_a_convolutional_network():
    x, y = load_digits(return_X_y=True)
    net = ConvNetClassifier(image_shape=(1, 8, 8), epochs=8, random_state=0)
    assert cross_val_score(net, x[:1000] / 16, y[:1000], cv=2).min() > 0.8
    images = clone(net).set_params(image_shape=None).fit(x[:300].reshape(-1, 1, 8, 8) / 16, y[:300])
    rows = clone(net).fit(x[:300] / 16, y[:300])
    np.testing.assert_array_equal(weights(images), weights(rows))
    assert (images.n_features_in_, rows.n_features_in_) == (1, 64)
    assert str(images.model_[0]) == "Conv2d(1, 16, kernel_size=3, padding=1)"


@pytest.mark.parametrize("again", [pickle.loads, copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("net", [ConvNetClassifier(epochs=2), ConvNetRegressor(epochs=2, average=0.9)])
def test_a_copy_predicts_and_learns_on_alike(net, again, rng):
    x, y = rng.standard_normal((50, 3)), rng.integers(3, size=50)
    net = clone(net).set_params(random_state=0).fit(x, y).partial_fit(x, y)
    other = again(pickle.dumps(net) if again is pickle.loads else net)
    np.testing.assert_array_equal(other.predict(x), net.predict(x))
    net.partial_fit(x, y)
    assert not np.array_equal(weights(other), weights(net))
    np.testing.assert_array_equal(weights(other.partial_fit(x, y)), weights(net))


# ---- what fit does ---------------------------------------------------------------------------------------------------


def test_the_random_state_decides(rng):
    x, y = table(rng)
    net = ConvNetClassifier(epochs=2, batch_size=16, random_state=3)
    once, again, other = (clone(net).set_params(random_state=seed).fit(x, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(weights(once), weights(again))
    assert not np.array_equal(weights(once), weights(other))
    state = np.random.RandomState(3)
    first, second = (clone(net).set_params(random_state=state).fit(x, y) for _ in "ab")
    assert not np.array_equal(weights(first), weights(second))


def test_it_is_a_trainer_with_one_cycle(rng):
    x, y = table(rng)
    net = ConvNetClassifier(model=small_network, optimizer="sgd", epochs=1, batch_size=60, random_state=5).fit(x, y)
    draws = np.random.default_rng(np.random.RandomState(5).randint(np.iinfo(np.int32).max))
    trainer = Trainer(
        small_network((3,), 2, draws), SoftmaxCrossEntropy(), SGD(0.01, 0.9, True, lambda p: 1e-4 * (p.value.ndim > 1))
    )
    trainer.fit((x, (y == "right").astype(int)), batch_size=60, rng=draws, progress=False)
    np.testing.assert_array_equal(weights(net), np.concatenate([p.value.ravel() for p in trainer.model.parameters()]))
    rates = net.set_params(epochs=10).fit(x, y).history_.as_dict()["learning_rate"]
    assert max(rates) == 0.01
    assert rates[-1] < 1e-6


COPIES = np.array([1, 3, 0, 2, 1, 2] * 4)


@pytest.mark.parametrize("kind", [ConvNetClassifier, ConvNetRegressor])
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_weights_are_copies(kind, how, rng):
    """One step on all of the data, rate 0.01: of the gradient, at most some 10 in any place, 36 terms are added."""
    x, y = rng.standard_normal((24, 3)), rng.integers(3, size=24)
    rows = np.repeat(np.arange(24), COPIES)
    net = kind(model=small_network, optimizer="sgd", epochs=1, random_state=0)
    extra = {"classes": [0, 1, 2]} if how == "partial_fit" and kind is ConvNetClassifier else {}
    weighted = getattr(clone(net), how)(x, y, sample_weight=COPIES, **extra)
    copied = getattr(clone(net), how)(x[rows], y[rows], **extra)
    plain = getattr(clone(net), how)(x, y, **extra)
    bound = 0.01 * 10 * 36 * EPS + EPS * np.abs(weights(copied))
    assert np.all(np.abs(weights(weighted) - weights(copied)) <= bound)
    assert np.abs(weights(plain) - weights(copied)).max() > 1e-5
    scores = (weighted.score(x, y, sample_weight=COPIES), copied.score(x[rows], y[rows]))
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)


def test_equal_weights_are_no_weights_and_what_weighs_nothing_is_not_there(rng):
    x, y = table(rng)
    net = ConvNetClassifier(epochs=2, batch_size=16, random_state=0)
    plain = weights(clone(net).fit(x, y))
    np.testing.assert_array_equal(weights(clone(net).fit(x, y, sample_weight=np.full(60, 7.0))), plain)
    more, labels = np.concatenate([x, x + 1]), np.concatenate([y, y[::-1]])
    np.testing.assert_array_equal(weights(clone(net).fit(more, labels, np.repeat([1, 0], 60))), plain)


def test_weights_of_classes_are_weights_of_samples(rng):
    x, y = rng.standard_normal((24, 3)), np.array([1, 1, 1, 5, 5, 9] * 4)
    net = ConvNetClassifier(epochs=3, random_state=0)
    by_class = {1: 1.0, 5: 2.0, 9: 0.5}
    expected = clone(net).fit(x, y, [by_class[label] for label in y])
    np.testing.assert_array_equal(weights(clone(net).set_params(class_weight=by_class).fit(x, y)), weights(expected))
    balanced = clone(net).set_params(class_weight="balanced").fit(x, y, sample_weight=COPIES)
    rows = np.repeat(np.arange(24), COPIES)
    copied = clone(net).set_params(class_weight="balanced").fit(x[rows], y[rows])
    np.testing.assert_allclose(balanced.predict_proba(x), copied.predict_proba(x), rtol=1e-9)


def test_stopping_early_takes_the_best_weights_back(rng):
    x = rng.standard_normal((80, 3))
    y = rng.integers(2, size=80)  # nothing to be learnt
    net = ConvNetClassifier(epochs=200, learning_rate=0.1, early_stopping=True, n_iter_no_change=2, random_state=0)
    losses = net.fit(x, y, sample_weight=rng.random(80)).history_.as_dict()["val_loss"]
    assert net.n_iter_ == len(losses) == int(np.argmin(losses)) + 3 < 200
    numbers = ConvNetRegressor(epochs=200, early_stopping=True, validation_fraction=0.5, random_state=0).fit(x, y)
    assert numbers.n_iter_ < 200


def test_warm_start_goes_on(rng):
    x, y = table(rng)
    net = ConvNetClassifier(epochs=3, warm_start=True, random_state=0).fit(x, y)
    model, before = net.model_, net.history_[-1].loss
    assert net.fit(x, y).model_ is model
    assert net.history_[0].loss < before
    with pytest.raises(ValueError, match=r"y: expected classes among \['left' 'right'\], got \['middle'\]"):
        net.fit(x, np.where(x[:, 2] > 0, "middle", y))
    assert net.set_params(warm_start=False).fit(x, y).model_ is not model


def test_an_average_predicts(rng):
    x, y = table(rng)
    net = ConvNetClassifier(epochs=5, average=0.9, random_state=0)
    averaged, last = net.fit(x, y), clone(net).set_params(average=None).fit(x, y)
    assert not np.array_equal(weights(averaged), weights(last))
    np.testing.assert_allclose(averaged.decision_function(x), np.diff(averaged.model_(x))[:, 0], rtol=1e-9, atol=1e-12)


def test_augmentation_and_networks_by_name(rng):
    x = rng.integers(0, 256, (20, 1, 28, 28)).astype(np.uint8)
    y = rng.integers(3, size=20)
    net = ConvNetClassifier(model="lenet", epochs=1, optimizer="rmsprop", label_smoothing=0.1, random_state=0)
    plain, changed = clone(net).fit(x, y), clone(net).set_params(augment=RandomCrop(2)).fit(x, y)
    assert not np.array_equal(weights(plain), weights(changed))
    numbers = ConvNetRegressor(model="simple_cnn", epochs=1, optimizer="adam").fit(x, rng.random((20, 2)))
    assert numbers.predict(x).shape == (20, 2)


def test_bytes_are_scaled_whatever_type_their_numbers_have_later(rng, tmp_path):
    x = rng.integers(0, 256, (20, 1, 4, 4)).astype(np.uint8)
    y = rng.integers(3, size=20)
    net = ConvNetClassifier(epochs=1, random_state=0).fit(x, y)
    scaled = clone(net).fit(x / np.float32(255), y)
    np.testing.assert_array_equal(weights(net), weights(scaled))
    for images in x, x.astype(int), x.astype(np.float32):
        np.testing.assert_allclose(net.predict_proba(images), scaled.predict_proba(x / 255), rtol=1e-5)
    numbers = clone(net).fit(x.astype(float), y)
    np.testing.assert_array_equal(numbers.predict_proba(x), numbers.predict_proba(x.astype(float)))
    save(net.model_, tmp_path / "net.safetensors")


def test_partial_fit_goes_on_with_its_optimizer(rng):
    x, y = table(rng, 256)
    net = ConvNetClassifier(random_state=0)
    for _ in range(4):
        net.partial_fit(x, y, classes=["left", "right", "up"])
    assert [epoch.epoch for epoch in net.history_] == [1, 2, 3, 4]
    assert net.n_iter_ == 4
    assert net.score(x, y) > 0.9
    assert net.predict_proba(x).shape == (256, 3)
    tuned = net.set_params(learning_rate=0.0)
    before = weights(tuned)
    np.testing.assert_array_equal(weights(tuned.partial_fit(x[:9], y[:9])), before)


def test_numbers_of_any_size_and_number(rng):
    x = rng.standard_normal((120, 3))
    y = np.stack([1e6 + 1e3 * x[:, 0], 1e-3 * x[:, 1], np.full(120, 7.0)], axis=1)
    net = ConvNetRegressor(epochs=30, random_state=0).fit(x, y)
    assert net.score(x, y) > 0.9
    np.testing.assert_array_equal(net.predict(x)[:, 2], 7)
    assert net.partial_fit(x, y).predict(x).dtype == np.float64
    assert ConvNetRegressor(epochs=1).fit(x.astype(np.float32), y[:, 0]).predict(x).shape == (120,)
    with pytest.raises(ShapeError, match="ConvNetRegressor y: expected 3 outputs as before, got 2"):
        net.partial_fit(x, y[:, :2])


def test_logarithms_of_small_probabilities_stay_finite():
    x, y = np.array([[1.0], [-1.0]]), np.array([0, 1])
    net = ConvNetClassifier(epochs=1).fit(x, y)
    net.model_[-1].weight.value[...] = np.array([[1e4], [-1e4]])
    net.model_[-1].bias.value[...] = 1e4, 0
    logs = net.predict_log_proba(x)
    assert np.all(np.isfinite(logs))
    assert logs.min() < -1e3
    assert net.predict_proba(x).min() == 0


# ---- what is refused -------------------------------------------------------------------------------------------------

BAD = [
    (
        {"model": "lenit"},
        r"ConvNetClassifier model: expected None, a function .*, or one of simple_cnn, .*; got 'lenit'",
    ),
    ({"model": Dense(3, 2)}, r"model: expected None, a function .*; got Dense\(3, 2\)"),
    ({"optimizer": "lbfgs"}, "ConvNetClassifier optimizer: expected one of adam, adamw, rmsprop, sgd; got 'lbfgs'"),
    ({"epochs": 0}, "ConvNetClassifier epochs: expected an integer of at least 1, got 0"),
    ({"batch_size": "auto"}, "ConvNetClassifier batch_size: expected an integer, got 'auto'"),
    ({"learning_rate": -1}, "ConvNetClassifier learning_rate: expected a finite number of at least 0, got -1"),
    ({"weight_decay": np.nan}, "ConvNetClassifier weight_decay: expected a finite number of at least 0, got nan"),
    ({"label_smoothing": 1}, r"label_smoothing: expected a number in \[0, 1\), got 1"),
    ({"average": 1}, r"WeightAverage decay: expected a number in \[0, 1\), got 1"),
    (
        {"early_stopping": True, "validation_fraction": 1.5},
        r"validation_fraction: expected a number in \[0, 1\), got 1.5",
    ),
    ({"image_shape": (1, 2, 2)}, r"ConvNetClassifier image_shape: expected \(c, h, w\) of 3 numbers, got \(1, 2, 2\)"),
    ({"class_weight": "even"}, "class_weight"),
    ({"model": lambda shape, outputs, rng: Dense(3, 4)}, r"model: expected a network from \(3,\) to \(2,\), got Dense"),
]


@pytest.mark.parametrize(("settings", "text"), BAD, ids=[next(reversed(settings)) for settings, _ in BAD])
def test_settings_that_are_refused(settings, text, rng):
    x, y = table(rng)
    net = ConvNetClassifier(**settings)
    with pytest.raises(ValueError, match=text):
        net.fit(x, y)
    assert not hasattr(net, "model_")


def test_data_that_are_refused(rng):
    x, y = table(rng)
    net = ConvNetClassifier(epochs=1)
    with pytest.raises(ShapeError, match=r"expected X of shape \(n, features\) or \(n, c, h, w\), got \(60, 3, 1\)"):
        net.fit(x[:, :, np.newaxis], y)
    with pytest.raises(ValueError, match="Negative values in data passed as sample_weight"):
        net.fit(x, y, -np.ones(60))
    with pytest.raises(ValueError, match="classes: expected all classes in the first call of partial_fit, got None"):
        net.partial_fit(x, y)
    net.partial_fit(x, y, classes=["left", "right"])
    with pytest.raises(ValueError, match=r"classes: expected \['left' 'right'\] as before, got \['a'\]"):
        net.partial_fit(x, y, classes=["a"])
    with pytest.raises(ValueError, match="ConvNetClassifier: expected X in the range of float32, got larger numbers"):
        ConvNetClassifier(epochs=1).fit(x.astype(np.float32), y).predict(x * 1e300)
    with pytest.raises(SettingError, match="class_weight: expected weights for partial_fit, got 'balanced'"):
        ConvNetClassifier(class_weight="balanced").partial_fit(x, y, classes=["left", "right"])
    with pytest.raises(SettingError, match="early_stopping: expected False for partial_fit, got True"):
        ConvNetRegressor(early_stopping=True).partial_fit(x, x)
