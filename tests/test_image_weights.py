"""Weights of images: in losses, batches and the training; a weight of k is k copies of the image."""

import numpy as np
import pytest
from gradcheck import check_loss

from convnet.context import Context
from convnet.data import DataLoader
from convnet.errors import DataError, ShapeError
from convnet.layers import AuxiliaryHead, Conv2d, Dense, Flatten, ReLU, Sequential
from convnet.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from convnet.optim import SGD
from convnet.training import Trainer

COPIES = np.array([1, 3, 0, 2, 1])
SHARES = COPIES / COPIES.mean()

# Logits are at most 20 apart, so that a probability, and a logarithm of one, is off by at most 20 + 8 roundings, more
# than all else (the weight itself, its product, the sum of 7 terms): 64 cover both ways to a number.
ROUNDINGS = 64 * np.finfo(np.float64).eps

LOSSES = [
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(label_smoothing=0.1),
    MeanSquaredError(),
    BinaryCrossEntropy(),
    BinaryCrossEntropy([0.5, 2, 1]),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def batch(rng):
    return rng.standard_normal((5, 3)) * 3, np.array([0, 2, 1, 1, 0])


@every_loss
def test_a_weight_counts_as_copies(loss, rng):
    logits, labels = batch(rng)
    weighted, copied = Context(), Context()
    value = loss.forward(logits, labels, weighted, SHARES)
    rows = np.repeat(np.arange(5), COPIES)
    assert value == pytest.approx(loss.forward(logits[rows], labels[rows], copied), rel=ROUNDINGS)
    sums = np.zeros((5, 3))
    np.add.at(sums, rows, loss.backward(copied))
    scale = np.abs(sums) + (COPIES / COPIES.sum())[:, np.newaxis] * (1 + np.abs(logits))
    assert np.all(np.abs(loss.backward(weighted) - sums) <= ROUNDINGS * scale)


@every_loss
def test_gradients_with_weights(loss, rng):
    class Weighted(Loss):
        def forward(self, logits, targets, ctx=None):
            return loss.forward(logits, targets, ctx, SHARES)

    check_loss(Weighted(), *batch(rng), rng)


@every_loss
def test_weights_of_one_change_no_more_than_roundings(loss, rng):
    logits, labels = batch(rng)
    plain = loss.forward(logits, labels)
    assert loss.forward(logits, labels, None, np.ones(5, np.float32)) == pytest.approx(plain, rel=ROUNDINGS)
    assert loss.forward(logits, labels, None, np.zeros(5)) == 0


def test_weights_of_images_multiply_those_of_classes(rng):
    logits, labels = batch(rng)
    by_class = np.array([1.0, 2.0, 3.0])
    both = SoftmaxCrossEntropy(class_weights=by_class).forward(logits, labels, None, SHARES)
    images = SoftmaxCrossEntropy().forward(logits, labels, None, SHARES * by_class[labels])
    assert both == pytest.approx(images * 5 / by_class[labels].sum(), rel=ROUNDINGS)


@every_loss
def test_weights_that_do_not_fit(loss, rng):
    logits, labels = batch(rng)
    with pytest.raises(ShapeError, match=rf"^{type(loss).__name__}: expected 5 weights, one an image, got .* \(4,\)$"):
        loss.forward(logits, labels, None, np.ones(4))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_carry_the_weights_of_their_images(workers):
    x = np.arange(10.0).reshape(10, 1)
    loader = DataLoader(x, np.arange(10), 4, rng=0, workers=workers, weights=10 * np.arange(10))
    for images, labels, weights in loader:
        np.testing.assert_array_equal(weights, 10 * images[:, 0])
        np.testing.assert_array_equal(weights, 10 * labels)
    with pytest.raises(ShapeError, match=r"^DataLoader: expected weights of shape \(10,\), one an image, got \(9,\)$"):
        DataLoader(x, np.arange(10), weights=np.ones(9))


def small_trainer():
    rng = np.random.default_rng(3)
    first, *last = (Conv2d(1, 6, 2, rng=rng, dtype=np.float64), *(Dense(6, 3, rng=rng, dtype=np.float64) for _ in "ab"))
    head = AuxiliaryHead(Sequential(Flatten(), last[0]), weight=0.5)
    return Trainer(Sequential(first, head, ReLU(), Flatten(), last[1]), SoftmaxCrossEntropy(), SGD(0.5))


def small_data(rng):
    x, y = rng.standard_normal((5, 1, 2, 2)), np.array([0, 2, 1, 1, 0])
    return x, y, np.repeat(np.arange(5), COPIES)


def assert_close(trainers, steps):
    """Weights up to 1, gradients up to 4, a rate of 0.5: each step adds at most 4 times the roundings of a gradient."""
    for one, other in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=0, atol=4 * steps * ROUNDINGS)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_with_weights_is_one_with_copies(parts, rng):
    x, y, rows = small_data(rng)
    weighted, copied = small_trainer(), small_trainer()
    loss = weighted.step(x, y, parts, weights=SHARES)
    assert loss == pytest.approx(copied.step(x[rows], y[rows]), rel=ROUNDINGS)
    assert_close((weighted, copied), 1)


