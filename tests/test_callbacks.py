"""Who is told of a training: in what order, with what, and what they write."""

import csv
import json
import math

import numpy as np
import pytest

from convnet import load
from convnet.errors import SettingError, UnsupportedError
from convnet.layers import Dense
from convnet.losses import SoftmaxCrossEntropy
from convnet.metrics import Metric
from convnet.optim import SGD
from convnet.training import Callback, Checkpoint, CSVLog, EarlyStopping, JSONLog, TensorBoard, Trainer, WeightAverage


def data(n=12):
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 4), dtype=np.float32), rng.integers(3, size=n)


def trainer(lr=0.1, average=False):
    model = Dense(4, 3, rng=0)
    return Trainer(model, SoftmaxCrossEntropy(), SGD(lr), average=WeightAverage(model, 0.5) if average else None)


def fit(trained, callbacks, epochs=3, validation=True, **settings):
    settings = {"batch_size": 4, "progress": False, **settings}
    return trained.fit(data(), data(6) if validation else None, epochs=epochs, callbacks=callbacks, **settings)


class Witness(Callback):
    def __init__(self, breaks_in=None):
        self.seen, self._breaks_in = [], breaks_in

    def begin(self, trainer):
        self.seen.append("begin")

    def step(self, trainer, loss):
        assert math.isfinite(loss)
        self.seen.append(f"step {trainer.optimizer.steps}")
        if trainer.optimizer.steps == self._breaks_in:
            raise MemoryError

    def epoch(self, trainer, epoch):
        assert trainer.history[-1] is epoch
        self.seen.append(f"epoch {epoch.epoch}")

    def end(self, trainer):
        self.seen.append("end")

    def close(self):
        self.seen.append("close")


def test_callbacks_are_told_everything_in_order():
    witness = Witness()
    fit(trainer(), [witness], epochs=2)
    steps = ["step 1", "step 2", "step 3", "epoch 1", "step 4", "step 5", "step 6", "epoch 2"]
    assert witness.seen == ["begin", *steps, "end", "close"]


def test_after_an_error_they_are_closed_and_not_told_of_an_end():
    witness = Witness(breaks_in=2)
    with pytest.raises(MemoryError):
        fit(trainer(), [witness])
    assert witness.seen == ["begin", "step 1", "step 2", "close"]


def test_a_function_is_called_after_each_epoch_and_may_stop_the_training():
    seen = []

    def third(trained, epoch):
        seen.append(epoch.epoch)
        if epoch.epoch == 3:
            trained.stop()

    trained = trainer()
    assert len(fit(trained, [third], epochs=9)) == 3
    assert seen == [1, 2, 3]
    assert len(fit(trained, [], epochs=2)) == 2  # it is forgotten then


# ---- early stopping --------------------------------------------------------------------------------------------------


class Scripted(Callback):
    """Puts given losses in the place of the validation's, and marks the weights with the number of the epoch."""

    def __init__(self, losses):
        self._losses = losses

    def epoch(self, trainer, epoch):
        object.__setattr__(epoch, "val_loss", self._losses[epoch.epoch - 1])
        trainer.model.weight.value[...] = epoch.epoch


@pytest.mark.parametrize(
    ("losses", "settings", "epochs", "best"),
    [
        ([3, 2, 1, 1, 1, 0], {"patience": 2}, 5, 3),
        ([3, 2, 1, 1, 1, 0], {"patience": 3}, 6, 6),
        ([3, 2.5, 2.4, 2.3], {"patience": 2, "min_delta": 0.6}, 3, 1),
        ([3, 2.5, 2.4, 2.3], {"patience": 2, "min_delta": 0.4}, 4, 2),
        ([1, float("nan"), 2], {"patience": 2}, 3, 1),
        ([float("nan"), 3, 2, 4, 4], {"patience": 2}, 5, 3),
        ([3, 4, 4], {"patience": 2, "restore_best": False}, 3, 3),
    ],
)
def test_it_stops_when_nothing_became_better_and_takes_the_best_weights_back(losses, settings, epochs, best):
    trained = trainer()
    assert len(fit(trained, [Scripted(losses), EarlyStopping(**settings)], epochs=len(losses))) == epochs
    np.testing.assert_array_equal(trained.model.weight.value, best)


def test_accuracy_is_better_when_larger():
    trained, stopping = trainer(lr=0.0), EarlyStopping(patience=2, monitor="val_accuracy")
    assert len(fit(trained, [stopping], epochs=9)) == 3
    assert stopping.best == trained.history[0].val_accuracy


class Errors(Metric):
    """Says what it was told to say."""

    name, value, smaller_is_better = "errors", math.nan, True

    def __init__(self, values):
        self._values = iter(values)

    def update(self, outputs, targets):
        pass

    def reset(self):
        self.value = next(self._values)


