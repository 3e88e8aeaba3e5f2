"""ImageFolder: what is found, what is refused, and what becomes of files that cannot be read."""

import itertools
import os
import re

import numpy as np
import pytest

from convnet.data import DataLoader, ImageFolder, image_files, read_image, stratified_split
from convnet.data.transforms import RandomHorizontalFlip
from convnet.errors import DataError, DTypeError, SettingError, ShapeError

Image = pytest.importorskip("PIL.Image", reason="images need Pillow")

COUNTS = {"daisy": 5, "rose": 7, "tulip": 4}


def write(file, value, size=(6, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(file)


@pytest.fixture
def folder(tmp_path):
    """16 images, of which the value tells the place in the sorted list."""
    values = itertools.count(10)
    for name, count in COUNTS.items():
        for i in range(count):
            write(tmp_path / name / f"{i}.png", next(values))
    return tmp_path


@pytest.fixture
def damaged(folder):
    """Three of the sixteen cannot be read: numbers 1, 5 and 15."""
    for place in ("daisy/1.png", "rose/0.png", "tulip/3.png"):
        (folder / place).write_bytes(b"\x89PNG")
    return folder


READABLE = [number for number in range(16) if number not in (1, 5, 15)]


def values(x):
    assert (x == x[:, :1, :1, :1]).all()
    return (x[:, 0, 0, 0].astype(int) - 10).tolist()


def test_classes_files_and_labels(folder):
    images = ImageFolder(folder)
    assert images.classes == tuple(COUNTS)
    assert len(images) == len(images.files) == 16
    assert images.image_shape == (3, 6, 8)
    np.testing.assert_array_equal(images.labels, np.repeat([0, 1, 2], [5, 7, 4]).astype(np.int64), strict=True)
    assert repr(images) == f"ImageFolder({str(folder)!r}: 16 images, 3 classes)"


def test_one_after_the_other(folder):
    images = ImageFolder(str(folder))
    for number in (0, 15, np.int64(7), -1):
        image, label = images[number]
        np.testing.assert_array_equal(image, np.full((3, 6, 8), 10 + number % 16, np.uint8), strict=True)
        assert label == images.labels[number]
    assert [label for _, label in images] == images.labels.tolist()
    with pytest.raises(IndexError):
        images[16]
    with pytest.raises(TypeError):
        images[0:2]


def test_all_at_once(folder):
    x, y = ImageFolder(folder).load(workers=2)
    assert values(x) == list(range(16))
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(y, ImageFolder(folder).labels, strict=True)


def test_size_channels_and_fit_are_those_of_read_image(folder, rng):
    file = folder / "daisy" / "0.png"
    Image.fromarray(rng.integers(0, 256, (30, 50, 3)).astype(np.uint8)).save(file)
    for settings in ({"channels": 1}, {"fit": "stretch"}, {"channels": 3, "fit": "crop"}):
        images = ImageFolder(folder, (5, 4), **settings)
        assert images.image_shape == (settings.get("channels", 3), 5, 4)
        np.testing.assert_array_equal(images[0][0], read_image(file, (5, 4), **settings))


def test_nested_files_of_known_kinds_in_order(tmp_path):
    for place in (
        "a/2.PNG",
        "a/deep/er/1.jpeg",
        "a/10.bmp",
        "b/x.gif",
        "b/.hidden.png",
        "b/.trash/y.png",
        ".git/z.png",
    ):
        write(tmp_path / place, 1)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "README").write_text("not a class")
    places = [file.relative_to(tmp_path).as_posix() for file in ImageFolder(tmp_path, 4).files]
    assert places == ["a/10.bmp", "a/2.PNG", "a/deep/er/1.jpeg", "b/x.gif"]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_and_circles_are_not(folder, tmp_path_factory):
    links = tmp_path_factory.mktemp("links")
    for name in ("daisy", "rose"):
        (links / name).symlink_to(folder / name, target_is_directory=True)
    (folder / "rose" / "circle").symlink_to(folder, target_is_directory=True)
    assert len(ImageFolder(links)) == 12


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_loader_reads_while_it_goes(folder, workers):
    images = ImageFolder(folder, 4)
    batches = list(DataLoader(images, batch_size=5, shuffle=False, workers=workers))
    assert [values(x) for x, _ in batches] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14], [15]]
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), images.labels)


def test_nothing_is_read_ahead_of_time(folder, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", lambda file: pytest.fail("read"))
    assert len(ImageFolder(folder, 4)) == 16


@pytest.mark.filterwarnings("ignore:ImageFolder. skipped")
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_batches(damaged, workers):
    def loader(count):
        images = ImageFolder(damaged, 4, errors="skip")
        return DataLoader(images, batch_size=3, augment=RandomHorizontalFlip(), rng=3, workers=count)

    alone, shared = loader(0), loader(workers)
    for _ in range(2):
        for (x, y), (x_alone, y_alone) in zip(shared, alone, strict=True):
            np.testing.assert_array_equal(x, x_alone, strict=True)
            np.testing.assert_array_equal(y, y_alone, strict=True)


def test_broken_files_are_refused(damaged):
    with pytest.raises(
        DataError, match=rf"^read_image: expected a readable image, got {re.escape(str(damaged))}.*1\.png: "
    ):
        list(DataLoader(ImageFolder(damaged, 4), shuffle=False))
    with pytest.raises(DataError, match=r"rose.0\.png: "):
        ImageFolder(damaged, 4)[5]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 16])
