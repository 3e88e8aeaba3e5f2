"""One image file as an array."""

import math
import os
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnet.data._size import Size, height_and_width
from convnet.errors import DataError, SettingError, UnsupportedError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Fit", "check_image_settings", "read_image"]

Fit: TypeAlias = Literal["crop", "stretch"]

_ORIENTATION = 0x0112
"""The EXIF tag: how the camera was held."""

_SIDEWAYS = (5, 6, 7, 8)
"""Orientations in which the rows of the file are columns of the picture."""


def read_image(
    file: str | os.PathLike[str] | BinaryIO,
    size: Size | None = None,
    *,
    channels: Literal[1, 3] = 3,
    fit: Fit = "crop",
) -> NDArray[np.uint8]:
    """Read an image file, upright as its EXIF orientation tells, in colour or grey, scaled to a size.

    What Pillow reads: JPEG, PNG, WebP, GIF (the first picture), TIFF, BMP and more. 16 bits a channel become 8; what is
    transparent becomes white. Needs ``pip install "convnet-cpu[images]"``.

    Parameters
    ----------
    file : path or binary file
    size : int or (int, int), optional
        Height and width of the result; those of the file by default. Bilinear and free of aliases. A JPEG that is to
        become much smaller is decoded at 1/2, 1/4 or 1/8 of its size, which is up to four times as fast.
    channels : {3, 1}
        Red, green, blue, or grey.
    fit : {"crop", "stretch"}
        How to reach ``size``: keep the proportions and cut off what is too much on both sides, or change them.

    Returns
    -------
    ndarray of shape (channels, h, w), uint8

    Raises
    ------
    SettingError
        If a setting is wrong.
    DataError
        If the file cannot be read; the text names it.
    UnsupportedError
        If Pillow is not installed.

    Examples
    --------
    >>> image = read_image("photo.jpg", size=224)  # doctest: +SKIP
    >>> x = image[np.newaxis].astype(np.float32) / 255  # doctest: +SKIP
    """
    wanted = check_image_settings("read_image", size, channels, fit)
    try:
        image, whole, orientation = _decoded(file, wanted, channels, fit)
    except Exception as error:  # decoders raise nearly anything over damaged bytes
        raise DataError(f"read_image: expected a readable image, got {_named(file)}: {_reason(error)}") from error
    if wanted is not None:
        image = _scaled(image, whole, wanted[::-1] if orientation in _SIDEWAYS else wanted, fit)
    return _channels_first(_upright(np.asarray(image), orientation))


def check_image_settings(who: str, size: object, channels: object, fit: object) -> tuple[int, int] | None:
    """Return the height and width that are wanted, None for those of the file.

    Raises
    ------
    SettingError
        If a setting is wrong.
    UnsupportedError
        If Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401 - is it there?
    except ImportError as error:
        raise UnsupportedError(
            f'{who}: expected the package Pillow to read images, got none; pip install "convnet-cpu[images]"'
        ) from error
    if channels not in (1, 3):
        raise SettingError(f"{who} channels: expected 3 (colour) or 1 (grey), got {channels!r}")
    if fit not in ("crop", "stretch"):
        raise SettingError(f"{who} fit: expected 'crop' or 'stretch', got {fit!r}")
    return None if size is None else height_and_width(size, f"{who} size")


def _decoded(
    file: str | os.PathLike[str] | BinaryIO, size: tuple[int, int] | None, channels: int, fit: str
) -> tuple["Image", tuple[float, float], int]:
    """The image as it lies in the file, or a smaller one that is large enough for ``size``; its width and height, which
    a smaller one need not fill to the last pixel; and its orientation.
    """
    import PIL.Image

    with PIL.Image.open(file) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
        mode = "RGB" if channels == 3 else "L"
        whole: tuple[float, float] = image.size
        if size is not None:
            least = _least(image.size, size[::-1] if orientation in _SIDEWAYS else size, fit)
            drafted = image.draft(mode, least)
            whole = whole if drafted is None else drafted[1][2:]
        return _eight_bits(image).convert(mode), whole, orientation


def _least(whole: tuple[int, int], size: tuple[int, int], fit: str) -> tuple[int, int]:
    """Width and height that a JPEG may be decoded at: no pixel of the result is then made of less than one."""
    across, down = size[1] / whole[0], size[0] / whole[1]
    if fit == "crop":
        across = down = max(across, down)
    return math.ceil(whole[0] * across), math.ceil(whole[1] * down)


def _scaled(image: "Image", whole: tuple[float, float], size: tuple[int, int], fit: str) -> "Image":
    """All of an image, or the part in the middle that has the proportions of ``size``."""
    import PIL.Image

    width, height = whole
    left = top = 0.0
    if fit == "crop":
        scale = min(width / size[1], height / size[0])
        left, top = (max((side - scale * part) / 2, 0.0) for side, part in ((width, size[1]), (height, size[0])))
    return image.resize(size[::-1], PIL.Image.Resampling.BILINEAR, (left, top, width - left, height - top))


def _eight_bits(image: "Image") -> "Image":
    """Of 8 bits a channel and without transparency."""
    import PIL.Image

    if image.mode.startswith("I;16"):
        return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, for which nobody knows what is white")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
    return image


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rows and columns (h, w, ...) as they ought to be seen, by the eight values of the EXIF tag."""
    if orientation in _SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _named(file: object) -> str:
    return os.fspath(file) if isinstance(file, (str, os.PathLike)) else repr(file)


def _reason(error: Exception) -> str:
    """What is wrong, without the path that the text around it names already."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image of a known format"
    return str(error) or type(error).__name__
