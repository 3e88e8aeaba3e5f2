"""Metrics: by hand, both kinds of targets, batch by batch, beside scikit-learn, and what is refused."""

import json
import math

import numpy as np
import pytest

from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.metrics import (
    F1,
    Accuracy,
    ClassificationReport,
    ConfusionMatrix,
    Precision,
    Recall,
    TopK,
    accuracy,
    classification_report,
    confusion_matrix,
    correct,
    f1,
    precision,
    recall,
    top_k_accuracy,
)

SCORES = np.array([[0.1, 0.7, 0.2], [5.0, -1.0, 4.0], [0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])

# Class 0: 3 images, of which 2 were told; class 1: 1, told; class 2: 1, taken for 0; class 3 occurs nowhere.
TOLD, TRUE = np.array([0, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 2])
MATRIX = [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
ONE_HOT = np.eye(4)[TOLD]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32])
def test_class_indices(dtype):
    assert correct(SCORES, np.array([1, 0, 2, 0], dtype)) == 3
    assert accuracy(SCORES, np.array([1, 0, 2, 0], dtype)) == 0.75


def test_probabilities():
    targets = np.array([[0, 1, 0], [0.2, 0.5, 0.3], [0, 0, 1], [0.3, 0.3, 0.4]])
    assert accuracy(SCORES, targets) == 0.75


def test_outputs_may_be_classes():
    assert accuracy(TOLD, TRUE) == 0.6
    assert accuracy(np.array([True, False]), np.array([1, 1])) == 0.5


def test_the_first_of_equal_scores_counts():
    assert accuracy(np.zeros((2, 3)), np.array([0, 1])) == 0.5
    assert [top_k_accuracy(np.zeros((1, 3)), np.array([1]), k) for k in (1, 2, 3)] == [0, 1, 1]


def test_square_outputs_take_indices_and_probabilities_apart():
    assert accuracy(np.eye(2), np.array([0, 1])) == 1
    assert accuracy(np.eye(2), np.eye(2)[::-1]) == 0


def test_top_k():
    targets = np.array([2, 2, 0, 0])  # second, second, the first of two seconds, third
    assert [top_k_accuracy(SCORES, targets, k) for k in (1, 2, 3)] == [0, 0.75, 1]
    assert top_k_accuracy(SCORES, np.eye(3)[targets], 2) == 0.75


def test_nan_is_never_among_the_first():
    scores = np.array([[np.nan, 1, 0], [0, np.nan, 1], [0, 1, 2]])
    assert top_k_accuracy(scores, np.array([0, 2, 2]), 3) == 1 / 3


def test_top_1_is_accuracy():
    rng = np.random.default_rng(0)
    scores, targets = rng.integers(0, 4, (200, 5)), rng.integers(0, 5, 200)
    assert top_k_accuracy(scores, targets, 1) == accuracy(scores, targets)


def test_the_confusion_matrix():
    assert confusion_matrix(ONE_HOT, TRUE).tolist() == MATRIX
    assert confusion_matrix(TOLD.astype(np.uint64), TRUE, 4).tolist() == MATRIX
    assert confusion_matrix(TOLD, TRUE).shape == (3, 3)
    assert confusion_matrix(np.zeros((0, 2)), np.zeros(0, int)).tolist() == [[0, 0], [0, 0]]


def test_precision():
    assert precision(ONE_HOT, TRUE, average=None).tolist() == [2 / 3, 1 / 2, 0, 0]
    assert precision(ONE_HOT, TRUE) == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert precision(ONE_HOT, TRUE, average="weighted") == pytest.approx((3 * 2 / 3 + 1 / 2) / 5)


def test_recall():
    assert recall(ONE_HOT, TRUE, average=None).tolist() == [2 / 3, 1, 0, 0]
    assert recall(ONE_HOT, TRUE) == pytest.approx((2 / 3 + 1) / 3)
    assert recall(ONE_HOT, TRUE, average="weighted") == pytest.approx(accuracy(ONE_HOT, TRUE))


def test_f1():
    assert f1(ONE_HOT, TRUE, average=None).tolist() == [2 / 3, 2 / 3, 0, 0]
    assert f1(ONE_HOT, TRUE) == pytest.approx(4 / 9)
    assert f1(ONE_HOT, TRUE, average="weighted") == pytest.approx((3 + 1) * 2 / 3 / 5)


