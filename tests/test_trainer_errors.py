"""What the Trainer refuses, before any work."""

import numpy as np
import pytest

from convnet.data import DataLoader
from convnet.data.transforms import Compose
from convnet.errors import DataError, DivergedError, DTypeError, SettingError, ShapeError
from convnet.inference import fuse
from convnet.layers import BatchNorm2d, Conv2d, Flatten, Graph, ReLU, Sequential
from convnet.losses import SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Checkpoint, EarlyStopping, Trainer

X = np.zeros((4, 1, 3, 3), np.uint8)
Y = np.array([0, 1, 2, 3])

BAD_DATA = [
    ((X, Y[:3]), ShapeError, r"expected 4 targets, one an image, got y of shape \(3,\)"),
    ((X[:0], Y[:0]), DataError, r"expected at least one image, got x of shape \(0, 1, 3, 3\)"),
    ((X[0], Y[:1]), ShapeError, r"expected x that fits the model, got shape \(1, 3, 3\)"),
    ((np.zeros(4, np.uint8), Y), ShapeError, r"expected x of shape \(n, ...\), one row an image, got \(4,\)"),
    ((np.zeros((4, 3, 3, 3), np.uint8), Y), ShapeError, r"expected x that fits the model, got shape \(4, 3, 3, 3\)"),
    ((X.astype(np.int64), Y), DTypeError, r"expected x of dtype uint8, which is scaled to 0-1, or float32, got int64"),
    ((X.astype(np.float64), Y), DTypeError, "or float32, got float64"),
    ((X, np.array([0, 1, 4, 9])), DataError, r"expected labels in 0..3, got 4 at position 2"),
    ((X, np.array([0, -1, 2, 3])), DataError, r"expected labels in 0..3, got -1 at position 1"),
    ((X, Y.astype(float)), ShapeError, r"expected y to be integer class indices of shape \(n,\) or numbers of shape"),
    ((X, np.zeros((4, 5))), ShapeError, r"numbers of shape \(n, 4\), got float64 of shape \(4, 5\)"),
    ((X, np.zeros((4, 4), int)), DTypeError, r"expected y of shape \(4, 4\) to be floats, got int64"),
    (X, ShapeError, r"expected a pair of arrays \(x, y\), got ndarray"),
    (7, ShapeError, r"expected a pair of arrays \(x, y\), got int"),
    (
        (part for part in (X, Y)),
        DataError,
        r"expected arrays .* or a Stream, got a generator: Stream\(function\) takes",
    ),
    (((X, Y), (X, Y)), ShapeError, "nested sequences of unequal lengths"),
]


@pytest.fixture
def trainer():
    """Whose optimizer complains if anything is trained."""

    class Idle(SGD):
        def step(self, parameters):
            raise AssertionError("trained before the check")

    return Trainer(Sequential(Conv2d(1, 1, 2, rng=0), Flatten()), SoftmaxCrossEntropy(), Idle(0.1))


@pytest.mark.parametrize(("data", "error", "text"), BAD_DATA)
def test_bad_data(trainer, data, error, text):
    with pytest.raises(error, match=f"^Trainer.fit: .*{text}"):
        trainer.fit(data)
    with pytest.raises(error, match=f"^Trainer.fit validation: .*{text}"):
        trainer.fit((X, Y), validation=data)
    with pytest.raises(error, match=f"^Trainer.evaluate: .*{text}"):
        trainer.evaluate(data)


BAD_SETTINGS = [
    (
        {"callbacks": [3]},
        r"callbacks: expected a list of Callback objects or functions of \(trainer, epoch\), got 3 in",
    ),
    ({"callbacks": [EarlyStopping]}, "callbacks: expected a list of Callback objects .*, got <class .*EarlyStopping'>"),
    ({"callbacks": EarlyStopping()}, "callbacks: expected a list of Callback objects .*, got <.*EarlyStopping object"),
    ({"augment": 3}, r" augment: expected a function of \(x, rng\), got 3"),
    ({"augment": Compose}, r" augment: expected a function of \(x, rng\), got <class .*Compose'>"),
    ({"checkpoint": 3}, " checkpoint: expected a Checkpoint or a folder, got 3"),
    ({"progress": "bars"}, " progress: expected True, False or \"plain\", got 'bars'"),
    ({"progress": None}, ' progress: expected True, False or "plain", got None'),
    ({"resume": True}, " resume: expected a checkpoint to resume from, got checkpoint=None"),
]