def test_broken_files_are_left_out_and_listed_once(damaged, workers, size):
    images = ImageFolder(damaged, 4, errors="skip")
    loader = DataLoader(images, batch_size=size, shuffle=False, workers=workers)
    with pytest.warns(UserWarning, match="skipped") as caught:
        batches = list(loader)
    assert [value for x, _ in batches for value in values(x)] == READABLE
    assert all(len(x) for x, _ in batches)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), images.labels[READABLE])
    (warning,) = caught
    assert warning.filename == __file__
    text = r"^ImageFolder: skipped 3 of 16 files that cannot be read: .*daisy.1\.png \(.+\), .*0\.png \(.+\), .*\)$"
    assert re.match(text, str(warning.message))
    assert set(images.broken) == {images.files[number] for number in (1, 5, 15)}
    assert [value for x, _ in loader for value in values(x)] == READABLE  # and no warning: it would be an error here


def test_a_batch_without_any_readable_file_keeps_its_place(damaged):
    loader = DataLoader(ImageFolder(damaged, 4, errors="skip"), batch_size=1, shuffle=False)
    with pytest.warns(UserWarning, match="skipped"):
        sizes = [len(x) for x, _ in loader.batches()]
    assert sizes == [number in READABLE for number in range(16)]
    assert [len(x) for x, _ in loader.batches(4)] == sizes[4:]


def test_image_files(tmp_path):
    for name in "b/2.png", "b/1.JPG", "b-c.webp", ".b/hidden.png", "b/.hidden/2.png", "b/notes.txt", "b/.3.png":
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert image_files(tmp_path) == [tmp_path / "b" / "1.JPG", tmp_path / "b" / "2.png", tmp_path / "b-c.webp"]
    assert image_files(str(tmp_path / "b" / ".hidden")) == [tmp_path / "b" / ".hidden" / "2.png"]
    place = re.escape(str(tmp_path / "absent"))
    with pytest.raises(
        DataError, match=rf"^image_files: expected a folder that can be read, got {place}: No such file"
    ):
        image_files(tmp_path / "absent")


def test_a_file_that_breaks_later_is_told_later(folder):
    images = ImageFolder(folder, 4, errors="skip")
    list(DataLoader(images))
    (folder / "rose" / "2.png").unlink()
    with pytest.warns(
        UserWarning, match=r"skipped 1 of 16 files that cannot be read: .*2.png \(No such file or directory\)$"
    ):
        list(DataLoader(images))


def test_many_broken_files_are_not_all_in_the_warning(folder):
    for i in range(30):
        (folder / "rose" / f"broken{i:02}.png").touch()
    with pytest.warns(
        UserWarning, match=r"skipped 30 of 46 .*broken19.png \([^(]*\), and 10 more \(see ImageFolder.broken"
    ):
        list(DataLoader(ImageFolder(folder, 4, errors="skip")))


def test_loading_leaves_out_what_is_broken(damaged):
    with pytest.warns(UserWarning, match="skipped 3 of 16"):
        x, y = ImageFolder(damaged, 4, errors="skip").load()
    assert values(x) == READABLE
    assert len(y) == 13


def test_the_first_readable_file_tells_the_size(damaged):
    (damaged / "daisy" / "0.png").write_bytes(b"")
    images = ImageFolder(damaged, errors="skip")
    assert images.image_shape == (3, 6, 8)
    assert len(images.broken) == 2
    with pytest.raises(DataError, match=r"0\.png: no image of a known format$"):
        ImageFolder(damaged)


def test_no_readable_file(tmp_path):
    for name in "ab":
        write(tmp_path / name / "1.png", 0)
        (tmp_path / name / "1.png").write_bytes(b"")
    text = r"^ImageFolder: expected readable images in .*, got none: .*1.png \(no image of a known format\), .*1.png \("
    with pytest.raises(DataError, match=text):
        ImageFolder(tmp_path, errors="skip")
    with pytest.raises(DataError, match=text):
        list(DataLoader(ImageFolder(tmp_path, 4, errors="skip")))


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_images_of_different_sizes(folder, errors):
    write(folder / "rose" / "3.png", 0, size=(5, 8))
    place = re.escape(str(folder / "rose" / "3.png"))
    sizes = f"6x8 as the first, got 5x8 in {place}"
    text = rf"^ImageFolder: expected images of one size, {sizes}; give size=\(height, width\)$"
    images = ImageFolder(folder, errors=errors)
    with pytest.raises(ShapeError, match=text):
        list(DataLoader(images))
    with pytest.raises(ShapeError, match=text):
        images[8]


