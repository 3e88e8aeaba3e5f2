"""The published files of MNIST, Fashion-MNIST and CIFAR-10, where this machine has them."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from convnet.data import cifar10, digits, fashion_mnist, mnist

SHAPES = [((60000, 1, 28, 28), (60000,)), ((10000, 1, 28, 28), (10000,))]


@pytest.fixture(scope="module")
def mnist_data(convnet_data):
    if not (convnet_data / "mnist").is_dir():
        pytest.skip("$CONVNET_DATA has no folder mnist")
    return mnist()


@pytest.fixture(scope="module")
def fashion_mnist_data():
    root = os.environ.get("CONVNET_DATA", "no-such-folder")
    folders = [Path(root, "fashion-mnist"), Path(root, "fashion_mnist"), Path("/usr/share/datasets/fashion-mnist")]
    if not any(folder.is_dir() for folder in folders):
        pytest.skip("neither $CONVNET_DATA nor Debian's dataset-fashion-mnist has the files of Fashion-MNIST")
    return fashion_mnist()


def assert_published(data, sha256):
    assert [(x.shape, y.shape) for x, y in data] == SHAPES
    assert [np.unique(y).tolist() for _, y in data] == [list(range(10))] * 2
    digest = hashlib.sha256()
    for x, y in data:
        digest.update(x.tobytes() + y.astype(np.uint8).tobytes())
    assert digest.hexdigest() == sha256


def test_mnist(mnist_data):
    assert_published(mnist_data, "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16")


def test_fashion_mnist(fashion_mnist_data):
    assert_published(fashion_mnist_data, "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f")


def test_digits_are_a_part_of_mnists_training_set(mnist_data):
    (images, labels), (test_images, _) = mnist_data
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for x, y in digits():
        assert [label_of[image.tobytes()] for image in x] == y.tolist()
        assert not {image.tobytes() for image in x} & {image.tobytes() for image in test_images}


def test_cifar10(convnet_data):
    if not any((convnet_data / name).is_dir() for name in ("cifar10", "cifar-10")):
        pytest.skip("$CONVNET_DATA has no folder cifar10")
    (x, y), (x_test, y_test) = cifar10()
    assert (x.shape, x_test.shape) == ((50000, 3, 32, 32), (10000, 3, 32, 32))
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    assert np.bincount(y).tolist() == [5000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    # The means and deviations that everybody writes down for the training images.
    np.testing.assert_allclose(x.mean((0, 2, 3)) / 255, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(x.std((0, 2, 3)) / 255, [0.2470, 0.2435, 0.2616], atol=5e-5)
    assert y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]  # frog, truck, truck, deer, ...
