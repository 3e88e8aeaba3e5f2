"""read_image: what comes out of files of many kinds, and that nothing but a DataError comes of bad ones."""

import io
import re
import sys

import numpy as np
import pytest

from convnet.data import _image, read_image
from convnet.errors import DataError, SettingError, UnsupportedError

Image = pytest.importorskip("PIL.Image", reason="images need Pillow")


@pytest.fixture
def pixels(rng):
    """Of 6x4, red, green, blue, (h, w, c)."""
    return rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)


def smooth(h, w):
    """A picture that a JPEG keeps."""
    i, j = np.mgrid[:h, :w]
    return np.stack([255 * i / h, 255 * j / w, 127 + 64 * np.sin(i / 40)], axis=-1).astype(np.uint8)


def saved(image, kind="PNG", **settings):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **settings)
    file.seek(0)
    return file


def first(pixels):
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_pixels_as_they_are(pixels, kind, tmp_path):
    file = tmp_path / "image"
    file.write_bytes(saved(pixels, kind).getvalue())
    for place in (file, str(file), io.BytesIO(file.read_bytes())):
        image = read_image(place)
        np.testing.assert_array_equal(image, first(pixels), strict=True)
        assert image.flags.c_contiguous
        assert image.flags.writeable


def test_grey_and_colour(pixels):
    grey = read_image(saved(pixels), channels=1)
    weights = np.array([0.299, 0.587, 0.114])
    assert grey.shape == (1, 4, 6)
    np.testing.assert_allclose(grey[0], pixels @ weights, rtol=0, atol=1)
    colour = read_image(saved(pixels[..., 0]))
    np.testing.assert_array_equal(colour, np.stack([pixels[..., 0]] * 3))


TURNED = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}
"""How a camera stores an upright picture under each orientation."""


def with_orientation(pixels, orientation, kind="PNG", **settings):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(TURNED[orientation](pixels), kind, exif=exif, **settings)


