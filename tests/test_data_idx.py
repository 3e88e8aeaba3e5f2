import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import TYPE_CODES, idx_bytes

from convnet.data import read_idx
from convnet.errors import DataError

LABELS = np.array([7, 2, 1, 0, 4], np.uint8)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "labels-idx1-ubyte"
        path.write_bytes(content)
        return path

    return write


@given(
    array=st.sampled_from(sorted(TYPE_CODES)).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    ),
    compressed=st.booleans(),
)
def test_reads_what_was_written(tmp_path_factory, array, compressed):
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    result = read_idx(path)
    assert result.dtype == array.dtype
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, array)


def test_reads_the_bytes_of_the_description(write):
    path = write(bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 fffe 7fff 8000"))
    assert read_idx(path).tolist() == [[1, 2, 3], [-2, 32767, -32768]]


def test_result_is_new_and_writable(write):
    path = write(idx_bytes(LABELS))
    first, second = read_idx(path), read_idx(str(path))
    first[:] = 9
    np.testing.assert_array_equal(second, LABELS)


def test_compression_is_told_by_content_not_by_name(tmp_path):
    path = tmp_path / "labels-idx1-ubyte.gz"
    path.write_bytes(idx_bytes(LABELS))
    np.testing.assert_array_equal(read_idx(path), LABELS)


@pytest.mark.parametrize(
    "magic",
    [
        b"",
        b"\0\0\x08",
        b"\0\1\x08\1",
        b"\1\0\x08\1",
        b"\0\0\x0a\1",
        b"\0\0\x08\0",
        b"\0\0\x08\x21",
        b"<htm",
    ],
    ids=["empty", "three bytes", "second byte", "first byte", "type code", "no dimension", "33 dimensions", "html"],
)
def test_wrong_magic_number(write, magic):
    path = write(magic + bytes(200) if len(magic) == 4 else magic)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "expected an IDX file (two zero bytes, a type code of 0x8, 0x9" in str(caught.value)
    assert str(caught.value).endswith(f"got {magic!r}")


def test_thirty_two_dimensions_are_read(write):
    assert read_idx(write(idx_bytes(np.ones((1,) * 32, np.uint8)))).shape == (1,) * 32


def test_truncated_header(write):
    path = write(b"\0\0\x08\3" + bytes(11))
    with pytest.raises(DataError, match="expected 3 dimensions of 4 bytes each in the header, got 11 bytes"):
        read_idx(path)


def test_empty_dimension(write):
    path = write(b"\0\0\x08\2" + bytes(4) + b"\xff" * 4)
    with pytest.raises(DataError, match=r"expected dimensions of at least 1, got \(0, 4294967295\)"):
        read_idx(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("missing", [1, 5])
def test_fewer_elements_than_told(write, pack, missing):
    path = write(pack(idx_bytes(LABELS)[:-missing]))
    with pytest.raises(DataError, match=rf"expected 5 bytes of data for uint8 of shape \(5,\), got {5 - missing}$"):
        read_idx(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_more_elements_than_told(write, pack):
    path = write(pack(idx_bytes(LABELS) + b"\0"))
    with pytest.raises(DataError, match=r"expected 5 bytes of data for uint8 of shape \(5,\), got more$"):
        read_idx(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_absurd_dimensions_take_no_memory(write, pack):
    path = write(pack(b"\0\0\x0e\3" + b"\xff" * 12 + bytes(8)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bytes of data for float64 of shape .* got at most"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The file itself, gzip's state and its 128 KiB buffer; the header promises 6e29 bytes.
    assert peak < 2**20


def test_most_compressible_content_is_not_refused(write):
    content = np.zeros((4000, 1000), np.uint8)
    path = write(gzip.compress(idx_bytes(content), compresslevel=9))
    assert content.size > 1000 * path.stat().st_size
    np.testing.assert_array_equal(read_idx(path), content)


def damaged_gzip_files():
    # Random elements do not compress, so the deflate stream holds them as they are.
    whole = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, 1000, np.uint8)))
    return {
        "header only": whole[:2],
        "truncated": whole[: len(whole) // 2],
        "no trailer": whole[:-8],
        "no length": whole[:-4],
        "wrong checksum": whole[:-8] + bytes(4) + whole[-4:],
        "flipped bit": whole[:500] + bytes([whole[500] ^ 1]) + whole[501:],
        "garbage behind": whole + b"garbage",
        "garbage inside": whole[:10] + b"\xff" * 100,
    }


@pytest.mark.parametrize("damage", damaged_gzip_files())
def test_damaged_gzip_file(write, damage):
    path = write(damaged_gzip_files()[damage])
    with pytest.raises(DataError, match="expected a whole gzip file, got one that is damaged or truncated") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        read_idx(tmp_path / "no-such-file")