def test_subsets(folder):
    images = ImageFolder(folder, 4)
    first, second = stratified_split(images.labels, 0.25)
    part = images.subset(second)
    x, y = part.load()
    assert values(x) == second.tolist()
    np.testing.assert_array_equal(y, images.labels[second])
    assert part.classes == images.classes
    assert len(images.subset(first)) + len(part) == len(images) == 16
    assert [label for _, label in images.subset([15, 0])] == [2, 0]


@pytest.mark.parametrize(
    ("indices", "error", "text"),
    [
        ([[0]], ShapeError, r"indices of shape \(m,\), got \(1, 1\)"),
        ([0.5], DTypeError, "indices of an integer type, got float64"),
        ([True], DTypeError, "indices of an integer type, got bool"),
        ([3, 16], DataError, r"indices in 0..15, got 16"),
        ([-1], DataError, r"indices in 0..15, got -1"),
        (np.zeros(0, int), DataError, r"indices in 0..15, got none"),
    ],
)
def test_bad_subsets(folder, indices, error, text):
    with pytest.raises(error, match=rf"^ImageFolder.subset: expected {text}$"):
        ImageFolder(folder, 4).subset(indices)


def test_subsets_tell_their_own_broken_files(damaged):
    images = ImageFolder(damaged, 4, errors="skip")
    with pytest.warns(UserWarning, match="skipped 1 of 5 files"):
        list(DataLoader(images.subset(range(5))))
    assert not images.broken


def test_classes_of_another_folder(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write(other / "tulip" / "1.png", 0)
    assert ImageFolder(other, classes=["daisy", "rose", "tulip"]).labels.tolist() == [2]
    assert ImageFolder(folder, classes=["tulip", "rose", "daisy"]).labels.tolist() == [0] * 4 + [1] * 7 + [2] * 5
    write(other / "violet" / "1.png", 0)
    with pytest.raises(DataError, match=r"^ImageFolder: expected subfolders daisy, tulip in .*, got also violet$"):
        ImageFolder(other, classes=["daisy", "tulip"])
    with pytest.raises(SettingError, match=r"^ImageFolder classes: expected names that are different, got \('a', 'a'"):
        ImageFolder(other, classes=["a", "a", "tulip", "violet"])


def test_folders_that_are_refused(tmp_path):
    place = re.escape(str(tmp_path))
    with pytest.raises(DataError, match=rf"^ImageFolder: expected a folder that can be read, got {place}.absent: .+"):
        ImageFolder(tmp_path / "absent")
    with pytest.raises(DataError, match=rf"^ImageFolder: expected one subfolder a class in {place}, got no subfolder$"):
        ImageFolder(tmp_path)
    write(tmp_path / "1.png", 0)
    with pytest.raises(DataError, match=r"got no subfolder$"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match=r"expected a folder that can be read, got .*1\.png: "):
        ImageFolder(tmp_path / "1.png")
    write(tmp_path / "a" / "1.png", 0)
    with pytest.raises(DataError, match=rf"expected subfolders of at least two classes in {place}, got only a$"):
        ImageFolder(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=rf"^ImageFolder: expected images in {place}.b, got none \(\.bmp, \.gif, .*\)$"):
        ImageFolder(tmp_path)


@pytest.mark.parametrize("which", [0, 1])
def test_folders_without_permission(folder, monkeypatch, which):
    places, scandir = [folder, folder / "rose"], os.scandir

    def refuses(path):
        if os.fspath(path) == str(places[which]):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    text = rf"^ImageFolder: expected a folder that can be read, got {re.escape(str(places[which]))}: Permission denied$"
    with pytest.raises(DataError, match=text):
        ImageFolder(folder)


def test_settings_that_are_refused(folder):
    with pytest.raises(SettingError, match=r"^ImageFolder errors: expected 'raise' or 'skip', got 'ignore'$"):
        ImageFolder(folder, errors="ignore")
    with pytest.raises(SettingError, match=r"^ImageFolder size: expected an integer of at least 1, got 0$"):
        ImageFolder(folder, 0)
    with pytest.raises(SettingError, match=r"^ImageFolder channels: expected 3 \(colour\) or 1 \(grey\), got 2$"):
        ImageFolder(folder, channels=2)
    with pytest.raises(SettingError, match=r"^ImageFolder fit: expected 'crop' or 'stretch', got 'pad'$"):
        ImageFolder(folder, fit="pad")


def test_flowers(convnet_data):
    folder = convnet_data / "flowers"
    if not folder.is_dir():
        pytest.skip("there are no flowers")
    images = ImageFolder(folder / "val", 32)
    assert images.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    x, y = images.load()
    assert x.shape == (100, 3, 32, 32)
    np.testing.assert_array_equal(np.bincount(y), [20] * 5)
    yellow = x[:, :2].mean(axis=(1, 2, 3)) - x[:, 2].mean(axis=(1, 2))
    assert yellow[y == 3].mean() > yellow[y == 2].mean()  # sunflowers, and roses
