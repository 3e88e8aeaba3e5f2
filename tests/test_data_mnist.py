import gzip

import numpy as np
import pytest
from idx_files import idx_bytes, write_mnist, write_split

from convnet.data import fashion_mnist, mnist
from convnet.errors import DataError

BOTH = pytest.mark.parametrize(
    ("load", "name"), [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")], ids=["mnist", "fashion_mnist"]
)
IMAGES = np.zeros((4, 28, 28), np.uint8)
LABELS = np.arange(4, dtype=np.uint8)


def assert_same(result, written):
    for (x, y), (images, labels) in zip(result, written, strict=True):
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(x, images[:, np.newaxis])
        np.testing.assert_array_equal(y, labels)


@BOTH
def test_folder_given(tmp_path, load, name):
    written = write_mnist(tmp_path)
    assert_same(load(tmp_path), written)
    assert_same(load(str(tmp_path)), written)


def test_unpacked_files(tmp_path):
    written = write_mnist(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert_same(mnist(tmp_path), written)


def test_arrays_are_new_and_writable(tmp_path):
    written = write_mnist(tmp_path)
    for split in mnist(tmp_path):
        for array in split:
            array.fill(1)
    assert_same(mnist(tmp_path), written)


@pytest.mark.parametrize(
    ("load", "subfolder"), [(mnist, "mnist"), (fashion_mnist, "fashion-mnist"), (fashion_mnist, "fashion_mnist")]
)
def test_folder_below_convnet_data(tmp_path, monkeypatch, load, subfolder):
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    written = write_mnist(tmp_path / subfolder)
    assert_same(load(), written)


def test_given_folder_comes_before_convnet_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    write_mnist(tmp_path / "mnist", train=2)
    written = write_mnist(tmp_path / "here", train=5)
    assert_same(mnist(tmp_path / "here"), written)


@BOTH
@pytest.mark.parametrize("missing", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_missing_file(tmp_path, load, name, missing):
    write_mnist(tmp_path)
    (tmp_path / f"{missing}.gz").unlink()
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{name}: expected a file {missing}.gz or {missing} in {tmp_path}, got neither"


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"no-such-folder, got neither$"):
        mnist(tmp_path / "no-such-folder")


def test_incomplete_folder_below_convnet_data_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"^mnist: expected a file train-images-idx3-ubyte\.gz or"):
        mnist()


@BOTH
@pytest.mark.parametrize(
    ("images", "got"),
    [
        (LABELS, r"uint8 of shape \(4,\)"),
        (np.zeros((4, 28, 27), np.uint8), r"uint8 of shape \(4, 28, 27\)"),
        (np.zeros((4, 784), np.uint8), r"uint8 of shape \(4, 784\)"),
        (np.zeros((4, 28, 28), np.int32), r"int32 of shape \(4, 28, 28\)"),
    ],
    ids=["labels", "another size", "flat", "another type"],
)
def test_images_file_with_something_else(tmp_path, load, name, images, got):
    write_split(tmp_path, "train", images, LABELS)
    expected = f"^{name}: expected images, uint8 of shape \\(n, 28, 28\\), in .*train-images-idx3-ubyte.gz, got {got}$"
    with pytest.raises(DataError, match=expected):
        load(tmp_path)


@pytest.mark.parametrize(
    ("labels", "got"),
    [(IMAGES, r"uint8 of shape \(4, 28, 28\)"), (LABELS.astype(np.int32), r"int32 of shape \(4,\)")],
    ids=["images", "another type"],
)
def test_labels_file_with_something_else(tmp_path, labels, got):
    write_split(tmp_path, "train", IMAGES, labels)
    expected = rf"^mnist: expected labels, uint8 of shape \(n,\), in .*train-labels-idx1-ubyte.gz, got {got}$"
    with pytest.raises(DataError, match=expected):
        mnist(tmp_path)


@pytest.mark.parametrize("count", [3, 5])
def test_as_many_labels_as_images(tmp_path, count):
    write_split(tmp_path, "train", IMAGES, np.zeros(count, np.uint8))
    expected = rf"^mnist: expected 4 labels in .*train-labels-idx1-ubyte.gz, one for each image, got {count}$"
    with pytest.raises(DataError, match=expected):
        mnist(tmp_path)


def test_label_out_of_range(tmp_path):
    write_split(tmp_path, "train", IMAGES, np.array([0, 9, 10, 255], np.uint8))
    with pytest.raises(DataError, match=r"^mnist: expected labels in 0\.\.9 in .*ubyte.gz, got 10 at index 2$"):
        mnist(tmp_path)


def test_errors_in_the_test_files_are_found_too(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)[:-1]))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz: expected 3136 bytes .*, got 3135$"):
        mnist(tmp_path)
