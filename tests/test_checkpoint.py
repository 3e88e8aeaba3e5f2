"""Checkpoints: a training that is broken off anywhere goes on to the same bits."""

import contextlib
import os
import signal
import sys
import time

import numpy as np
import pytest

from convnet import load, save
from convnet.data import DataLoader, ImageFolder, Stream
from convnet.data.transforms import RandomCrop
from convnet.errors import SettingError, WeightsError
from convnet.layers import BatchNorm2d, Conv2d, Dense, Dropout, Flatten, ReLU, Sequential
from convnet.losses import SoftmaxCrossEntropy
from convnet.optim import SGD, Adam, AdamW, Cosine, OneCycle, Plateau, RMSprop, Warmup
from convnet.training import Callback, Checkpoint, EarlyStopping, Trainer, WeightAverage
from convnet.training._checkpoint import read_checkpoint, write_checkpoint

EPOCHS, BATCH, STEPS = 3, 6, 4  # of 20 images


def data(n=20):
    rng = np.random.default_rng(2)
    return rng.integers(0, 255, (n, 1, 6, 6)).astype(np.uint8), rng.integers(3, size=n)


OPTIMIZERS = {
    "sgd": lambda: SGD(0.05, momentum=0.9),
    "plain sgd": lambda: SGD(Cosine(0.1, EPOCHS * STEPS)),
    "adam": lambda: Adam(OneCycle(0.01, EPOCHS * STEPS)),
    "adamw": lambda: AdamW(Warmup(Plateau(0.01, patience=0), steps=3)),
    "rmsprop": lambda: RMSprop(0.001, momentum=0.5, centered=True),
}


class Training:
    """One training with everything in it that has a state: the same one each time."""

    def __init__(self, optimizer="adamw", average=True, shared=True, hidden=5, images=None):
        self.images = images  # a folder instead of arrays
        self.rng = rng = np.random.default_rng(1)  # also of the dropout, if that is shared
        self.model = Sequential(
            Conv2d(1, 2, 3, rng=rng),
            BatchNorm2d(2),
            ReLU(),
            Flatten(),
            Dense(32, hidden, rng=rng),
            Dropout(0.5, rng=rng if shared else 7),
            Dense(hidden, 3, rng=rng),
        )
        mean = WeightAverage(self.model, 0.8, start=2) if average else None
        self.trainer = Trainer(self.model, SoftmaxCrossEntropy(), OPTIMIZERS[optimizer](), average=mean)

    def fit(self, folder, resume=True, callbacks=(), every=1, **settings):
        given = {"epochs": EPOCHS, "batch_size": BATCH, "augment": RandomCrop(1), "progress": False} | settings
        checkpoint = None if folder is None else Checkpoint(folder, every=every)
        return self.trainer.fit(
            data() if self.images is None else ImageFolder(self.images, 6, channels=1, errors="skip"),
            data(12),
            rng=self.rng,
            callbacks=[EarlyStopping(patience=2, min_delta=10), *callbacks],
            checkpoint=checkpoint,
            resume=resume and folder is not None,
            **given,
        )

    def outcome(self):
        """Everything that the training decides, as texts."""
        figures = [{k: v for k, v in epoch.figures().items() if k != "seconds"} for epoch in self.trainer.history]
        state = self.trainer.state_dict()
        del state["history"]
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
            return str(state), str(figures)


def files(*steps):
    return [f"step-{step:09d}.safetensors" for step in steps]


class BreakAt(Callback):
    """Fails at a step, as a bug or a lack of memory would."""

    def __init__(self, step):
        self._step = step

    def step(self, trainer, loss):
        if trainer.optimizer.steps == self._step:
            raise MemoryError


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("shared", [True, False])
def test_a_training_that_breaks_at_any_step_goes_on_to_the_same_bits(optimizer, shared, tmp_path):
    whole = Training(optimizer, shared=shared)
    whole.fit(None)
    for step in range(1, EPOCHS * STEPS + 1):
        with pytest.raises(MemoryError):
            Training(optimizer, shared=shared).fit(tmp_path / "run", callbacks=[BreakAt(step)])
    training = Training(optimizer, shared=shared)
    training.fit(tmp_path / "run", callbacks=[BreakAt(0)])
    assert training.outcome() == whole.outcome()


def test_a_training_goes_on_from_the_last_checkpoint_not_from_the_step_it_broke_at(tmp_path):
    whole = Training()
    whole.fit(None)
    with pytest.raises(MemoryError):
        Training().fit(tmp_path, every=3, callbacks=[BreakAt(8)])
    assert sorted(os.listdir(tmp_path)) == ["best.safetensors", *files(4, 6)]
    training = Training()
    training.fit(tmp_path, every=3, callbacks=[BreakAt(0)])
    assert training.outcome() == whole.outcome()
    assert training.trainer.optimizer.steps == EPOCHS * STEPS


