import math

import numpy as np
import pytest
from gradcheck import check_loss

from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.layers import Context
from convnet.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy

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


@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 3, 4, 5)])
def test_mean_squared_error_agrees_with_torch(shape, rng, dtype):
    torch = pytest.importorskip("torch")
    outputs, targets = rng.standard_normal((2, *shape)).astype(dtype)
    leaf = torch.tensor(outputs, requires_grad=True)
    expected = torch.nn.functional.mse_loss(leaf, torch.tensor(targets))
    expected.backward()
    ctx, loss, eps = Context(), MeanSquaredError(), float(np.finfo(dtype).eps)
    # a sum of at most 120 squares, each of a rounded difference: 120 + 3 roundings of half an eps
    assert loss.forward(outputs, targets, ctx) == pytest.approx(expected.item(), rel=62 * eps)
    np.testing.assert_allclose(loss.backward(ctx), leaf.grad.numpy(), rtol=4 * eps)


# ---- binary cross-entropy --------------------------------------------------------------------------------------------

POS_WEIGHTS = {"plain": None, "one": 2.5, "classes": (0.5, 2.0, 0.0, 1.0)}
every_pos_weight = pytest.mark.parametrize("pos_weight", POS_WEIGHTS.values(), ids=POS_WEIGHTS)
SHAPES = [(5, 4), (3, 4, 6, 5), (0, 4)]


def scalar_binary_cross_entropy(logits, targets, pos_weight=None):
    """The definition, one number at a time; classes are axis 1."""
    terms = []
    for index in np.ndindex(logits.shape):
        z, t = float(logits[index]), float(targets[index])
        weight = 1.0 if pos_weight is None else np.broadcast_to(pos_weight, logits.shape[1])[index[1]]
        p = 1 / (1 + math.exp(-z))
        terms.append(-(weight * t * math.log(p) + (1 - t) * math.log1p(-p)))
    return math.fsum(terms) / max(len(terms), 1)


@every_pos_weight
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_binary_cross_entropy_is_its_definition(shape, pos_weight, rng):
    logits, targets = rng.standard_normal(shape) * 3, rng.random(shape)
    value = BinaryCrossEntropy(pos_weight).forward(logits, targets)
    # 1 - p of the definition loses up to exp(9) / 2 of an eps
    assert value == pytest.approx(scalar_binary_cross_entropy(logits, targets, pos_weight), rel=1e-12)


@every_pos_weight
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_binary_cross_entropy_gradient(shape, pos_weight, rng):
    check_loss(BinaryCrossEntropy(pos_weight), rng.standard_normal(shape) * 3, rng.random(shape), rng)


@every_pos_weight
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_binary_cross_entropy_agrees_with_torch(shape, pos_weight, rng, dtype):
    torch = pytest.importorskip("torch")
    logits = (rng.standard_normal(shape) * 5).astype(dtype)
    targets = rng.random(shape).astype(dtype)
    targets[0], targets[-1] = 0, 1
    z = torch.tensor(logits, requires_grad=True)
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=z.dtype).reshape(-1, *[1] * (z.ndim - 2))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(targets), pos_weight=weight)
    expected.backward()
    ctx, loss, eps = Context(), BinaryCrossEntropy(pos_weight), float(np.finfo(dtype).eps)
    # each term is known to a few roundings on both sides, and torch adds up to 360 of them in the type of the logits
    assert loss.forward(logits, targets, ctx) == pytest.approx(expected.item(), rel=64 * eps)
    np.testing.assert_allclose(loss.backward(ctx), z.grad.numpy(), rtol=0, atol=16 * eps * 2.5 / logits.size)


def test_binary_cross_entropy_takes_labels(rng):
    logits, labels, _ = batch(rng)
    assert BinaryCrossEntropy().forward(logits, labels) == BinaryCrossEntropy().forward(logits, np.eye(4)[labels])


