import math

import numpy as np
import pytest
from gradcheck import check_loss

from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.layers import Context
from convnet.losses import MeanSquaredError, SoftmaxCrossEntropy

WEIGHTS = (0.5, 2.0, 0.0, 1.0)
SETTINGS = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "weighted": {"class_weights": WEIGHTS},
    "smoothed-weighted": {"label_smoothing": 0.1, "class_weights": WEIGHTS},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def batch(rng, n=5, classes=4):
    logits = rng.standard_normal((n, classes)) * 3
    labels = rng.integers(0, classes, n)
    probabilities = rng.random((n, classes))
    return logits, labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def scalar_cross_entropy(logits, targets, label_smoothing=0.0, class_weights=None):
    """The definition, one number at a time."""
    classes = len(logits[0])
    weights = [1.0] * classes if class_weights is None else class_weights
    total = numerator = 0.0
    for z, target in zip(logits.tolist(), targets.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(v) for v in z))
        row = [float(c == target) for c in range(classes)] if targets.ndim == 1 else target
        for c in range(classes):
            t = row[c] * (1 - label_smoothing) + label_smoothing / classes
            numerator += weights[c] * t * (log_sum - z[c])
        total += weights[target] if targets.ndim == 1 else 1.0
    return numerator / total


@every_setting
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_cross_entropy_is_its_definition(settings, kind, rng):
    logits, labels, probabilities = batch(rng)
    targets = labels if kind == "labels" else probabilities
    value = SoftmaxCrossEntropy(**settings).forward(logits, targets)
    # 20 terms of at most 20 each, a handful of roundings a term
    assert value == pytest.approx(scalar_cross_entropy(logits, targets, **settings), rel=1e-13)


@every_setting
@pytest.mark.parametrize("kind", ["labels", "probabilities", "unnormalised"])
def test_cross_entropy_gradient(settings, kind, rng):
    logits, labels, probabilities = batch(rng)
    targets = {"labels": labels, "probabilities": probabilities, "unnormalised": probabilities * 3}[kind]
    check_loss(SoftmaxCrossEntropy(**settings), logits, targets, rng)


@every_setting
def test_cross_entropy_agrees_with_torch(settings, rng, dtype):
    torch = pytest.importorskip("torch")
    logits, labels, probabilities = (a.astype(dtype) if a.dtype.kind == "f" else a for a in batch(rng))
    for targets in (labels, probabilities):
        z = torch.tensor(logits, requires_grad=True)
        weight = torch.tensor(settings["class_weights"]).to(z.dtype) if "class_weights" in settings else None
        smoothing = settings.get("label_smoothing", 0.0)
        expected = torch.nn.functional.cross_entropy(z, torch.tensor(targets), weight=weight, label_smoothing=smoothing)
        expected.backward()
        ctx, loss = Context(), SoftmaxCrossEntropy(**settings)
        tolerance = 32 * float(np.finfo(dtype).eps)  # sums of at most 20 terms, each known to a few roundings
        assert loss.forward(logits, targets, ctx) == pytest.approx(expected.item(), rel=tolerance)
        np.testing.assert_allclose(loss.backward(ctx), z.grad.numpy(), rtol=0, atol=tolerance)


@every_setting
def test_huge_logits_do_not_overflow(settings, dtype):
    ctx, loss = Context(), SoftmaxCrossEntropy(**settings)
    assert math.isfinite(loss.forward(np.array([[1e4, -1e4, 0, 0]], dtype), np.array([1]), ctx))
    assert np.isfinite(loss.backward(ctx)).all()


def test_mean_squared_error_by_hand(dtype):
    ctx, loss = Context(), MeanSquaredError()
    assert loss.forward(np.array([[1, 2], [3, 4]], dtype), np.array([[1, 0], [0, 4]], dtype), ctx) == 13 / 4
    np.testing.assert_array_equal(loss.backward(ctx), np.array([[0, 1], [1.5, 0]], dtype), strict=True)


def test_mean_squared_error_takes_labels(rng):
    logits, labels, _ = batch(rng)
    expected = MeanSquaredError().forward(logits, np.eye(4)[labels])
    assert MeanSquaredError().forward(logits, labels) == expected


@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 3, 4, 5)])
def test_mean_squared_error_gradient(shape, rng):
    check_loss(MeanSquaredError(), rng.standard_normal(shape), rng.standard_normal(shape), rng)


LOSSES = [*(SoftmaxCrossEntropy(**settings) for settings in SETTINGS.values()), MeanSquaredError()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=[*SETTINGS, "squared"])


@every_loss
def test_dtypes_and_read_only_arrays(loss, dtype, rng):
    logits, labels, probabilities = batch(rng)
    logits = logits.astype(dtype)
    for targets in (labels.astype(np.uint8), probabilities):
        for array in (logits, targets):
            array.flags.writeable = False
        ctx = Context()
        assert type(loss.forward(logits, targets, ctx)) is float
        assert loss.backward(ctx).dtype == dtype
        assert loss.backward(ctx).shape == logits.shape


@every_loss
def test_an_empty_batch_has_loss_zero(loss, dtype):
    ctx = Context()
    assert loss.forward(np.zeros((0, 4), dtype), np.zeros(0, np.int64), ctx) == 0
    assert loss.backward(ctx).shape == (0, 4)


@every_loss
def test_bad_targets_are_refused(loss):
    logits, who = np.zeros((3, 4), np.float32), type(loss).__name__
    with pytest.raises(DataError, match=rf"{who}: expected labels in 0\.\.3, got 4 at position 1"):
        loss.forward(logits, np.array([0, 4, -1]))
    with pytest.raises(DataError, match=rf"{who}: expected labels in 0\.\.3, got -1 at position 2"):
        loss.forward(logits, np.array([0, 3, -1]))
    expected = rf"{who}: expected class indices of shape \(3,\) or numbers of shape \(3, 4\), got"
    with pytest.raises(ShapeError, match=rf"{expected} int64 of shape \(2,\)"):
        loss.forward(logits, np.array([0, 1]))
    with pytest.raises(ShapeError, match=rf"{expected} float64 of shape \(3,\)"):
        loss.forward(logits, np.zeros(3))
    with pytest.raises(DTypeError, match=f"{who}: expected targets of dtype float32 or float64, got int64"):
        loss.forward(logits, np.zeros((3, 4), np.int64))
    with pytest.raises(DTypeError, match=f"{who}: expected logits of dtype float32 or float64, got int64"):
        loss.forward(np.zeros((3, 4), np.int64), np.zeros(3, np.int64))


def test_bad_settings_are_refused():
    with pytest.raises(SettingError, match=r"label_smoothing: expected a number in \[0, 1\), got nan"):
        SoftmaxCrossEntropy(label_smoothing=math.nan)
    for weights in ([1, -1], [1, math.nan], [[1, 2]]):
        with pytest.raises(SettingError, match="class_weights: expected one finite number of at least 0 a class, got"):
            SoftmaxCrossEntropy(class_weights=weights)
    with pytest.raises(ShapeError, match="SoftmaxCrossEntropy: expected 4 class weights, got"):
        SoftmaxCrossEntropy(class_weights=[1, 2]).forward(np.zeros((3, 4)), np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match=r"expected logits of shape \(n, classes\), got \(3,\)"):
        SoftmaxCrossEntropy().forward(np.zeros(3), np.zeros(3))


def test_a_batch_of_ignored_classes_only_has_loss_zero():
    loss = SoftmaxCrossEntropy(class_weights=WEIGHTS)
    assert loss.forward(np.ones((2, 4)), np.array([2, 2])) == 0
