"""What the Trainer trains on besides arrays: folders, other data sets, loaders, streams, files in memory."""

import contextlib
import io

import numpy as np
import pytest

from convnet.data import DataLoader, ImageFolder, Stream
from convnet.data.transforms import CenterCrop, Mixup
from convnet.errors import DataError, DTypeError, ShapeError
from convnet.layers import BatchNorm2d, Conv2d, Dense, Flatten, Sequential
from convnet.losses import MeanSquaredError, SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Trainer
from convnet.training._batches import checked_batches

N = 22
SETTINGS = {"batch_size": 4, "epochs": 2, "progress": False}


@pytest.fixture
def x(rng):
    return rng.integers(0, 256, (N, 1, 4, 4)).astype(np.uint8)


@pytest.fixture
def y(rng):
    return rng.integers(0, 3, N)


class Items:
    """A data set."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


def trainer(outputs=3, loss=None):
    model = Sequential(Conv2d(1, 2, 3, rng=0), Flatten(), Dense(8, outputs, rng=1))
    return Trainer(model, loss or SoftmaxCrossEntropy(), SGD(0.1, momentum=0.9))


def weights(trained):
    return [p.value.copy() for p in trained.model.parameters()]


def fitted(data, validation=None, **settings):
    trained = trainer()
    trained.fit(data, validation, **{**SETTINGS, **settings})
    return trained


def noisy(images, rng):
    return images ^ rng.integers(0, 4, images.shape, np.uint8)


def assert_same(ours, expected):
    for value, other in zip(weights(ours), weights(expected), strict=True):
        np.testing.assert_array_equal(value, other)
    assert [e.loss for e in ours.history] == [e.loss for e in expected.history]
    assert [e.val_loss for e in ours.history] == [e.val_loss for e in expected.history]
    assert [e.accuracy for e in ours.history] == [e.accuracy for e in expected.history]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("augment", [None, noisy])
def test_a_data_set_trains_as_its_arrays(x, y, workers, augment):
    expected = fitted((x, y), (x, y), augment=augment, workers=1)
    assert_same(fitted(Items(x, y), Items(x, y), augment=augment, workers=workers), expected)
    assert fitted(Items(x, y)).evaluate(Items(x, y)) == fitted((x, y)).evaluate((x, y))


def test_a_file_in_memory_trains_as_its_array(x, y, tmp_path):
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=x.shape)
    mapped[...] = x
    assert_same(fitted((mapped, y), (mapped, y)), fitted((x, y), (x, y)))
    model, dtype = trainer().model, np.dtype(np.float32)
    threads = [checked_batches("", data, model, dtype, 4, workers=2).workers for data in ((mapped, y), (x, y))]
    assert threads == [2, 0]  # what is in memory needs none


def test_a_stream_trains_as_a_loader_that_gives_the_same(x, y):
    loader = DataLoader(x, y, 4, shuffle=False)
    stream = Stream(lambda: ((x[i : i + 4], y[i : i + 4]) for i in range(0, N, 4)))
    assert_same(fitted(stream, stream), fitted(loader, loader))
    assert fitted(loader).evaluate(stream) == fitted(loader).evaluate(loader)


def test_a_generator_is_refused_at_the_second_epoch(x, y):
    trained = trainer()
    with pytest.raises(
        DataError, match=r"^Stream: expected batches for pass 2, got a generator, which gives them only"
    ):
        trained.fit(Stream((x, y) for _ in range(2)), **SETTINGS)
    assert len(trained.history) == 1


def test_validation_may_be_a_loader(x, y):
    trained = fitted((x, y), DataLoader(x, y, 5, shuffle=False))
    assert trained.history[-1].val_loss == pytest.approx(trained.evaluate((x, y))["loss"], rel=1e-6)


def test_soft_targets_of_mixed_images_have_an_accuracy(x, y):
    trained = trainer()
    trained.fit(DataLoader(x, y, 4, mix=Mixup(3)), epochs=3, progress=False)
    assert 0 <= trained.history[-1].accuracy <= 1
    assert trained.history[-1].loss < trained.history[0].loss


@pytest.mark.parametrize("kind", [lambda x, y: Items(x, y), lambda x, y: Stream([(x, y)])])
def test_numbers_to_be_hit_have_no_accuracy(x, kind):
    trained = trainer(outputs=2, loss=MeanSquaredError())
    trained.fit(kind(x, np.linspace(-1, 1, 2 * N, dtype=np.float32).reshape(N, 2)), epochs=1, progress=False)
    assert trained.history[-1].accuracy is None


def test_stored_images_may_be_larger_than_the_model_takes(y):
    x = np.zeros((N, 1, 6, 7), np.uint8)
    fitted((x, y), (x[:, :, 1:5, 1:5], y), augment=CenterCrop(4))
    fitted(Items(x, y), augment=CenterCrop(4))
    with pytest.raises(ShapeError, match=r"^Trainer.fit: expected x that fits the model, got shape \(22, 1, 5, 5\)"):
        fitted((x, y), augment=CenterCrop(5))
    with pytest.raises(ShapeError, match=r"^Trainer.fit: expected x that fits the model, got shape \(22, 1, 6, 7\)"):
        fitted(DataLoader(x, y))


class Untrained(SGD):
    def step(self, parameters):
        raise AssertionError("trained before the check")


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (Items(np.zeros((0, 1, 4, 4)), []), DataError, "expected at least one image, got an empty Items"),
        (
            Items(np.zeros((2, 1, 9, 9), np.uint8), [0, 1]),
            ShapeError,
            r"x that fits the model, got shape \(2, 1, 9, 9\)",
        ),
        (Items(np.zeros((2, 1, 4, 4)), [0, 1]), DTypeError, "expected x of dtype uint8, .* got float64"),
        (Items(np.zeros((2, 1, 4, 4), np.uint8), [3, 1]), DataError, r"expected labels in 0..2, got 3 at position 0"),
        (Items(np.zeros((2, 1, 4, 4), np.uint8), [0.5, 1]), ShapeError, "expected y to be integer class indices"),
        (DataLoader(np.zeros((0, 1, 4, 4), np.uint8), []), DataError, "expected at least one image, got x of shape"),
    ],
)
def test_data_sets_are_checked_before_any_work(data, error, text):
    untrained = trainer()
    untrained.optimizer = Untrained(0.1)
    with pytest.raises(error, match=rf"^Trainer.fit: .*{text}"):
        untrained.fit(data, **SETTINGS)
    with pytest.raises(error, match=rf"^Trainer.evaluate: .*{text}"):
        untrained.evaluate(data)


@pytest.mark.parametrize("kind", [Items, lambda x, y: (x, y), lambda x, y: DataLoader(x, y, 4)])
def test_a_last_image_alone_is_refused_before_any_work(kind):
    model = Sequential(Conv2d(1, 2, 4, rng=0), BatchNorm2d(2), Flatten())
    untrained = Trainer(model, SoftmaxCrossEntropy(), Untrained(0.1))
    data = kind(np.zeros((5, 1, 4, 4), np.uint8), np.zeros(5, int))
    text = (
        r"^Trainer.fit: expected batches that the model can train on, got 5 images of shape \(1, 4, 4\) in batches of 4"
    )
    with pytest.raises(ShapeError, match=text):
        untrained.fit(data, **SETTINGS)
    assert untrained.evaluate(data)["accuracy"] >= 0


def test_items_are_checked_before_any_work():
    with pytest.raises(ShapeError, match=r"^DataLoader: expected items \(image, target\), got a uint8 at index 0$"):
        trainer().fit({0: np.uint8(0)}, **SETTINGS)


def test_later_items_are_checked_when_they_come(x):
    with pytest.raises(DataError, match=r"expected labels in 0\.\.2, got 5"):
        fitted(Items(x, [0] * (N - 1) + [5]), shuffle=False)


@pytest.fixture
def folder(tmp_path, rng):
    images = pytest.importorskip("PIL.Image", reason="images need Pillow")
    for label, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        for i in range(8):
            image = rng.integers(0, 60, (6, 6)) + 90 * label
            images.fromarray(image.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_folder_trains_as_its_arrays(folder):
    images = ImageFolder(folder, 4, channels=1)
    assert_same(fitted(images, images, workers=2), fitted(images.load(), images.load()))
    assert fitted(images, epochs=10).evaluate(images)["accuracy"] > 0.9


def test_a_folder_of_more_classes_than_the_model(folder):
    untrained = trainer(outputs=2)
    with pytest.raises(DataError, match=r"^Trainer.fit: expected labels in 0\.\.1, got 2 at position 16$"):
        untrained.fit(ImageFolder(folder, 4, channels=1), **SETTINGS)
    with pytest.raises(ShapeError, match=r"^Trainer.fit: expected x that fits the model, got shape \(24, 3, 4, 4\)"):
        untrained.fit(ImageFolder(folder, 4), **SETTINGS)


def test_a_folder_with_broken_files(folder):
    for place in ("a/0.png", "c/7.png"):
        (folder / place).write_bytes(b"")
    images = ImageFolder(folder, 4, channels=1, errors="skip")
    with pytest.warns(UserWarning, match="skipped 2 of 24 files"):
        trained = fitted(images)
    with pytest.warns(UserWarning, match="skipped 2 of 24 files"):
        x, y = ImageFolder(folder, 4, channels=1, errors="skip").load()
    assert trained.evaluate(images) == trained.evaluate((x, y))
    with pytest.raises(
        DataError, match=r"^Trainer.predict: expected all images, .* left out 1 of batch 0; leave them out"
    ):
        trained.predict(images, batch_size=6)
    whole = images.subset([i for i, file in enumerate(images.files) if file not in images.broken])
    np.testing.assert_array_equal(trained.predict(whole), trained.predict(x))
    with pytest.raises(
        DataError, match=r"^read_image: expected a readable image, got .*png: no image of a known format$"
    ):
        fitted(ImageFolder(folder, 4, channels=1))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_of_a_stream_counts_images(x, y):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fitted(Stream([(x, y)] * 3), progress=True, epochs=3)
    pictures = [picture for picture in terminal.getvalue().replace("\n", "\r").split("\r") if picture.strip()]
    for epoch in (1, 2, 3):
        assert any(picture.startswith(f"epoch {epoch}/3 {3 * N * epoch} images, loss ") for picture in pictures)
    assert "images/s" in pictures[-1]


# ---- predicting ------------------------------------------------------------------------------------------------------


def test_predictions_for_data_sets_and_batches(x, y):
    trained = trainer()
    expected = trained.predict(x, batch_size=5)
    for data in (Items(x, y), DataLoader(x, y, batch_size=5, shuffle=False), Stream([(x[:9], y[:9]), (x[9:], y[9:])])):
        np.testing.assert_allclose(trained.predict(data, batch_size=5), expected, rtol=0, atol=1e-6)
    assert trained.predict_proba(Items(x, y)).shape == (N, 3)
    np.testing.assert_array_equal(trained.predict(list(x), batch_size=5), expected)
