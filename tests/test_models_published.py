"""Published weights give their published accuracy."""

import tarfile

import numpy as np
import pytest

from convnet import Predictor, Trainer, load
from convnet.losses import SoftmaxCrossEntropy
from convnet.models import resnet20
from convnet.optim import SGD

RECORD = 1 + 3 * 32 * 32


@pytest.fixture(scope="module")
def cifar10_test(convnet_data):
    """The first thousand test images and their labels, from the published binary file in the archive."""
    archive = convnet_data / "cifar10" / "cifar-10-binary.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive, "r:xz") as files:
        records = files.extractfile("cifar-10-batches-bin/test_batch.bin").read(1000 * RECORD)
    records = np.frombuffer(records, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def test_resnet20_on_cifar10(cifar10_test, convnet_data):
    """Of all 10,000 images 9,173 are told right, the published 91.73 %; of the first thousand 915.

    The two largest logits of an image differ by at least 0.006: rounding decides none of them.
    """
    images, labels = cifar10_test
    mean, std = (np.float32(values).reshape(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x = (images / np.float32(255) - mean) / std
    model = load(resnet20(), convnet_data / "weights" / "resnet20_cifar10.safetensors")
    logits = Predictor(model, (3, 32, 32))(x)
    assert (logits.argmax(axis=1) == labels).sum() == 915
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1))
    np.testing.assert_array_equal(trainer.predict(x[:100]).argmax(axis=1), logits[:100].argmax(axis=1))
