"""MNIST, and Fashion-MNIST, which has the same files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.data._idx import read_idx
from convnet.data._source import Source
from convnet.data._types import DataSet, Split
from convnet.errors import DataError

_CLASSES = 10
_SIZE = (28, 28)

_MNIST = Source(
    name="mnist",
    below_convnet_data=("mnist",),
    system_folders=(),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    hashes={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)

_FASHION_MNIST = Source(
    name="fashion-mnist",
    below_convnet_data=("fashion-mnist", "fashion_mnist"),
    # Debian's package dataset-fashion-mnist.
    system_folders=("/usr/share/datasets/fashion-mnist",),
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    hashes={
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    mirrors: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> DataSet:
    """Load MNIST: 70,000 handwritten digits, grey, 28 by 28 pixels.

    The files are looked for in ``$CONVNET_DATA/mnist``; where there is no such folder they are downloaded once
    (11 MB; needs ``pip install "convnet-cpu[data]"``), their SHA-256 is verified, and they are kept in the cache.

    Parameters
    ----------
    folder : path, optional
        Folder that has the four files ``{train,t10k}-{images-idx3,labels-idx1}-ubyte``, with or without ``.gz``.
        Nothing is downloaded then.
    mirrors : str or sequence of str, optional
        Base URLs to download from, tried in this order, instead of the public ones.
    cache : path, optional
        Folder for downloaded data sets instead of the operating system's cache folder for "convnet".

    Returns
    -------
    (x, y), (x_test, y_test)
        x : (60000, 1, 28, 28), uint8; 0 is the background, 255 full ink
        y : (60000,), int64; the digits 0 to 9
        x_test : (10000, 1, 28, 28), uint8
        y_test : (10000,), int64

        New arrays at every call, free to be changed. A folder with fewer images gives fewer.

    Raises
    ------
    DataError
        If a file is missing, damaged or mislabelled, images and labels do not match, or the download fails.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86(11), 1998, doi:10.1109/5.726791.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = mnist()  # doctest: +SKIP
    """
    return _load(_MNIST, folder, mirrors, cache)


def fashion_mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    mirrors: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> DataSet:
    """Load Fashion-MNIST: 70,000 pictures of clothes, grey, 28 by 28 pixels; the files are of MNIST's format.

    The files are looked for in ``$CONVNET_DATA/fashion-mnist``, ``$CONVNET_DATA/fashion_mnist`` and
    ``/usr/share/datasets/fashion-mnist`` (Debian's package dataset-fashion-mnist); where there is no such folder
    they are downloaded once (31 MB) as by `mnist`.

    Parameters
    ----------
    folder, mirrors, cache
        As in `mnist`.

    Returns
    -------
    (x, y), (x_test, y_test)
        x : (60000, 1, 28, 28), uint8
        y : (60000,), int64; T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot
        x_test : (10000, 1, 28, 28), uint8
        y_test : (10000,), int64

        New arrays at every call, free to be changed. A folder with fewer images gives fewer.

    Raises
    ------
    DataError
        If a file is missing, damaged or mislabelled, images and labels do not match, or the download fails.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = fashion_mnist()  # doctest: +SKIP
    """
    return _load(_FASHION_MNIST, folder, mirrors, cache)


def _load(
    source: Source,
    folder: str | os.PathLike[str] | None,
    mirrors: str | Sequence[str] | None,
    cache: str | os.PathLike[str] | None,
) -> DataSet:
    where = source.find(folder, mirrors, cache)
    return _read_split(source.name, where, "train"), _read_split(source.name, where, "t10k")


def _read_split(name: str, folder: Path, part: str) -> Split:
    images_path = _find(name, folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(name, folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != _SIZE:
        raise DataError(
            f"{name}: expected images, uint8 of shape (n, 28, 28), in {images_path}, "
            f"got {images.dtype} of shape {images.shape}"
        )
    _check_labels(name, labels_path, labels, len(images))
    return images[:, np.newaxis], labels.astype(np.int64)


def _find(name: str, folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise DataError(f"{name}: expected a file {stem}.gz or {stem} in {folder}, got neither")


def _check_labels(name: str, path: Path, labels: NDArray[Any], count: int) -> None:
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(
            f"{name}: expected labels, uint8 of shape (n,), in {path}, got {labels.dtype} of shape {labels.shape}"
        )
    if len(labels) != count:
        raise DataError(f"{name}: expected {count} labels in {path}, one for each image, got {len(labels)}")
    outside = np.flatnonzero(labels >= _CLASSES)
    if outside.size:
        first = outside[0]
        raise DataError(f"{name}: expected labels in 0..{_CLASSES - 1} in {path}, got {labels[first]} at index {first}")
