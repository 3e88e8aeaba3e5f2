import numpy as np
import pytest

from convnet.data import one_hot
from convnet.errors import DataError, DTypeError, SettingError, ShapeError


def test_rows():
    expected = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    result = one_hot(np.array([2, 0, 3]), 4)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_any_integer_type_of_labels(dtype):
    labels = np.arange(5, dtype=dtype)
    np.testing.assert_array_equal(one_hot(labels, 5), np.eye(5))


def test_float64():
    assert one_hot([1], 2, np.float64).dtype == np.float64


def test_labels_are_only_read():
    labels = np.array([1, 0, 1])
    labels.flags.writeable = False
    np.testing.assert_array_equal(one_hot(labels[::2], 2), [[0, 1], [0, 1]])


def test_no_labels():
    assert one_hot(np.empty(0, np.int64), 3).shape == (0, 3)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_label_out_of_range(label):
    with pytest.raises(DataError, match=rf"^one_hot: expected labels in 0\.\.2, got {label} at index 1$"):
        one_hot([0, label, -7], 3)


@pytest.mark.parametrize("shape", [(), (2, 1)])
def test_wrong_rank(shape):
    with pytest.raises(ShapeError, match=r"^one_hot: expected labels of shape \(n,\), got"):
        one_hot(np.zeros(shape, np.int64), 3)


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.str_])
def test_labels_of_another_type(dtype):
    with pytest.raises(DTypeError, match=r"^one_hot: expected labels of an integer type, got"):
        one_hot(np.zeros(2, dtype), 3)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.bool_])
def test_result_of_another_type(dtype):
    with pytest.raises(DTypeError, match=r"^one_hot: expected dtype float32 or float64, got"):
        one_hot([0], 3, dtype)


@pytest.mark.parametrize(
    ("classes", "text"),
    [(0, "at least 1, got 0"), (-1, "at least 1, got -1"), (2.0, "an integer, got 2.0"), ("3", "an integer, got '3'")],
)
def test_wrong_number_of_classes(classes, text):
    with pytest.raises(SettingError, match=f"^one_hot: expected classes to be {text}$"):
        one_hot([0], classes)
