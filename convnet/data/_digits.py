"""The digits that ship inside the package."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convnet.data._types import DataSet


def digits() -> DataSet:
    """Load 5,000 handwritten digits that need no download.

    They come from the training set of MNIST, 500 of each class, in an order shuffled once and for all; 4,000 are for
    training (400 of each class), 1,000 for testing (100 of each). ``digits.txt``, beside the data in the package, tells
    their origin and licence.

    Returns
    -------
    (x, y), (x_test, y_test)
        x : (4000, 1, 28, 28), uint8; 0 is the background, 255 full ink
        y : (4000,), int64; the digits 0 to 9
        x_test : (1000, 1, 28, 28), uint8
        y_test : (1000,), int64

        New arrays at every call, free to be changed.

    See Also
    --------
    mnist : all of it. Do not test on `mnist`'s training images what was trained here: these are among them.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = digits()
    >>> x.shape, y.shape, x_test.shape, y_test.shape
    ((4000, 1, 28, 28), (4000,), (1000, 1, 28, 28), (1000,))
    >>> y[:10]
    array([4, 3, 9, 9, 0, 9, 6, 5, 7, 7])
    """
    # By path: importlib.resources would add 15 ms to the import, and a package with compiled modules is never zipped.
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
        train, test = (
            (_images(arrays["places" + part], arrays["ink" + part]), arrays["y" + part].astype(np.int64))
            for part in ("", "_test")
        )
    return train, test


def ink_order(inked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Sort the pixels with ink of images (n, 1, 28, 28) by how many around them have ink, else as they come.

    Pixels at the edge of a stroke are grey, those inside nearly black: so sorted they are compressed a seventh better.
    """
    rows = np.pad(inked, [(0, 0), (0, 0), (1, 1), (0, 0)]).view(np.uint8)
    threes = np.pad(rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:], [(0, 0), (0, 0), (0, 0), (1, 1)])
    counts = threes[..., :-2] + threes[..., 1:-1] + threes[..., 2:]
    return np.argsort(counts[inked], kind="stable")


def _images(places: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Images whose pixels with ink are the bits that are set in ``places``."""
    inked = np.unpackbits(places).view(bool).reshape(-1, 1, 28, 28)
    sorted_back = np.empty_like(ink)
    sorted_back[ink_order(inked)] = ink
    pixels = np.zeros(inked.shape, np.uint8)
    pixels[inked] = sorted_back
    return pixels
