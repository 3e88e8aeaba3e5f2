"""cifar10(): where its files are found, and what is refused. The published data: test_data_published.py."""

import io
import tarfile

import pytest
from cifar10_files import FOLDER, IMAGES, NAMES, small_cifar10  # noqa: F401 - a fixture

from convnet.data import cifar10
from convnet.errors import DataError

SIZE = IMAGES * 3073


@pytest.fixture
def small(small_cifar10):  # noqa: F811 - the fixture
    return small_cifar10


def test_unpacked_folder_or_its_parent(small, tmp_path):
    small.check(cifar10(small.write_folder(tmp_path)))
    small.check(cifar10(tmp_path))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", ""])
def test_archive_or_its_folder(small, tmp_path, suffix):
    archive = small.write_archive(tmp_path, suffix)
    small.check(cifar10(tmp_path))
    small.check(cifar10(archive.rename(tmp_path / "any.name")))
    assert {path.name for path in tmp_path.iterdir()} == {"any.name", "source"}  # nothing was unpacked


@pytest.mark.parametrize("name", ["cifar10", "cifar-10"])
@pytest.mark.parametrize("packed", [True, False])
def test_below_convnet_data(small, tmp_path, monkeypatch, name, packed):
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    (tmp_path / name).mkdir()
    (small.write_archive if packed else small.write_folder)(tmp_path / name)
    small.check(cifar10())


def test_new_arrays_at_every_call(small, tmp_path):
    small.write_folder(tmp_path)
    (x, y), _ = cifar10(tmp_path)
    x[...] = y[...] = 0
    small.check(cifar10(tmp_path))


def test_nothing_there(small, tmp_path):
    with pytest.raises(DataError, match=rf"^cifar10: expected a folder {FOLDER} or an archive .* in .*, got neither$"):
        cifar10(tmp_path)
    with pytest.raises(DataError, match=r"got neither$"):
        cifar10(tmp_path / "absent")


@pytest.mark.parametrize("packed", [True, False])
def test_missing_files_are_all_named(small, tmp_path, packed):
    if packed:
        small.write_archive(tmp_path, names=[NAMES[0], NAMES[2], NAMES[3], NAMES[4]])
    else:
        folder = small.write_folder(tmp_path)
        (folder / NAMES[1]).unlink()
        (folder / NAMES[5]).unlink()
    with pytest.raises(DataError, match=r"^cifar10: expected data_batch_2\.bin, test_batch\.bin in .*, got no such"):
        cifar10(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("by", [-1, 1])
def test_files_of_another_length(small, tmp_path, packed, by):
    small.contents[NAMES[3]] = (small.contents[NAMES[3]] + b"\0")[: SIZE + by]
    (small.write_archive if packed else small.write_folder)(tmp_path)
    with pytest.raises(DataError, match=rf"^cifar10: expected {SIZE} bytes in .*data_batch_4\.bin, got {SIZE + by}$"):
        cifar10(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_one_altered_bit(small, tmp_path, packed):
    altered = bytearray(small.contents[NAMES[5]])
    altered[-1] ^= 1
    small.contents[NAMES[5]] = bytes(altered)
    (small.write_archive if packed else small.write_folder)(tmp_path)
    with pytest.raises(DataError, match=r"^cifar10: expected the published test_batch\.bin, of MD5 [0-9a-f]{32}, in "):
        cifar10(tmp_path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", ""])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.9])
def test_truncated_archive(small, tmp_path, suffix, kept):
    archive = small.write_archive(tmp_path, suffix)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"^cifar10: expected .* (cannot be read|got no such file)"):
        cifar10(tmp_path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_damaged_archive(small, tmp_path, suffix):
    archive = small.write_archive(tmp_path, suffix)
    damaged = bytearray(archive.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 2000] = b"\xff" * 2000
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match=r"^cifar10: expected .* (cannot be read|got [0-9a-f]{32}$)"):
        cifar10(tmp_path)


def test_no_archive_at_all(small, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"<html>moved</html>" * 1000)
    with pytest.raises(DataError, match=r"^cifar10: expected a whole tar archive, got .*, which cannot be read"):
        cifar10(path)


def test_a_link_in_an_archive_is_no_file(small, tmp_path):
    """It could lead anywhere."""
    archive = small.write_archive(tmp_path, "gz", NAMES[:5])
    with tarfile.open(archive, "w") as tar:
        for name in NAMES[:5]:
            member = tarfile.TarInfo(name)
            member.size = SIZE
            tar.addfile(member, io.BytesIO(small.contents[name]))
        link = tarfile.TarInfo(NAMES[5])
        link.type, link.linkname = tarfile.SYMTYPE, NAMES[0]
        tar.addfile(link)
    with pytest.raises(DataError, match=r"expected test_batch\.bin in .*, got no such file$"):
        cifar10(archive)