def test_zero_division():
    assert precision(ONE_HOT, TRUE, average=None, zero_division=1).tolist() == [2 / 3, 1 / 2, 1, 1]
    assert precision(ONE_HOT, TRUE, zero_division=1) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert precision(ONE_HOT, TRUE, zero_division=math.nan) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert recall(ONE_HOT, TRUE, average=None, zero_division=1).tolist() == [2 / 3, 1, 0, 1]
    assert math.isnan(f1(np.zeros((0, 2)), np.zeros(0, int)))


@pytest.mark.parametrize("average", ["macro", "weighted", None])
@pytest.mark.parametrize("zero", [0.0, 1.0])
def test_scikit_learn_gives_the_same(average, zero):
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for classes in (2, 3, 7):
        scores, true = rng.random((30, classes)), rng.integers(0, max(classes - 1, 1), 30)
        told = np.minimum(scores.argmax(axis=1), classes - 2)  # the last class does not occur
        labels = range(classes) if average is None else None
        settings = {"average": average, "labels": labels, "zero_division": zero}
        for ours, theirs in ((precision, "precision"), (recall, "recall"), (f1, "f1")):
            expected = getattr(reference, f"{theirs}_score")(true, told, **settings)
            got = ours(np.eye(classes)[told], true, average, zero)
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        expected = reference.top_k_accuracy_score(true, scores, k=2, labels=range(classes)) if classes > 2 else 1
        assert top_k_accuracy(scores, true, 2) == pytest.approx(expected)
        np.testing.assert_array_equal(
            confusion_matrix(scores, true), reference.confusion_matrix(true, scores.argmax(1))
        )


METRICS = [
    (Accuracy(), accuracy),
    (TopK(2), lambda outputs, targets: top_k_accuracy(outputs, targets, 2)),
    (ConfusionMatrix(), confusion_matrix),
    (Precision(), precision),
    (Recall("weighted"), lambda outputs, targets: recall(outputs, targets, "weighted")),
    (F1(average=None, zero_division=1), lambda outputs, targets: f1(outputs, targets, None, 1)),
    (Precision(label=2), lambda outputs, targets: precision(outputs, targets, None)[2]),
]


@pytest.mark.parametrize(("metric", "function"), METRICS, ids=lambda value: getattr(value, "name", ""))
def test_batches_give_what_all_outputs_give(metric, function):
    rng = np.random.default_rng(2)
    outputs, targets = rng.random((50, 4)), rng.integers(0, 4, 50)
    for _ in range(2):
        metric.reset()
        for part in (slice(0, 7), slice(7, 7), slice(7, 40), slice(40, 50)):
            metric.update(outputs[part], targets[part])
        np.testing.assert_array_equal(metric.value, function(outputs, targets))


def test_the_names_of_the_metrics():
    names = ["accuracy", "top_2_accuracy", "confusion_matrix", "precision", "weighted_recall", "f1", "precision_2"]
    assert [metric.name for metric, _ in METRICS] == names


def test_before_the_first_batch():
    assert all(math.isnan(metric.value) for metric in (Accuracy(), TopK(), Precision(), F1(label=3)))
    assert ConfusionMatrix().value.shape == (0, 0)
    assert ConfusionMatrix(2).value.tolist() == [[0, 0], [0, 0]]
    assert repr(Accuracy()) == "Accuracy(nan)"


def test_a_refused_batch_is_not_counted():
    for metric in (Accuracy(), TopK(1), ConfusionMatrix(), Recall()):
        metric.update(SCORES, np.array([1, 0, 2, 0]))
        before = np.copy(metric.value)
        with pytest.raises(ShapeError):
            metric.update(SCORES, np.zeros(3, int))
        np.testing.assert_array_equal(metric.value, before)