def in_a_child(folder, epochs, expected, images=None, **settings):
    """Start a copy of this process that trains; its exit code is 0 if all ends as expected."""
    child = os.fork()
    if child == 0:
        try:
            training = Training(images=images)
            training.fit(folder, epochs=epochs, **settings)
            os._exit(0 if training.outcome() == expected else 1)
        finally:
            os._exit(2)
    return child


def wait_for_a_save(folder, child):
    """Until there is a file that is not whole yet, or the child has ended."""
    while not list(folder.glob(".step-*.part")):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills copies of this process")
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    """Fifty kills, every other one in the middle of a save, as far as that can be seen from outside."""
    whole = Training()
    whole.fit(None, epochs=30)
    chance, kills, torn, folder = np.random.default_rng(), 0, 0, tmp_path / "0"
    while kills < 50:
        child = in_a_child(folder, 30, whole.outcome())
        if kills % 2:
            wait_for_a_save(folder, child)
        else:
            time.sleep(chance.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
            torn += len(list(folder.glob(".step-*.part")))
        else:  # it was finished before
            assert os.WEXITSTATUS(status) == 0
            folder = tmp_path / str(kills)
    child = in_a_child(folder, 30, whole.outcome())
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0
    assert torn, "no kill came in the middle of a save"
    assert not list(folder.glob(".step-*"))


@pytest.fixture
def photos(tmp_path):
    """A folder, some of whose files are broken."""
    images = pytest.importorskip("PIL.Image", reason="images need Pillow")
    rng = np.random.default_rng(4)
    for name in "abc":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            file = tmp_path / "photos" / name / f"{i}.png"
            images.fromarray(rng.integers(0, 255, (8, 7), np.uint8)).save(file)
            if i == 2:
                file.write_bytes(b"")
    return tmp_path / "photos"


@pytest.mark.filterwarnings("ignore:ImageFolder. skipped")
@pytest.mark.parametrize("step", [1, 5, 11, 12, 13, 20])
def test_a_training_on_files_goes_on_to_the_same_bits(step, photos, tmp_path):
    """With batches of one file, of which those that are broken have a place in the epoch too."""
    whole, settings = Training(images=photos), {"batch_size": 1, "workers": 2}
    whole.fit(None, **settings)
    with pytest.raises(MemoryError):
        Training(images=photos).fit(tmp_path / "run", callbacks=[BreakAt(step)], **settings)
    training = Training(images=photos)
    training.fit(tmp_path / "run", callbacks=[BreakAt(0)], **settings)
    assert training.outcome() == whole.outcome()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills copies of this process")
@pytest.mark.filterwarnings("ignore:ImageFolder. skipped")
def test_killed_while_threads_read_files_it_ends_with_the_same_bits(photos, tmp_path):
    settings = {"batch_size": 2, "workers": 2}
    whole = Training(images=photos)
    whole.fit(None, epochs=10, **settings)
    chance = np.random.default_rng()
    for _ in range(8):
        child = in_a_child(tmp_path / "run", 10, whole.outcome(), photos, **settings)
        time.sleep(chance.uniform(0.005, 0.04))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    child = in_a_child(tmp_path / "run", 10, whole.outcome(), photos, **settings)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0


def test_ctrl_c_keeps_the_step_it_came_after(tmp_path):
    class Interrupt(Callback):
        def step(self, trainer, loss):
            if trainer.optimizer.steps == 6:
                signal.raise_signal(signal.SIGINT)

    whole, training = Training(), Training()
    whole.fit(None)
    with pytest.raises(KeyboardInterrupt):
        training.fit(tmp_path, every=None, callbacks=[Interrupt()])
    assert sorted(path.name for path in tmp_path.glob("step-*")) == files(4, 6)
    training = Training()
    training.fit(tmp_path, callbacks=[BreakAt(0)])
    assert training.outcome() == whole.outcome()


def test_more_epochs_of_a_finished_training(tmp_path):
    whole, training = Training("plain sgd"), Training("plain sgd")
    whole.fit(None, epochs=4)
    training.fit(tmp_path, epochs=2)
    again = Training("plain sgd")
    assert len(again.fit(tmp_path, epochs=2)) == 2  # nothing left to do
    assert again.outcome() == training.outcome()
    again = Training("plain sgd")
    again.fit(tmp_path, epochs=4)
    assert again.outcome() == whole.outcome()


# ---- files -----------------------------------------------------------------------------------------------------------


def damaged(content, how):
    middle = len(content) // 2
    return {
        "truncated": content[:middle],
        "empty": b"",
        "a bit of an array": content[:-5] + bytes([content[-5] ^ 16]) + content[-4:],
        "a digit of the history": content.replace(b'\\"epoch\\": 2', b'\\"epoch\\": 7'),
        "no JSON": content.replace(b'{\\"format', b'[\\"format'),
        "no checkpoint": content.replace(b"convnet_checkpoint", b"convnet_checkpoinT"),
        "a newer format": content.replace(b'\\"format\\": 1', b'\\"format\\": 9'),
    }[how]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "expected a whole safetensors file of arrays"),
        ("empty", "expected a whole safetensors file of arrays"),
        ("a bit of an array", "got other bytes: the file is damaged"),
        ("a digit of the history", "got other bytes: the file is damaged"),
        ("no JSON", "step-000000012.safetensors: .*"),
        ("no checkpoint", "got a file without the state of a training"),
        ("a newer format", "expected checkpoints of format 1, got 9 from a newer convnet"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(how, reason, tmp_path):
    whole = Training()
    whole.fit(tmp_path)
    last = tmp_path / "step-000000012.safetensors"
    content = damaged(last.read_bytes(), how)
    assert content != last.read_bytes()
    last.write_bytes(content)
    training = Training()
    with pytest.warns(UserWarning, match=f"{reason}.*; set aside as step-000000012.damaged"):
        training.fit(tmp_path)
    assert training.outcome() == whole.outcome()
    assert (tmp_path / "step-000000012.damaged").read_bytes() == content


def test_damaged_checkpoints_only_are_refused(tmp_path):
    Training().fit(tmp_path, epochs=1)
    for path in tmp_path.glob("step-*"):
        path.write_bytes(b"")
    before = sorted(os.listdir(tmp_path))
    for _ in range(2):  # nothing is renamed, so it is refused the second time too
        with pytest.raises(WeightsError, match=r"expected a whole checkpoint in .*, got damaged ones only: "):
            Training().fit(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before


def test_an_error_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    training = Training()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    class Fill(Callback):
        def step(self, trainer, loss):
            if trainer.optimizer.steps == 6:
                monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space left on device"):
        training.fit(tmp_path, callbacks=[Fill()])
    assert sorted(os.listdir(tmp_path))[1:] == files(4, 5)


def test_any_state_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [np.arange(6.0)[::2], np.array(3), np.zeros((0, 2), np.float32), np.array([True]), rng.bytes(3)[0]]
    state = {"a": arrays, "b": {"x/y": None, "big": 2**127, "text": "no array", "inf": float("inf")}}
    write_checkpoint(tmp_path / "file", state)
    back = read_checkpoint(tmp_path / "file")
    assert back["b"] == state["b"]
    for here, there in zip(state["a"], back["a"], strict=True):
        np.testing.assert_array_equal(here, there)
        assert (np.asarray(here).dtype, np.shape(here)) == (np.asarray(there).dtype, np.shape(there))
    write_checkpoint(tmp_path / "again", state)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


# ---- what does not fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"batch_size": 5}, SettingError, "expected the data of the checkpoint, with batch_size 6, got 5"),
        ({"accumulate": 2}, SettingError, "expected the data of the checkpoint, with accumulate 1, got 2"),
        ({"shuffle": False}, SettingError, "expected the data of the checkpoint, with shuffle True, got False"),
        ({"optimizer": "sgd"}, WeightsError, "SGD: expected the state of SGD, got that of AdamW"),
        ({"hidden": 6}, WeightsError, r"4.weight: expected shape \(6, 32\), got \(5, 32\)"),
        ({"average": False}, WeightsError, "expected a trainer with an average of the weights, got one without"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_nothing_is_changed(change, error, text, tmp_path):
    Training().fit(tmp_path, epochs=1)
    other = Training(**{k: v for k, v in change.items() if k in ("optimizer", "hidden", "average")})
    before = other.outcome()
    with pytest.raises(error, match=text):
        other.fit(tmp_path, **{k: v for k, v in change.items() if k not in ("optimizer", "hidden", "average")})
    assert other.outcome() == before


def test_callbacks_with_a_state_must_come_back_and_others_may_change(tmp_path):
    training = Training()
    training.fit(tmp_path, epochs=1)
    with pytest.raises(
        SettingError, match=r"expected the callbacks of the checkpoint, with EarlyStopping, got \['Break"
    ):
        Training().trainer.fit(data(), batch_size=BATCH, callbacks=[BreakAt(0)], checkpoint=tmp_path, resume=True)
    again, stopping = Training(), EarlyStopping(9)
    again.fit(tmp_path, epochs=2, callbacks=[BreakAt(0), stopping])
    assert len(again.trainer.history) == 2
    assert stopping.best == again.trainer.history[1].val_loss


def test_a_checkpoint_of_other_targets_or_weights_is_refused(tmp_path):
    (x, y), weights = data(), np.ones(len(data()[1]))

    def fit(*arrays):
        trainer = Trainer(Sequential(Flatten(), Dense(x[0].size, 3, rng=0)), SoftmaxCrossEntropy(), SGD(0.1))
        trainer.fit(arrays, checkpoint=tmp_path, resume=True, progress=False)

    fit(x, y, weights)
    fit(x, y, weights)
    for other, name in [((x, y[::-1], weights), "targets"), ((x, y, 2 * weights), "weights"), ((x, y), "weights")]:
        with pytest.raises(SettingError, match=f"expected the data of the checkpoint, with {name} [0-9a-f]+, got "):
            fit(*other)


def test_the_accuracy_of_a_stream_is_known_after_its_last_batch(tmp_path):
    def broken(trainer, epoch):
        raise MemoryError

    accuracies = []
    for function, folder in [(print, "whole"), (broken, "broken"), (print, "broken")]:
        trainer = Training().trainer
        settings = {"checkpoint": Checkpoint(tmp_path / folder, every=2), "resume": True, "progress": False}
        with contextlib.suppress(MemoryError):
            trainer.fit(Stream([data(6), data(6)]), callbacks=[function], **settings)
            accuracies.append(trainer.history[0].accuracy)
    assert len(accuracies) == 2
    assert accuracies[0] == accuracies[1] is not None


def test_checkpoints_are_not_overwritten_by_another_training(tmp_path):
    Training().fit(tmp_path, epochs=1)
    with pytest.raises(SettingError, match=r"expected a folder without checkpoints, or resume=True, got .*000004"):
        Training().fit(tmp_path, resume=False)


def test_bad_settings_are_refused(tmp_path):
    for settings, text in [
        ({"every": 0}, "Checkpoint every: expected an integer of at least 1, got 0"),
        ({"keep": 0}, "Checkpoint keep: expected an integer of at least 1, got 0"),
    ]:
        with pytest.raises(SettingError, match=text):
            Checkpoint(tmp_path, **settings)
    with pytest.raises(SettingError, match=r"Trainer.fit resume: expected a checkpoint to resume from"):
        Training().trainer.fit(data(), resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"Checkpoint: expected a folder that can be written, got .*file"):
        Training().fit(tmp_path / "file")
    training, checkpoint = Training(), Checkpoint(tmp_path / "run", best="top7")
    with pytest.raises(SettingError, match="Checkpoint best: expected a figure among loss, accuracy, got 'top7'"):
        training.trainer.fit(data(), checkpoint=checkpoint, progress=False)


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_the_best_weights_are_kept_beside(tmp_path):
    kept = []

    def keep(trainer, epoch):
        kept.append((epoch.val_loss, trainer.measured.state_dict()))

    Training("sgd").fit(tmp_path, epochs=8, callbacks=[keep])
    losses = [loss for loss, _ in kept]
    best = kept[int(np.argmin(losses))][1]
    assert np.argmin(losses) > 0
    loaded = load(Training().model, tmp_path / "best.safetensors").state_dict()
    for name, value in best.items():
        np.testing.assert_array_equal(loaded[name], value)


@pytest.mark.parametrize("average", [True, False])
def test_load_takes_the_measured_weights_out_of_a_checkpoint(average, tmp_path):
    measured = []
    Training(average=average).fit(
        tmp_path, callbacks=[lambda trainer, _: measured.append(trainer.measured.state_dict())]
    )
    loaded = load(Training().model, tmp_path / "step-000000012.safetensors").state_dict()
    for name, value in measured[-1].items():
        np.testing.assert_array_equal(loaded[name], value)


def test_weights_alone_are_no_checkpoint(tmp_path):
    save(Training().model, tmp_path / "step-000000012.safetensors")
    with pytest.raises(WeightsError, match="expected a checkpoint, got a file without the state of a training"):
        Training().fit(tmp_path)


def test_a_validation_loader_that_shuffles_goes_on_too(tmp_path):
    """Float sums depend on the order: the losses are the same only if the orders are."""

    def fit(epochs, **settings):
        validation = DataLoader(*data(50), batch_size=7, augment=RandomCrop(1), rng=3)
        training = Training()
        training.trainer.fit(data(), validation, epochs=epochs, batch_size=BATCH, progress=False, **settings)
        return training.outcome()

    whole = fit(4)
    fit(2, checkpoint=tmp_path, resume=True)
    assert fit(4, checkpoint=tmp_path, resume=True) == whole
