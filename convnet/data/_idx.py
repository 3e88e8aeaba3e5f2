"""The IDX file format of MNIST: a big-endian header, then the elements of one array."""

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
# NumPy 1.x has no arrays of more dimensions.
_MAX_RANK = 32
# Deflate's shortest code for its longest match: two bits stand for 258 bytes.
_MAX_DEFLATE_RATIO = 258 * 8 // 2


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an array from an IDX file, plain or compressed by gzip (told by its content, not by its name).

    The file is a 4-byte magic number (two zeros, the type of the elements, the number of dimensions), one
    big-endian uint32 for each dimension, then the elements in C order, big-endian.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    array : of the shape and type that the header tells
        uint8, int8, int16, int32, float32 or float64 in the machine's byte order; a new array, free to be changed.

    Raises
    ------
    DataError
        If the file is not IDX, is damaged, or holds fewer or more elements than its header tells. A header that
        promises more than a file of this size can hold is refused before any memory is taken.
    OSError
        If the file cannot be read.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section "The IDX file format".

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    compressed = _is_gzip(path)
    capacity = path.stat().st_size * (_MAX_DEFLATE_RATIO if compressed else 1)
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            shape, dtype = _read_header(path, file)
            return _read_elements(path, file, shape, dtype, capacity)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, got one that is damaged or truncated ({error})"
        ) from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def _read_header(path: Path, file: BufferedIOBase) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_RANK:
        raise DataError(
            f"{path}: expected an IDX file (two zero bytes, a type code of {', '.join(map(hex, _DTYPES))}, "
            f"1 to {_MAX_RANK} dimensions), got {magic!r}"
        )
    rank = magic[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{path}: expected {rank} dimensions of 4 bytes each in the header, got {len(sizes)} bytes")
    shape = struct.unpack(f">{rank}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}: expected dimensions of at least 1, got {shape}")
    return shape, np.dtype(_DTYPES[magic[2]])


def _read_elements(
    path: Path, file: BufferedIOBase, shape: tuple[int, ...], dtype: np.dtype[Any], capacity: int
) -> NDArray[Any]:
    expected = math.prod(shape) * dtype.itemsize
    wanted = f"{path}: expected {expected} bytes of data for {dtype.name} of shape {shape}"
    if expected > capacity:
        raise DataError(f"{wanted}, got at most {capacity}")
    # The byte too many shows an over-long file, and makes gzip reach the end and compare its checksum.
    data = file.read(expected + 1)
    if len(data) > expected:
        raise DataError(f"{wanted}, got more")
    if len(data) < expected:
        raise DataError(f"{wanted}, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
