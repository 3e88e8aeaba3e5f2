"""Data for the commands: published data sets, and folders of images."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from convnet.cli._models import takes_channels
from convnet.cli._settings import DATA_SETS, Settings
from convnet.data import ImageFolder, cifar10, digits, fashion_mnist, mnist, stratified_split
from convnet.data.transforms import Resize
from convnet.errors import DataError, SettingError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Data", "Images", "channels_of", "files_told", "load", "opened"]

Images = tuple[np.ndarray, np.ndarray] | ImageFolder


@dataclass(frozen=True)
class _Published:
    load: Callable[[], tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]
    noun: str
    classes: tuple[str, ...]


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_PUBLISHED = {
    "digits": _Published(digits, "digits", _DIGITS),
    "mnist": _Published(mnist, "digits", _DIGITS),
    "fashion_mnist": _Published(fashion_mnist, "pictures", _CLOTHES),
    "cifar10": _Published(cifar10, "pictures", _THINGS),
}

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The EXIF tag of how the camera was held, and its values where rows of the file are columns of the picture."""

_TRAIN, _VALIDATION, _TEST = "train", ("val", "valid", "validation"), "test"


@dataclass(frozen=True)
class Data:
    """Images to train on, to choose by and to report on.

    Attributes
    ----------
    train, validation, test : pair (x, y), ImageFolder or None
    classes : tuple of str
        Names, in the order of the labels.
    image_shape : (c, h, w)
    noun : str
        What the images are called.
    """

    train: Images
    validation: Images | None
    test: Images | None
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    noun: str

    def split(self, part: float, seed: int) -> Data:
        """With a part of the training images, taken from every class alike, for validation."""
        labels = self.train.labels if isinstance(self.train, ImageFolder) else self.train[1]
        first, second = stratified_split(labels, part, seed)
        return replace(self, train=_taken(self.train, first), validation=_taken(self.train, second))

    @property
    def held_out(self) -> tuple[Images | None, str]:
        """What the training does not see and is judged by at the end, and what it is called."""
        if self.test is not None:
            return self.test, f"held-out {self.noun}"
        return self.validation, f"validation {self.noun}"


def channels_of(settings: Settings) -> Literal[1, 3]:
    """Of the images in a folder: as told, else those that the model takes."""
    number = (
        settings.channels or settings.model_options.get("in_channels") or (3 if takes_channels(settings.model) else 1)
    )
    return cast("Literal[1, 3]", number)


def load(settings: Settings, classes: Sequence[str] | None = None) -> Data:
    """The data that settings name, without a split of its training images.

    Parameters
    ----------
    settings : Settings
    classes : sequence of str, optional
        Of a model that is there already: a folder must have no other.

    Raises
    ------
    DataError, ShapeError
        If data are missing or damaged.
    """
    if settings.data not in DATA_SETS:
        return _folder(settings, classes)
    for name in ("channels", "fit"):
        if getattr(settings, name) != getattr(Settings(), name):
            raise SettingError(
                f"--{name}: expected a folder of images to use it with, got the data set {settings.data}"
            )
    known = _PUBLISHED[settings.data]
    train, test = known.load()
    if settings.image_size is not None:
        train, test = (_resized(each, settings.image_size) for each in (train, test))
    return Data(train, None, test, known.classes, train[0].shape[1:], known.noun)


@contextmanager
def files_told() -> Iterator[None]:
    """Add to an error about a file that there is a way to do without it."""
    try:
        yield
    except DataError as error:
        name, found, text = str(error).partition("read_image: ")
        if name or not found:
            raise
        raise DataError(f"{text}; --broken skip does without such files") from error


def _resized(images: tuple[np.ndarray, np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return Resize(size)(images[0], np.random.default_rng(0)), images[1]


def _taken(images: Images, indices: np.ndarray) -> Images:
    return images.subset(indices) if isinstance(images, ImageFolder) else (images[0][indices], images[1][indices])


def _folder(settings: Settings, classes: Sequence[str] | None) -> Data:
    folder = Path(settings.data)
    parts = (folder / _TRAIN).is_dir()
    train = opened(folder / _TRAIN if parts else folder, settings, classes)
    others = [folder / name for name in _VALIDATION if parts and (folder / name).is_dir()]
    validation = opened(others[0], settings, train.classes) if others else None
    test = opened(folder / _TEST, settings, train.classes) if parts and (folder / _TEST).is_dir() else None
    for each in (validation, test):
        if each is not None and each.image_shape != train.image_shape:
            first, other = ("x".join(map(str, one.image_shape[1:])) for one in (train, each))
            raise ShapeError(
                f"{each.folder}: expected images of {first}, as in {train.folder}, got {other}; give --image-size"
            )
    return Data(train, validation, test, train.classes, train.image_shape, "images")


def opened(folder: Path, settings: Settings, classes: Sequence[str] | None) -> ImageFolder:
    """A folder of images, with errors that name options."""
    errors: Any = "raise" if settings.broken == "refuse" else "skip"
    fit: Any = settings.fit
    try:
        images = ImageFolder(
            folder, settings.image_size, channels=channels_of(settings), fit=fit, errors=errors, classes=classes
        )
    except DataError as error:
        raise DataError(str(error).replace("ImageFolder: ", "", 1)) from error
    if settings.image_size is None:
        _check_sizes(images)
    return images


def _check_sizes(images: ImageFolder) -> None:
    """Find the first image of another size now and not in the middle of the training: only headers are read."""
    import PIL.Image

    sizes: dict[tuple[int, int], Path] = {}
    for file in images.files:
        try:
            with PIL.Image.open(file) as image:
                sideways = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
                height, width = image.size if sideways else image.size[::-1]
        except Exception:  # decoders raise nearly anything; what cannot be read is told when it is read
            continue
        sizes.setdefault((height, width), file)
        if len(sizes) > 1:
            (first, _), (other, where) = sizes.items()
            raise ShapeError(
                f"{images.folder}: expected images of one size, or --image-size, "
                f"got {first[0]}x{first[1]} and {other[0]}x{other[1]} in {where}"
            )
