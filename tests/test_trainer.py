"""The training loop: what a step does, what an epoch covers, what is reported."""

import logging
import threading

import numpy as np
import pytest

from convnet.data import DataLoader
from convnet.errors import DataError, DivergedError, SettingError, ShapeError
from convnet.layers import AuxiliaryHead, Conv2d, Dense, Flatten, ReLU, Sequential
from convnet.losses import MeanSquaredError, SoftmaxCrossEntropy
from convnet.metrics import F1, Accuracy, ConfusionMatrix, TopK, f1, top_k_accuracy
from convnet.optim import SGD, Adam, ClipNorm, OneCycle, Plateau
from convnet.training import Trainer


def small_model(dtype=np.float32):
    rng = np.random.default_rng(1)
    return Sequential(
        Conv2d(1, 2, 3, rng=rng, dtype=dtype), ReLU(), Flatten(), Dense(2 * 4 * 4, 3, rng=rng, dtype=dtype)
    )


def small_data(n=20):
    """Images whose brightest third tells the class."""
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=n)
    x = rng.integers(0, 60, (n, 1, 6, 6)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        image[:, 2 * label : 2 * label + 2] += 180
    return x, y


def trainer(lr=0.05, dtype=np.float32, **settings):
    return Trainer(small_model(dtype), SoftmaxCrossEntropy(), SGD(lr, **settings))


def weights(trained):
    return np.concatenate([p.value.ravel() for p in trained.model.parameters()])


def test_a_step_is_one_update_by_the_gradient():
    dense = Dense(2, 2, rng=0, dtype=np.float64)
    dense.weight.value[...] = [[1, 0], [0, 1]]
    dense.bias.value[...] = 0
    x, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [3.0, 1.0]])
    loss = Trainer(dense, MeanSquaredError(), SGD(0.5)).step(x, y)
    dy = (x - y) / 2  # 2 * (outputs - targets) / 4
    assert loss == np.mean((x - y) ** 2)
    np.testing.assert_array_equal(dense.weight.value, np.eye(2) - 0.5 * dy.T @ x)
    np.testing.assert_array_equal(dense.bias.value, -0.5 * dy.sum(axis=0))
    np.testing.assert_array_equal(dense.weight.grad, 0)


def test_uint8_is_divided_by_255():
    x, y = small_data()
    scaled, raw = trainer(), trainer()
    assert raw.step(x, y) == scaled.step(x.astype(np.float32) / np.float32(255), y)
    np.testing.assert_array_equal(weights(raw), weights(scaled))


def test_several_channels_are_scaled_too(rng):
    model = Sequential(Conv2d(3, 2, 2, rng=0), Flatten())
    x = rng.integers(0, 255, (5, 3, 3, 4)).astype(np.uint8)
    got = Trainer(model, MeanSquaredError(), SGD(0.1)).predict(x)
    np.testing.assert_array_equal(got, model(x.astype(np.float32) / np.float32(255)))


def test_fit_learns_and_reports_it():
    data = small_data(60)
    trained = trainer(0.1, momentum=0.9)
    history = trained.fit(data, validation=small_data(30), epochs=8, batch_size=10)
    assert history is trained.history
    assert [epoch.epoch for epoch in history] == list(range(1, 9))
    assert history[-1].accuracy == history[-1].val_accuracy == 1
    assert history[-1].loss < 0.2 < history[0].loss
    assert all(epoch.seconds > 0 for epoch in history)
    figures = trained.evaluate(small_data(30), batch_size=10)
    assert figures == {"loss": history[-1].val_loss, "accuracy": history[-1].val_accuracy}


def test_an_epoch_holds_every_image_once_the_ragged_rest_included():
    x, y = small_data(23)
    seen = []

    def spy(images, rng):
        seen.append(images)
        return images

    trained = trainer()
    trained.fit((x, y), epochs=2, batch_size=5, augment=spy)
    assert [len(images) for images in seen] == [5, 5, 5, 5, 3] * 2
    assert trained.optimizer.steps == 10
    first, second = np.concatenate(seen[:5]), np.concatenate(seen[5:])
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        assert sorted(image.tobytes() for image in epoch) == sorted(image.tobytes() for image in x)


def test_images_keep_their_labels_when_shuffled():
    x = np.arange(200, dtype=np.uint8).reshape(50, 4)
    y = x[:, 0].astype(np.float32)[:, None]
    pairs = []

    class Spy(MeanSquaredError):  # noqa: N818 - a loss, not an exception
        def forward(self, logits, targets, ctx=None):
            pairs.append((logits, targets))
            return super().forward(logits, targets, ctx)

    model = Dense(4, 1, rng=0)
    model.weight.value[...] = [[255, 0, 0, 0]]
    Trainer(model, Spy(), SGD(0)).fit((x, y), batch_size=7)
    assert not np.array_equal(np.concatenate([targets for _, targets in pairs]), y)
    for logits, targets in pairs:
        np.testing.assert_allclose(logits, targets, rtol=1e-6)


