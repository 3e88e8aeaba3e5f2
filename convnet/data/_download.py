"""Downloads whose every byte is verified."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from convnet.errors import DataError


def download(
    name: str,
    hashes: Mapping[str, str],
    mirrors: Sequence[str],
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Bring the files of a data set into ``cache/name``, unless they are there already.

    Files appear under their names only after their checksum was right: they are written beside and renamed.

    Parameters
    ----------
    name : str
        Name of the data set, and of its folder in the cache.
    hashes : mapping
        File names, each with the SHA-256 of its content in hexadecimal, or another hash with its name in front
        (``md5:...``).
    mirrors : sequence of str
        Base URLs, tried in this order for each file.
    cache : path, optional
        Folder for all data sets; by default the operating system's cache folder for "convnet".

    Returns
    -------
    folder : Path

    Raises
    ------
    DataError
        If no mirror gives a file with the right checksum, or pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            f"{name}: expected its files in $CONVNET_DATA, or the package pooch to download them, got neither; "
            'for pooch: pip install "convnet-cpu[data]"'
        ) from error
    folder = Path(pooch.os_cache("convnet") if cache is None else cache) / name
    for file, digest in hashes.items():
        retrieve = partial(pooch.retrieve, known_hash=digest, fname=file, path=folder)
        _from_first_mirror(retrieve, [f"{base.rstrip('/')}/{file}" for base in mirrors], f"{name}: expected {file}")
    return folder


def _from_first_mirror(retrieve: Callable[[str], object], urls: Sequence[str], expected: str) -> None:
    """Call ``retrieve`` with one URL after the other until it succeeds."""
    failures = []
    for url in urls:
        try:
            retrieve(url)
            return
        # What requests raises is an OSError; pooch raises ValueError for a wrong checksum.
        except (OSError, ValueError) as error:
            failures.append(f"from {url}: {error}")
    raise DataError(f"{expected}, got " + ("; ".join(failures) or "no mirror to download it from"))