@pytest.mark.parametrize(("settings", "text"), BAD_SETTINGS)
def test_bad_settings(trainer, settings, text):
    with pytest.raises(SettingError, match=f"^Trainer.fit ?{text}"):
        trainer.iter_fit((X, Y), **settings)


def test_a_figure_that_no_epoch_has_is_refused_before_any_work(trainer, tmp_path):
    text = "Checkpoint best: expected a figure among loss, accuracy, got 'val_loss'"
    with pytest.raises(SettingError, match=text):
        trainer.iter_fit((X, Y), checkpoint=Checkpoint(tmp_path / "new", best="val_loss"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -3, 1.5, float("nan"), "many", None])
def test_bad_counts(trainer, name, value):
    with pytest.raises(SettingError, match=f"^Trainer.fit {name}: expected an integer( of at least 1)?, got"):
        trainer.fit((X, Y), **{name: value})


def test_a_last_batch_that_batch_norm_cannot_train_on_is_refused_before_any_work(rng):
    """The map in front of the second norm has one pixel, so one image is one value a channel."""
    convs = [Conv2d(1, 2, 3, rng=0), Conv2d(2, 2, 2, rng=0)]
    model = Sequential(convs[0], BatchNorm2d(2), ReLU(), convs[1], Graph({"n": (BatchNorm2d(2), "x")}), Flatten())
    x, y = rng.random((9, 1, 4, 4), np.float32), np.arange(9) % 2
    before = model.state_dict()
    for net in model, fuse(model):
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1))
        for batches in {"train": (x, y), "batch_size": 4}, {"train": DataLoader(x, y, 2)}:
            with pytest.raises(ShapeError) as caught:
                trainer.iter_fit(**batches, progress=False)
            text = str(caught.value)
            assert "Trainer.fit: expected batches that the model can train on, got 9 images of shape (1, 4, 4)" in text
            assert "the smallest of 1: " in text
            assert "[n] BatchNorm2d: expected more than one value a channel in training, got x of shape (1, 2, " in text
            assert text.endswith("; take larger batches or images")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    Trainer(model, SoftmaxCrossEntropy(), SGD(0.1)).fit((x, y), batch_size=5, progress=False)


def test_iter_fit_complains_at_once(trainer):
    with pytest.raises(SettingError, match="epochs"):
        trainer.iter_fit((X, Y), epochs=0)


def test_a_trainer_is_made_of_the_right_parts():
    model = Sequential(Conv2d(1, 1, 3))
    for arguments, text in [
        ((len, SoftmaxCrossEntropy(), SGD(0.1)), "model: expected a Layer, got <built-in function len>"),
        ((model, "ce", SGD(0.1)), "loss: expected a Loss, got 'ce'"),
        ((model, SoftmaxCrossEntropy(), 0.1), r"optimizer: expected an Optimizer, got 0\.1"),
        ((model, SoftmaxCrossEntropy(), SGD(0.1), 0.99), r"average: expected a WeightAverage or None, got 0\.99"),
    ]:
        with pytest.raises(SettingError, match=f"^Trainer {text}"):
            Trainer(*arguments[:3], average=arguments[3] if len(arguments) > 3 else None)


def test_a_step_that_diverges_leaves_batch_norm_as_it_was(rng):
    model = Sequential(
        Conv2d(1, 4, 3, rng=0), BatchNorm2d(4), ReLU(), Conv2d(4, 4, 3, rng=1), BatchNorm2d(4), Flatten()
    )
    x, y = rng.random((6, 1, 6, 6), np.float32), np.arange(6)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1))
    trainer.step(x, y)
    before, figures = model.state_dict(), trainer.evaluate((x, y))
    bad = x.copy()
    bad[3, 0, 2, 2] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(DivergedError):
        trainer.step(bad, y)
    assert trainer.evaluate((x, y)) == figures
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_bad_batch_sizes_elsewhere(trainer):
    with pytest.raises(SettingError, match=r"^Trainer.evaluate batch_size: .*got 0"):
        trainer.evaluate((X, Y), batch_size=0)
    with pytest.raises(SettingError, match=r"^Trainer.predict batch_size: .*got 0"):
        trainer.predict(X, batch_size=0)


def test_bad_images_for_prediction(trainer):
    with pytest.raises(ShapeError, match=r"^Trainer.predict: expected x that fits the model, got shape \(4, 3\)"):
        trainer.predict(np.zeros((4, 3), np.uint8))
