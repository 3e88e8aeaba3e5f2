"""CIFAR-10 in small: six files of a few images, as a folder and as archives, taken for the published ones."""

import hashlib
import tarfile

import numpy as np
import pytest

from convnet.data import _cifar10

IMAGES = 4
NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
FOLDER = "cifar-10-batches-bin"


class SmallCifar10:
    """The files' contents by name, and what they stand for: ``x, y`` of (n, 3, 32, 32) and (n,)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.y = rng.integers(0, 10, 6 * IMAGES, np.uint8)
        self.x = rng.integers(0, 256, (6 * IMAGES, 3, 32, 32), np.uint8)
        self.contents = {}
        for i, name in enumerate(NAMES):
            part = range(i * IMAGES, (i + 1) * IMAGES)
            self.contents[name] = b"".join(bytes([self.y[k]]) + self.x[k].tobytes() for k in part)

    def write_folder(self, parent):
        folder = parent / FOLDER
        folder.mkdir(parents=True)
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        return folder

    def write_archive(self, parent, suffix="gz", names=NAMES):
        """Pack the files, of ``names`` only, last one first."""
        folder = self.write_folder(parent / "source")
        archive = parent / f"cifar-10-binary.tar.{suffix}"
        with tarfile.open(archive, f"w:{suffix}") as tar:
            tar.add(folder, FOLDER, recursive=False)
            for name in reversed(names):
                tar.add(folder / name, f"{FOLDER}/{name}")
        return archive

    def check(self, data):
        """Assert that ``data`` is what the files stand for."""
        for (x, y), part in zip(data, (slice(None, 5 * IMAGES), slice(5 * IMAGES, None)), strict=True):
            np.testing.assert_array_equal(x, self.x[part], strict=True)
            np.testing.assert_array_equal(y, self.y[part].astype(np.int64), strict=True)
            assert x.flags.writeable
            assert y.flags.writeable


@pytest.fixture
def small_cifar10(monkeypatch):
    small = SmallCifar10()
    monkeypatch.setattr(_cifar10, "_IMAGES", IMAGES)
    monkeypatch.setattr(
        _cifar10, "_MD5", {name: hashlib.md5(content).hexdigest() for name, content in small.contents.items()}
    )
    return small