def test_in_order_without_shuffle():
    x, y = small_data(12)
    fitted, stepped = trainer(), trainer()
    history = fitted.fit((x, y), batch_size=5, shuffle=False)
    losses = [stepped.step(x[i : i + 5], y[i : i + 5]) for i in (0, 5, 10)]
    np.testing.assert_array_equal(weights(fitted), weights(stepped))
    assert history[0].loss == pytest.approx(np.average(losses, weights=[5, 5, 2]), rel=1e-12)


def test_the_seed_decides():
    def run(rng):
        trained = trainer()
        trained.fit(small_data(), epochs=2, batch_size=4, rng=rng)
        return weights(trained)

    np.testing.assert_array_equal(run(3), run(np.random.default_rng(3)))
    assert not np.array_equal(run(3), run(4))


def noise(x, rng):
    return x + rng.integers(0, 30, x.shape, np.uint8)


def test_the_number_of_workers_changes_nothing():
    def run(workers):
        trained = trainer()
        trained.fit(small_data(), epochs=2, batch_size=4, augment=noise, workers=workers)
        return weights(trained)

    alone = run(0)
    np.testing.assert_array_equal(run(1), alone)
    np.testing.assert_array_equal(run(3), alone)
    unchanged = trainer()
    unchanged.fit(small_data(), epochs=2, batch_size=4)
    assert not np.array_equal(weights(unchanged), alone)


def test_a_loader_brings_its_own_settings():
    by_arrays, by_loader = trainer(), trainer()
    by_arrays.fit(small_data(), epochs=2, batch_size=7, rng=5, augment=noise)
    by_loader.fit(DataLoader(*small_data(), 7, augment=noise, rng=5), epochs=2)
    np.testing.assert_array_equal(weights(by_loader), weights(by_arrays))
    assert by_loader.history[1].loss == by_arrays.history[1].loss


def test_the_running_figures_are_those_of_all_images():
    data = small_data(23)
    still = trainer(lr=0)
    epoch = still.fit(data, batch_size=5)[0]
    figures = still.evaluate(data, batch_size=7)
    assert epoch.loss == pytest.approx(figures["loss"], rel=1e-5)
    assert epoch.accuracy == figures["accuracy"]


def test_the_history_has_the_rate_of_the_last_step():
    schedule = OneCycle(0.1, steps=8)
    history = trainer(schedule).fit(small_data(20), epochs=2, batch_size=5)
    assert [epoch.learning_rate for epoch in history] == [schedule(3), schedule(7)]


