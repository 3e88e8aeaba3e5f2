"""Accuracy: by hand, both kinds of targets, and what is refused."""

import numpy as np
import pytest

from convnet.errors import DTypeError, ShapeError
from convnet.metrics import accuracy, correct

SCORES = np.array([[0.1, 0.7, 0.2], [5.0, -1.0, 4.0], [0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32])
def test_class_indices(dtype):
    assert correct(SCORES, np.array([1, 0, 2, 0], dtype)) == 3
    assert accuracy(SCORES, np.array([1, 0, 2, 0], dtype)) == 0.75


def test_probabilities():
    targets = np.array([[0, 1, 0], [0.2, 0.5, 0.3], [0, 0, 1], [0.3, 0.3, 0.4]])
    assert accuracy(SCORES, targets) == 0.75


def test_the_first_of_equal_scores_counts():
    assert accuracy(np.zeros((2, 3)), np.array([0, 1])) == 0.5


def test_square_outputs_take_indices_and_probabilities_apart():
    assert accuracy(np.eye(2), np.array([0, 1])) == 1
    assert accuracy(np.eye(2), np.eye(2)[::-1]) == 0


@pytest.mark.parametrize(
    ("outputs", "targets", "error", "text"),
    [
        (np.zeros(3), np.zeros(3, int), ShapeError, r"expected outputs of shape \(n, classes\), got \(3,\)"),
        (np.zeros((3, 2)), np.zeros(4, int), ShapeError, r"expected targets of shape \(3,\) or \(3, 2\), got \(4,\)"),
        (np.zeros((3, 2)), np.zeros(3), DTypeError, "expected class indices of an integer dtype, got float64"),
        (np.zeros((0, 2)), np.zeros(0, int), ShapeError, r"expected at least one output, got shape \(0, 2\)"),
    ],
)
def test_errors(outputs, targets, error, text):
    with pytest.raises(error, match=text):
        accuracy(outputs, targets)