def test_a_training_with_weights_is_one_with_copies(rng):
    x, y, rows = small_data(rng)
    weighted, copied = small_trainer(), small_trainer()
    settings = {"epochs": 3, "progress": False}
    history = weighted.fit((x, y, SHARES), (x, y, SHARES), **settings)
    other = copied.fit((x[rows], y[rows]), (x[rows], y[rows]), **settings)
    assert_close((weighted, copied), 3)
    for figure in ("loss", "val_loss"):
        assert history.as_dict()[figure] == pytest.approx(other.as_dict()[figure], rel=3 * ROUNDINGS)
    evaluated = weighted.evaluate((x, y, SHARES))["loss"]
    assert evaluated == history[-1].val_loss
    assert evaluated != weighted.evaluate((x, y))["loss"]


def test_a_loader_brings_its_weights(rng):
    x, y, _ = small_data(rng)
    plain, loaded = small_trainer(), small_trainer()
    plain.fit((x, y, SHARES), rng=0, progress=False)
    loaded.fit(DataLoader(x, y, rng=0, weights=SHARES), progress=False)
    assert_close((plain, loaded), 0)
    found, without = (loaded.find_learning_rate(data, steps=3) for data in ((x, y, SHARES), (x, y)))
    assert found.losses[0] != without.losses[0]


def test_a_loss_of_ones_own_need_not_know_of_weights(rng):
    class Own(Loss):
        def forward(self, logits, targets, ctx=None):
            return SoftmaxCrossEntropy().forward(logits, targets, ctx)

    x, y, _ = small_data(rng)
    trainer = small_trainer()
    trainer.loss = Own()
    assert len(trainer.fit((x, y), (x, y), progress=False)) == 1


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        (np.ones(4), ShapeError, r"expected 5 weights, one an image, got an array of shape \(4,\)"),
        ([1, 1, -1, 1, 1], DataError, "expected weights that are finite numbers of at least 0, got -1 at position 2"),
        ([1, 1, 1, np.nan, 1], DataError, "finite numbers of at least 0, got nan at position 3"),
        (list("abcde"), DataError, "finite numbers of at least 0, got a at position 0"),
    ],
)
def test_bad_weights_are_refused(weights, error, text, rng):
    x, y, _ = small_data(rng)
    for call in small_trainer().fit, small_trainer().evaluate:
        with pytest.raises(error, match=text):
            call((x, y, weights))
    with pytest.raises(ShapeError, match=r"expected a pair of arrays \(x, y\), got tuple"):
        small_trainer().fit((x, y, None, None))


def test_the_weights_of_a_loader_are_checked_too(rng):
    x, y, _ = small_data(rng)
    with pytest.raises(DataError, match=r"finite numbers of at least 0, got -1\.0 at position 0"):
        small_trainer().fit(DataLoader(x, y, weights=-np.ones(5)))