def test_predict_is_the_model_in_batches():
    x, _ = small_data(10)
    used = trainer()
    whole = used.model(x.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(used.predict(x, batch_size=3), whole)
    assert used.predict(x[:0]).shape == (0, 3)


def test_evaluation_and_prediction_train_nothing():
    used = trainer()
    before = weights(used)
    used.evaluate(small_data())
    used.predict(small_data()[0])
    np.testing.assert_array_equal(weights(used), before)
    assert used.optimizer.steps == 0


def test_inputs_are_not_written_to():
    x, y = small_data()
    x.flags.writeable = y.flags.writeable = False
    trainer().fit((x, y), validation=(x, y), batch_size=6)


def test_float64_models_get_float64():
    x, y = small_data()
    used = trainer(dtype=np.float64)
    used.fit((x, y))
    assert used.predict(x).dtype == np.float64


def test_numbers_have_a_loss_but_no_accuracy(rng):
    x, y = rng.random((9, 4)).astype(np.float32), rng.standard_normal((9, 2)).astype(np.float32)
    used = Trainer(Dense(4, 2, rng=0), MeanSquaredError(), SGD(0.1))
    assert used.fit((x, y), validation=(x, y))[0].accuracy is None
    assert list(used.evaluate((x, y))) == ["loss"]


def test_probabilities_have_an_accuracy():
    x, y = small_data()
    used = trainer()
    indices, rows = used.evaluate((x, y)), used.evaluate((x, np.eye(3, dtype=np.float32)[y]))
    assert indices["accuracy"] == rows["accuracy"]


def test_stopping_between_epochs_keeps_the_history():
    used = trainer()
    for epoch in used.iter_fit(small_data(), epochs=9, batch_size=5):
        if epoch.epoch == 2:
            break
    assert len(used.history) == 2
    assert used.optimizer.steps == 8


def test_nan_stops_before_the_weights_are_spoilt():
    x, y = small_data(20)
    x = x.astype(np.float32) / 255
    x[13] = np.nan
    used, expected = trainer(), trainer()
    with pytest.raises(DivergedError, match=r"Trainer.fit: epoch 1, step 3: .*expected a finite loss, got nan"):
        used.fit((x, y), epochs=2, batch_size=5, shuffle=False)
    for i in (0, 5):
        expected.step(x[i : i + 5], y[i : i + 5])
    np.testing.assert_array_equal(weights(used), weights(expected))
    with pytest.raises(DivergedError, match=r"Trainer\.step: expected a finite loss, got nan"):
        used.step(x[10:15], y[10:15])


def test_a_norm_that_is_not_finite_stops_before_the_weights_are_spoilt():
    class Spoilt(SoftmaxCrossEntropy):
        def backward(self, ctx):
            return super().backward(ctx) * np.float32(np.nan)

    used = Trainer(small_model(), Spoilt(), SGD(0.1, clip=ClipNorm(1.0)))
    before = weights(used)
    with pytest.raises(DivergedError, match=r"^Trainer.fit: epoch 1, step 1: SGD.step: expected gradients of a finite"):
        used.fit(small_data())
    np.testing.assert_array_equal(weights(used), before)


def test_a_plateau_hears_the_loss_of_each_epoch():
    class Ear(Plateau):
        def observe(self, loss):
            heard.append(loss)

    heard = []
    used = trainer(Ear(0.1))
    history = used.fit(small_data(), validation=small_data(12), epochs=3)
    assert heard == [epoch.val_loss for epoch in history]
    heard = []
    history = used.fit(small_data(), epochs=2)
    assert heard == [epoch.loss for epoch in history]


def test_the_rate_falls_on_a_plateau():
    used = trainer(Plateau(1e-12, factor=0.5, patience=0))  # a rate too small to change the loss
    history = used.fit(small_data(), epochs=4, shuffle=False)
    assert [epoch.learning_rate for epoch in history] == [1e-12, 1e-12, 5e-13, 2.5e-13]


def test_epochs_are_logged(caplog):
    with caplog.at_level(logging.INFO, logger="convnet"):
        trainer().fit(small_data(), epochs=2)
    assert [message.split(":")[0] for message in caplog.messages] == ["epoch 1", "epoch 2"]


def test_training_runs_in_any_thread():
    here, there = trainer(), trainer()
    here.fit(small_data())
    thread = threading.Thread(target=there.fit, args=(small_data(),))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(weights(here), weights(there))


# ---- parts of a batch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3, 7, 20, 50])
def test_a_batch_in_parts_is_the_same_step(parts):
    """Float64: the sums are taken in another order, of at most 20 images."""
    x, y = small_data()
    x = x / 255.0
    whole, cut = trainer(dtype=np.float64), trainer(dtype=np.float64)
    for _ in range(3):
        assert cut.step(x, y, accumulate=parts) == pytest.approx(whole.step(x, y), rel=100 * np.finfo(float).eps)
    np.testing.assert_allclose(weights(cut), weights(whole), rtol=0, atol=1000 * np.finfo(float).eps)
    assert cut.optimizer.steps == 3


def test_fit_cuts_its_batches_too():
    data = small_data()
    x = data[0] / 255.0
    whole, cut = trainer(dtype=np.float64), trainer(dtype=np.float64)
    for trained, parts in ((whole, 1), (cut, 3)):
        trained.fit((x, data[1]), epochs=2, batch_size=8, accumulate=parts, progress=False)
    np.testing.assert_allclose(weights(cut), weights(whole), rtol=0, atol=1000 * np.finfo(float).eps)
    assert cut.history[-1].accuracy == whole.history[-1].accuracy
    assert np.any(weights(cut) != weights(whole))


def test_auxiliary_heads_count_by_their_part_too(rng):
    def model():
        rng = np.random.default_rng(1)
        head = Sequential(Flatten(), Dense(36, 3, rng=rng, dtype=np.float64))
        return Sequential(
            Conv2d(1, 1, 3, padding=1, rng=rng, dtype=np.float64),
            AuxiliaryHead(head, 0.5),
            Flatten(),
            Dense(36, 3, rng=rng, dtype=np.float64),
        )

    x, y = small_data()
    whole, cut = (Trainer(model(), SoftmaxCrossEntropy(), SGD(0.1)) for _ in range(2))
    whole.step(x / 255.0, y)
    cut.step(x / 255.0, y, accumulate=3)
    np.testing.assert_allclose(weights(cut), weights(whole), rtol=0, atol=100 * np.finfo(float).eps)


def test_a_part_that_diverges_leaves_the_weights(dtype):
    trained = trainer(dtype=dtype)
    x, y = small_data()
    x = (x / 255).astype(dtype)
    x[-1] = np.inf
    before = weights(trained)
    with pytest.raises(DivergedError):
        trained.step(x, y, accumulate=4)
    np.testing.assert_array_equal(weights(trained), before)
    np.testing.assert_array_equal(trained.model.parameters()[0].grad, 0)


# ---- metrics, probabilities, lines -----------------------------------------------------------------------------------


def test_metrics_are_measured_on_the_validation_data():
    x, y = small_data(15)
    trained = Trainer(small_model(), SoftmaxCrossEntropy(), SGD(0.1), metrics=[TopK(2), F1()])
    history = trained.fit(small_data(), (x, y), epochs=2, batch_size=4, progress=False)
    expected = {"top_2_accuracy": top_k_accuracy(trained.predict(x), y, 2), "f1": f1(trained.predict(x), y)}
    assert history[-1].val_metrics == expected
    assert history.as_dict()["val_f1"][-1] == expected["f1"]
    assert f"validation f1 {expected['f1']:.4f}" in str(history[-1])
    figures = trained.evaluate((x, y), batch_size=4)
    assert {name: figures[name] for name in expected} == expected
    assert len(figures) == 4
    with pytest.raises(SettingError, match=r"Trainer metrics: expected objects such as TopK\(5\), got 3"):
        Trainer(small_model(), SoftmaxCrossEntropy(), SGD(0.1), metrics=[3])
    for metrics, text in [
        ([F1(), F1()], r"different names beside loss and accuracy, got \['f1', 'f1'\]"),
        ([Accuracy()], "different names beside loss and accuracy"),
        ([ConfusionMatrix()], "expected numbers as values, got those of confusion_matrix"),
    ]:
        with pytest.raises(SettingError, match=text):
            Trainer(small_model(), SoftmaxCrossEntropy(), SGD(0.1), metrics=metrics)


def test_probabilities_are_the_softmax_of_the_outputs():
    trained, (x, _) = trainer(), small_data()
    powers = np.exp(trained.predict(x).astype(np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(trained.predict_proba(x, batch_size=3), expected, rtol=0, atol=1e-6)
    maps = Trainer(Conv2d(1, 1, 1), MeanSquaredError(), SGD(0.1))
    with pytest.raises(
        ShapeError, match=r"predict_proba: expected outputs of shape \(n, classes\), got \(20, 1, 6, 6\)"
    ):
        maps.predict_proba(x)


def test_plain_progress_is_a_line_an_epoch(capsys):
    history = trainer().fit(small_data(), epochs=2, progress="plain")
    assert capsys.readouterr().err == f"{history[0]}\n{history[1]}\n"


# ---- trying learning rates -------------------------------------------------------------------------------------------


def test_trying_rates_changes_nothing_and_finds_one_that_works():
    data = small_data(60)
    trained = Trainer(small_model(), SoftmaxCrossEntropy(), Adam(Plateau(0.001)))
    trained.fit(data, epochs=1, progress=False)
    before, schedule = str(trained.state_dict()), trained.optimizer.lr
    found = trained.find_learning_rate(data, batch_size=10)
    assert str(trained.state_dict()) == before
    assert trained.optimizer.lr is schedule
    assert len(found.rates) == len(found.losses) <= 100
    assert found.rates[0] == 1e-5
    assert np.all(np.diff(np.log(found.rates)) > 0)
    assert found.losses[0] < 2
    assert found.suggestion == found.rates[np.argmin(found.losses)] / 10
    learner = Trainer(small_model(), SoftmaxCrossEntropy(), Adam(found.suggestion))
    assert learner.fit(data, epochs=8, batch_size=10, progress=False)[-1].accuracy > 0.9


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"lowest": 0}, SettingError, "find_learning_rate lowest: expected a rate above 0, got 0"),
        ({"lowest": 2, "highest": 1}, SettingError, "find_learning_rate lowest: expected .*, got 2"),
        ({"steps": 2}, SettingError, "find_learning_rate steps: expected an integer of at least 3, got 2"),
        (
            {"lowest": 1e30, "highest": 1e35},
            DataError,
            "expected losses that stay finite for three steps from 1e.30 on",
        ),
    ],
)
def test_rates_that_cannot_be_tried_are_refused(settings, error, text):
    trained = trainer()
    before = weights(trained)
    with pytest.raises(error, match=text):
        trained.find_learning_rate(small_data(), **settings)
    np.testing.assert_array_equal(weights(trained), before)
