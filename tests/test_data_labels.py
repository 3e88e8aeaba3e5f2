import numpy as np
import pytest

from convnet.data import class_weights, one_hot, stratified_split
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


def test_weights_by_hand():
    weights = class_weights(np.array([2, 0, 2, 2, 1, 2]), 3)
    np.testing.assert_array_equal(weights, [2, 2, 0.5], strict=True)


def test_weighted_counts_are_alike(rng):
    labels = np.concatenate([np.arange(7), rng.integers(7, size=500)])
    weights = class_weights(labels.astype(np.uint8), 7)
    np.testing.assert_allclose(weights * np.bincount(labels), len(labels) / 7, rtol=1e-15)
    assert abs(weights[labels].mean() - 1) < 1e-14


def test_weights_that_are_refused():
    with pytest.raises(DataError, match=r"^class_weights: expected a label of each of 4 classes, got none of class 1$"):
        class_weights([0, 2, 3], 4)
    with pytest.raises(DataError, match=r"^class_weights: expected labels in 0\.\.2, got 3 at index 2$"):
        class_weights([0, 2, 3], 3)
    with pytest.raises(ShapeError, match=r"^class_weights: expected labels of shape \(n,\), got \(1, 2\)$"):
        class_weights([[0, 1]], 2)
    with pytest.raises(DTypeError, match=r"^class_weights: expected labels of an integer type, got float64$"):
        class_weights([0.0, 1.0], 2)
    with pytest.raises(SettingError, match=r"^class_weights: expected classes to be at least 1, got 0$"):
        class_weights([0], 0)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
def test_parts_hold_each_class_alike(rng, fraction):
    counts = np.array([1, 2, 3, 10, 101])
    labels = rng.permutation(np.repeat(np.arange(5), counts))
    first, second = stratified_split(labels, fraction)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(labels.size))
    assert (np.diff(first) > 0).all()
    assert (np.diff(second) > 0).all()
    expected = [0, 1, *(min(max(round(fraction * count), 1), count - 1) for count in (3, 10, 101))]
    np.testing.assert_array_equal(np.bincount(labels[second], minlength=5), expected)


def test_names_are_labels_too():
    names = np.array(["b", "a"] * 10)
    _, second = stratified_split(names, 0.3)
    assert sorted(names[second]) == ["a"] * 3 + ["b"] * 3


def test_the_seed_decides_and_every_image_may_go_to_either_part():
    labels = np.zeros(8, int)
    parts = [tuple(stratified_split(labels, 0.25, seed)[1]) for seed in range(300)]
    assert parts[3] == tuple(stratified_split(labels, 0.25, np.random.default_rng(3))[1])
    counts = np.unique(parts, axis=0, return_counts=True)[1]
    assert len(counts) == 28  # all pairs of eight
    assert counts.max() < 300 / 28 + 6 * np.sqrt(300 / 28)


@pytest.mark.parametrize(
    ("labels", "fraction", "error", "text"),
    [
        ([[0, 1]], 0.5, ShapeError, r"stratified_split: expected labels of shape \(n,\), got \(1, 2\)"),
        ([0, 0], 0, SettingError, "stratified_split fraction: expected a number above 0, got 0"),
        ([0, 0], 1.0, SettingError, r"stratified_split fraction: expected a number in \[0, 1\), got 1.0"),
        ([0, 0], "half", SettingError, r"stratified_split fraction: expected a number in \[0, 1\), got 'half'"),
        ([0, 0], -0.5, SettingError, r"stratified_split fraction: expected a number in \[0, 1\), got -0.5"),
        ([0, 1], 0.5, DataError, "stratified_split: expected a class of two or more images, got 2 labels"),
        ([], 0.5, DataError, "stratified_split: expected a class of two or more images, got 0 labels"),
    ],
)
def test_splits_that_are_refused(labels, fraction, error, text):
    with pytest.raises(error, match=f"^{text}$"):
        stratified_split(labels, fraction)


def test_a_seed_that_is_none():
    with pytest.raises(SettingError, match=r"^stratified_split rng: expected an integer of at least 0, .*, got 'x'$"):
        stratified_split([0, 0], 0.5, "x")