def test_a_metric_of_errors_is_better_when_smaller(tmp_path):
    trained = Trainer(Dense(4, 3, rng=0), SoftmaxCrossEntropy(), SGD(0.1), metrics=[Errors([5, 2, 3, 3, 1])])
    kept = []
    saved = Checkpoint(tmp_path, best="val_errors")
    stopping = EarlyStopping(2, monitor="val_errors")
    history = fit(trained, [stopping, lambda t, _: kept.append(t.model.state_dict())], epochs=5, checkpoint=saved)
    assert [epoch.val_metrics["errors"] for epoch in history] == [5, 2, 3, 3]
    assert history.best("val_errors") == history[:].best("val_errors") == 1
    trained.load_state_dict(trained.state_dict())
    assert trained.history.best("val_errors") == 1
    np.testing.assert_array_equal(trained.model.weight.value, kept[1]["weight"])
    load(trained.model, tmp_path / "best.safetensors")
    np.testing.assert_array_equal(trained.model.weight.value, kept[1]["weight"])


def test_without_validation_the_loss_of_the_training_counts():
    stopping = EarlyStopping(patience=2)
    history = fit(trainer(lr=0.0), [stopping], epochs=9, validation=False, shuffle=False)
    assert len(history) == 3
    assert stopping.best == history[0].loss


def test_the_best_average_is_taken_back_too():
    trained, kept = trainer(average=True), []
    fit(trained, [Scripted([1, 2, 3]), lambda t, _: kept.append(t.measured.state_dict()), EarlyStopping(2)], epochs=5)
    np.testing.assert_array_equal(trained.measured.weight.value, kept[0]["weight"])


def test_bad_settings_of_early_stopping():
    with pytest.raises(SettingError, match="EarlyStopping patience: expected an integer of at least 1, got 0"):
        EarlyStopping(0)
    with pytest.raises(SettingError, match="EarlyStopping min_delta: expected a finite number of at least 0, got -1"):
        EarlyStopping(min_delta=-1)
    trained = trainer()
    text = "EarlyStopping monitor: expected a figure among loss, accuracy, val_loss, val_accuracy, got 'val_recall'"
    with pytest.raises(SettingError, match=text):
        fit(trained, [EarlyStopping(monitor="val_recall")])
    assert trained.optimizer.steps == 0
    with pytest.raises(SettingError, match="expected a figure among loss, accuracy, got 'val_loss'"):
        fit(trained, [EarlyStopping(monitor="val_loss")], validation=False)


# ---- logs ------------------------------------------------------------------------------------------------------------


def test_logs_hold_the_history(tmp_path):
    history = fit(trainer(), [CSVLog(tmp_path / "log.csv"), JSONLog(tmp_path / "log.jsonl")])
    rows = [epoch.figures() for epoch in history]
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == rows
    with (tmp_path / "log.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in read] == rows


def test_logs_are_whole_after_each_epoch_and_without_validation(tmp_path):
    trained = trainer()
    for epoch in trained.iter_fit(data(), epochs=3, callbacks=[CSVLog(tmp_path / "log.csv")], progress=False):
        lines = (tmp_path / "log.csv").read_text().splitlines()
        assert len(lines) == 1 + epoch.epoch
        assert lines[0].startswith("epoch,loss,accuracy,val_loss,")
        assert lines[-1].split(",")[3] == ""


def test_a_log_that_cannot_be_written_is_told_before_the_first_step(tmp_path):
    trained = trainer()
    with pytest.raises(OSError, match="missing"):
        fit(trained, [JSONLog(tmp_path / "missing" / "log.jsonl")])
    assert trained.optimizer.steps == 0


def test_tensorboard_gets_the_figures(tmp_path, monkeypatch):
    tensorboard = pytest.importorskip("tensorboardX")
    written = []

    class Writer(tensorboard.SummaryWriter):
        def add_scalar(self, tag, scalar_value, global_step=None, *args, **settings):
            written.append((global_step, tag, scalar_value))
            super().add_scalar(tag, scalar_value, global_step, *args, **settings)

    monkeypatch.setattr(tensorboard, "SummaryWriter", Writer)
    history = fit(trainer(), [TensorBoard(tmp_path)])
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds", "learning_rate")
    assert written == [(epoch.epoch, name, getattr(epoch, name)) for epoch in history for name in names]
    assert [path.stat().st_size > 200 for path in tmp_path.iterdir()] == [True]


def test_without_tensorboardx_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(
        UnsupportedError, match=r"expected the package tensorboardX, got none: pip install .*tensorboard"
    ):
        fit(trainer(), [TensorBoard(tmp_path)])