def test_logits_of_any_number_of_axes(dtype):
    for shape in (), (3,), (2, 1, 1, 1, 2):
        logits, targets, ctx = np.zeros(shape, dtype), np.ones(shape, dtype), Context()
        assert BinaryCrossEntropy(2.0).forward(logits, targets, ctx) == pytest.approx(2 * math.log(2), rel=1e-6)
        np.testing.assert_array_equal(BinaryCrossEntropy().backward(ctx), np.full(shape, -1 / logits.size, dtype))


@every_pos_weight
def test_huge_binary_logits_do_not_overflow(pos_weight, dtype):
    logits, targets = np.array([[1e4, -1e4, 3e38, 1e4]], dtype), np.array([[1, 0, 0.5, 0]], dtype)
    ctx, loss = Context(), BinaryCrossEntropy(pos_weight)
    value = loss.forward(logits, targets, ctx)
    assert value == pytest.approx((0.5 * float(logits[0, 2]) + 1e4) / 4, rel=1e-6)
    np.testing.assert_array_equal(loss.backward(ctx)[:, [0, 1, 3]], np.array([[0, 0, 0.25]], dtype))


def test_a_confident_answer_keeps_its_small_loss_and_gradient(dtype):
    ctx, eps, small = Context(), float(np.finfo(dtype).eps), math.exp(-30)
    for z, t in (30, 1), (-30, 0):
        value = BinaryCrossEntropy().forward(np.array([[z]], dtype), np.array([[t]], dtype), ctx)
        assert value == pytest.approx(math.log1p(small), rel=4 * eps, abs=0)
        assert abs(BinaryCrossEntropy().backward(ctx)[0, 0]) == pytest.approx(small / (1 + small), rel=4 * eps, abs=0)


def test_nan_is_not_hidden(dtype):
    logits = np.array([[0, np.nan]], dtype)
    assert math.isnan(BinaryCrossEntropy().forward(logits, np.ones((1, 2), dtype)))


@pytest.mark.parametrize("bad", [1.5, -0.25, np.nan, np.inf])
def test_targets_that_are_no_probabilities(bad):
    targets = np.ones((3, 2, 2))
    targets[1, 0, 1] = targets[2] = bad
    with pytest.raises(
        DataError, match=rf"BinaryCrossEntropy: expected targets from 0 to 1, got {bad} at position \(1, 0, 1\)"
    ):
        BinaryCrossEntropy().forward(np.zeros((3, 2, 2)), targets)


def test_bad_pos_weights_are_refused():
    for weights in (-1, math.nan, [1, math.inf], [[1, 2]], "a", True, [[1], [1, 2]]):
        with pytest.raises(
            SettingError, match="pos_weight: expected a finite number of at least 0, or one a class, got"
        ):
            BinaryCrossEntropy(weights)
    for shape in (3, 4), (3,):
        with pytest.raises(
            ShapeError, match=r"BinaryCrossEntropy: expected logits of shape \(n, 2, ...\), one class a pos_weight, got"
        ):
            BinaryCrossEntropy([1, 2]).forward(np.zeros(shape), np.zeros(shape))


# ---- all of them -----------------------------------------------------------------------------------------------------

LOSSES = [
    *(SoftmaxCrossEntropy(**settings) for settings in SETTINGS.values()),
    MeanSquaredError(),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(WEIGHTS),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=[*SETTINGS, "squared", "binary", "binary-weighted"])


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
    for weights in ([1, -1], [1, math.nan], [[1, 2]], "ab", {0: 1}, ["a", 1], [[1], [1, 2]]):
        with pytest.raises(SettingError, match="class_weights: expected one finite number of at least 0 a class, got"):
            SoftmaxCrossEntropy(class_weights=weights)
    with pytest.raises(ShapeError, match="SoftmaxCrossEntropy: expected 4 class weights, got"):
        SoftmaxCrossEntropy(class_weights=[1, 2]).forward(np.zeros((3, 4)), np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match=r"expected logits of shape \(n, classes\), got \(3,\)"):
        SoftmaxCrossEntropy().forward(np.zeros(3), np.zeros(3))


def test_a_batch_of_ignored_classes_only_has_loss_zero():
    loss = SoftmaxCrossEntropy(class_weights=WEIGHTS)
    assert loss.forward(np.ones((2, 4)), np.array([2, 2])) == 0