def test_the_report_as_data():
    report = classification_report(TOLD, TRUE, ["cat", "dog", "cow"])
    assert report.rows[0] == ("cat", 2 / 3, 2 / 3, 2 / 3, 3)
    assert [row.images for row in report.rows] == [3, 1, 1]
    assert (report.accuracy, report.macro.recall) == (0.6, pytest.approx(5 / 9))
    assert report.weighted[1:] == (pytest.approx(0.5), pytest.approx(0.6), pytest.approx(8 / 15), 5)
    data = json.loads(json.dumps(report.as_dict()))
    assert data["classes"][1] == {"name": "dog", "precision": 0.5, "recall": 1.0, "f1": 2 / 3, "images": 1}
    assert set(data) == {"classes", "accuracy", "macro", "weighted"}


def test_the_report_of_a_matrix_is_that_of_its_outputs():
    whole, part = classification_report(ONE_HOT, TRUE), ClassificationReport(np.array(MATRIX))
    assert str(whole) == str(part)
    assert [line.split()[0] for line in str(whole).splitlines()[2:6]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("outputs", "targets", "error", "text"),
    [
        (np.zeros(3), np.zeros(3, int), ShapeError, r"expected outputs of shape \(n, classes\) or .* shape \(3,\)"),
        (np.zeros((3, 2)), np.zeros(4, int), ShapeError, r"expected targets of shape \(3,\) or \(3, 2\), got \(4,\)"),
        (np.zeros(3, int), np.zeros(4, int), ShapeError, r"expected targets of shape \(3,\), got \(4,\)"),
        (np.zeros((3, 2)), np.zeros(3), DTypeError, "expected class indices of an integer dtype, got float64"),
        (np.zeros((0, 2)), np.zeros(0, int), ShapeError, r"expected at least one output, got shape \(0, 2\)"),
    ],
)
def test_errors(outputs, targets, error, text):
    with pytest.raises(error, match=text):
        accuracy(outputs, targets)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: top_k_accuracy(SCORES, TRUE[:4], 4), SettingError, "k: expected at most the number of classes, 3,"),
        (lambda: top_k_accuracy(SCORES, TRUE[:4], 0), SettingError, "k: expected an integer of at least 1, got 0"),
        (lambda: top_k_accuracy(TOLD, TRUE), ShapeError, r"top_k_accuracy: expected outputs of shape \(n, classes\)"),
        (lambda: confusion_matrix(SCORES, np.array([0, 1, 3, 2])), DataError, r"targets in 0..2, got 3 at position 2"),
        (lambda: confusion_matrix(TOLD, TRUE, 1), DataError, r"confusion_matrix: expected outputs in 0..0, got 1"),
        (lambda: confusion_matrix(TOLD, TRUE - 1), DataError, r"targets in 0..1, got -1 at position 0"),
        (lambda: confusion_matrix(SCORES, TRUE[:4], 5), ShapeError, r"outputs of shape \(n, 5\), got \(4, 3\)"),
        (lambda: precision(TOLD, TRUE, "micro"), SettingError, "precision average: expected 'macro', .*, got 'micro'"),
        (lambda: recall(TOLD, TRUE, zero_division="warn"), SettingError, "recall zero_division: expected a number"),
        (lambda: F1("binary"), SettingError, "F1 average: expected"),
        (lambda: Recall(label=3).update(SCORES, TRUE[:4]), SettingError, "Recall label: expected one of the 3 classes"),
        (lambda: Precision().update(TOLD, TRUE), ShapeError, r"Precision: expected outputs of shape \(n, classes\)"),
        (lambda: ConfusionMatrix().update(TOLD, TRUE), ShapeError, "ConfusionMatrix: .* a number of classes given"),
        (lambda: classification_report(TOLD, TRUE, "ab"), DataError, "targets in 0..1, got 2 at position 4"),
        (lambda: classification_report(TOLD[:0], TRUE[:0]), ShapeError, "that counts something, got shape"),
        (lambda: ClassificationReport(np.ones((2, 3))), ShapeError, r"of shape \(2, 2\) that .*, got shape \(2, 3\)"),
    ],
)
def test_more_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_another_number_of_classes_is_refused():
    metric = ConfusionMatrix()
    metric.update(SCORES, TRUE[:4])
    with pytest.raises(ShapeError, match=r"expected outputs of shape \(n, 3\) as before, got \(5, 4\)"):
        metric.update(ONE_HOT, TRUE)