@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_upright(pixels, orientation):
    np.testing.assert_array_equal(read_image(with_orientation(pixels, orientation)), first(pixels))
    small = read_image(with_orientation(pixels, orientation), (2, 3), fit="stretch").astype(int)
    # Pillow rounds to uint8 between the two directions, which are swapped.
    assert np.abs(small - read_image(saved(pixels), (2, 3), fit="stretch")).max() <= 1


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("size", [(20, 45), (45, 20), (150, 200), 10])
def test_photographs_are_upright(orientation, size):
    photo = smooth(150, 200)
    image = read_image(with_orientation(photo, orientation, "JPEG", quality=95), size)
    expected = read_image(saved(photo), size)
    # The bounds are those of JPEG, whose decoder also shrinks; the neighbouring pixel differs by 3 in the mean.
    assert np.abs(image.astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("value", [0, 9, 99])
def test_an_orientation_that_does_not_exist(pixels, value):
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(read_image(saved(pixels, exif=exif)), first(pixels))


def test_the_middle_is_kept_or_all_is_stretched():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    np.testing.assert_array_equal(read_image(saved(wide), (10, 10)), np.full((3, 10, 10), 200))
    stretched = read_image(saved(wide), (10, 10), fit="stretch")
    assert (stretched[0, 5, 0], stretched[0, 5, 5], stretched[0, 5, 9]) == (0, 200, 0)
    high = read_image(saved(wide.swapaxes(0, 1)), 5)
    np.testing.assert_array_equal(high[:, 1:-1], np.full((3, 3, 5), 200))


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_any_size_of_any_image(fit, rng):
    for _ in range(60):
        h, w, oh, ow = rng.integers(1, 40, 4).tolist()
        image = read_image(saved(np.full((h, w, 3), 77, np.uint8)), (oh, ow), fit=fit)
        np.testing.assert_array_equal(image, np.full((3, oh, ow), 77, np.uint8), strict=True)


def test_a_jpeg_is_decoded_small(monkeypatch):
    sizes = []
    scaled = _image._scaled
    monkeypatch.setattr(
        _image, "_scaled", lambda image, *rest: sizes.append((image.size, *rest[:1])) or scaled(image, *rest)
    )
    photo = saved(smooth(404, 600), "JPEG")
    for size in (50, 51, (50, 1), 200, 250):
        photo.seek(0)
        read_image(photo, size)
    decoded = [(75, 51), (150, 101), (75, 51), (300, 202), (600, 404)]
    exact = [(75, 50.5), (150, 101), (75, 50.5), (300, 202), (600, 404)]
    assert sizes == list(zip(decoded, exact, strict=True))


def test_sixteen_bits(rng):
    values = rng.integers(0, 65536, (4, 6)).astype(np.uint16)
    image = read_image(saved(values), channels=1)
    np.testing.assert_array_equal(image[0], values >> 8)


def test_what_is_transparent_is_white():
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    np.testing.assert_array_equal(read_image(saved(pixels))[:, 0].T, [[10, 20, 30], [255, 255, 255]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    file = saved(palette, transparency=bytes([255, 0]))
    np.testing.assert_array_equal(read_image(file)[:, 0].T, [[10, 20, 30], [255, 255, 255]])


def test_other_colours():
    red = Image.new("RGB", (8, 8), (200, 30, 30)).convert("CMYK")
    image = read_image(saved(red, "JPEG", quality=95), 4)
    assert np.abs(image.mean(axis=(1, 2)) - [200, 30, 30]).max() < 5


def test_a_film_is_its_first_picture(tmp_path):
    frames = [Image.new("RGB", (3, 2), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "film.gif")[:, 0, 0], [255, 0, 0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_files_give_an_image_or_a_data_error(kind, rng):
    whole = np.frombuffer(saved(smooth(40, 60), kind).getvalue(), np.uint8)
    failures = 0
    for _ in range(60):
        damaged = whole[: rng.integers(len(whole))].copy() if rng.random() < 0.3 else whole.copy()
        places = rng.integers(max(len(damaged), 1), size=rng.integers(1, 30))
        damaged[places[places < len(damaged)]] = rng.integers(256)
        try:
            assert read_image(io.BytesIO(damaged.tobytes()), 16).shape == (3, 16, 16)
        except DataError:
            failures += 1
    assert failures > 3


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    cut, text, empty = (tmp_path / name for name in ("cut.jpg", "text.png", "empty.gif"))
    cut.write_bytes(saved(smooth(64, 64), "JPEG").getvalue()[:-200])
    text.write_text("not an image")
    empty.touch()
    for file, reason in {
        cut: "image file is truncated .*",
        text: "no image of a known format",
        empty: "no image of a known format",
        tmp_path / "absent.png": "No such file or directory",
        tmp_path: "Is a directory",
    }.items():
        place = re.escape(str(file))
        with pytest.raises(DataError, match=rf"^read_image: expected a readable image, got {place}: {reason}$"):
            read_image(file)


def test_pixels_of_which_nobody_knows_what_is_white():
    with pytest.raises(DataError, match=r"pixels of mode F, for which nobody knows what is white$"):
        read_image(saved(np.ones((2, 2), np.float32), "TIFF"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"size": 0}, "read_image size: expected an integer of at least 1, got 0"),
        ({"size": "small"}, "read_image size: expected an integer or a pair (height, width), got 'small'"),
        ({"channels": 4}, "read_image channels: expected 3 (colour) or 1 (grey), got 4"),
        ({"fit": "pad"}, "read_image fit: expected 'crop' or 'stretch', got 'pad'"),
    ],
)
def test_settings_that_are_refused(settings, text):
    with pytest.raises(SettingError, match=f"^{re.escape(text)}$"):
        read_image("any", **settings)


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    text = re.escape(
        'read_image: expected the package Pillow to read images, got none; pip install "convnet-cpu[images]"'
    )
    with pytest.raises(UnsupportedError, match=f"^{text}$"):
        read_image("any")
