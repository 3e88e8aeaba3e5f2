"""CIFAR-10 in its binary version."""

import hashlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from convnet.data._source import Source
from convnet.data._types import DataSet, Split
from convnet.errors import DataError

_SOURCE = Source(
    name="cifar10",
    below_convnet_data=("cifar10", "cifar-10"),
    system_folders=(),
    mirrors=(
        "https://www.cs.toronto.edu/~kriz",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10",
    ),
    hashes={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
)
_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "cifar-10-binary.tar*"

_IMAGES = 10000
"""In each of the six files, which hold nothing else."""

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
"""Bytes of an image: the label, then the pixels in the order of `_SHAPE`."""

_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}


def cifar10(
    folder: str | os.PathLike[str] | None = None,
    *,
    mirrors: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> DataSet:
    """Load CIFAR-10: 60,000 photographs of ten kinds of things, in colour, 32 by 32 pixels.

    The files are looked for in ``$CONVNET_DATA/cifar10`` and ``$CONVNET_DATA/cifar-10``; where there is no such folder
    the archive ``cifar-10-binary.tar.gz`` is downloaded once (162 MB; needs ``pip install "convnet-cpu[data]"``), its
    published MD5 is verified, and it is kept in the cache. Archives are read as they are, and nothing is unpacked to
    the disk; the unpacked folder loads faster, in well under a second. The MD5 of each of the six files inside is
    verified in either case.

    Parameters
    ----------
    folder : path, optional
        The unpacked folder ``cifar-10-batches-bin``, a folder that has it or an archive ``cifar-10-binary.tar.*`` (gz,
        bz2, xz or plain), or an archive of any name. Nothing is downloaded then.
    mirrors : str or sequence of str, optional
        Base URLs to download from, tried in this order, instead of the public ones.
    cache : path, optional
        Folder for downloaded data sets instead of the operating system's cache folder for "convnet".

    Returns
    -------
    (x, y), (x_test, y_test)
        x : (50000, 3, 32, 32), uint8; red, green, blue
        y : (50000,), int64; airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck
        x_test : (10000, 3, 32, 32), uint8
        y_test : (10000,), int64

        New arrays at every call, free to be changed.

    Raises
    ------
    DataError
        If a file is missing, damaged or not the published one, or the download fails.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of Toronto,
    2009.

    Examples
    --------
    >>> (x, y), (x_test, y_test) = cifar10()  # doctest: +SKIP
    """
    where = _find(_SOURCE.find(folder, mirrors, cache))
    batches = dict(_unpacked(where) if where.is_dir() else _archived(where))
    missing = [name for name in _MD5 if name not in batches]
    if missing:
        raise DataError(f"cifar10: expected {', '.join(missing)} in {where}, got no such file")
    *train, test = (batches[name] for name in _MD5)
    return _joined(train), _joined([test])


def _find(place: Path) -> Path:
    """The unpacked folder or the archive that ``place`` is or has."""
    if place.is_file():
        return place
    candidates = [place / _FOLDER, *sorted(place.glob(_ARCHIVE))]
    if any((place / name).exists() for name in _MD5):
        candidates.insert(0, place)
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise DataError(f"cifar10: expected a folder {_FOLDER} or an archive {_ARCHIVE} in {place}, got neither")
    return found


def _unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in _MD5:
        path = folder / name
        if path.is_file():
            _check_size(path.stat().st_size, path)
            yield name, _checked(path.read_bytes(), name, path)


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    """The wanted files in the order of the archive: another order would decompress it again and again."""
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if name in _MD5 and member.isfile() else None
                if file is not None:
                    _check_size(member.size, f"{path}: {member.name}")
                    yield name, _checked(file.read(), name, f"{path}: {member.name}")
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise DataError(f"cifar10: expected a whole tar archive, got {path}, which cannot be read ({error})") from error


def _check_size(size: int, where: object) -> None:
    """Before anything is read: a size is no reason to take memory."""
    if size != _IMAGES * _RECORD:
        raise DataError(f"cifar10: expected {_IMAGES * _RECORD} bytes in {where}, got {size}")


def _checked(data: bytes, name: str, where: object) -> bytes:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != _MD5[name]:
        raise DataError(f"cifar10: expected the published {name}, of MD5 {_MD5[name]}, in {where}, got {digest}")
    return data


def _joined(batches: Sequence[bytes]) -> Split:
    records = [np.frombuffer(data, np.uint8).reshape(-1, _RECORD) for data in batches]
    x = np.concatenate([record[:, 1:] for record in records]).reshape(-1, *_SHAPE)
    return x, np.concatenate([record[:, 0] for record in records]).astype(np.int64)
