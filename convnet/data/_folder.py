"""A folder of photographs, read while the training runs."""

import operator
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convnet.data._image import Fit, check_image_settings, read_image
from convnet.data._loader import DataLoader
from convnet.data._size import Size
from convnet.errors import DataError, DTypeError, SettingError, ShapeError

__all__ = ["ImageFolder", "image_files"]

SUFFIXES = {".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}

_NAMED = 20
"""Broken files that a warning names at most."""


class ImageFolder:
    """A data set in a folder: one subfolder a class, which holds its images, also in folders of its own.

    Making one only lists the files (a second for 100,000 of them). Images are decoded when a batch needs them, in the
    threads of the `DataLoader`, so that a folder may be larger than the memory. Files of other kinds, and those and
    folders whose names begin with a dot, are passed over. Needs ``pip install "convnet-cpu[images]"``.

    Parameters
    ----------
    folder : path
    size : int or (int, int), optional
        Height and width that each image is scaled to, see `read_image`. Without it all images must have one size.
    channels : {3, 1}
        Red, green, blue, or grey.
    fit : {"crop", "stretch"}
        How to reach ``size``: keep the proportions and cut off what is too much on both sides, or change them.
    errors : {"raise", "skip"}
        What to do about a file that cannot be read: tell it by an error, or make its batch without it, in every pass,
        and tell all such files by one warning at the end of the first.
    classes : sequence of str, optional
        The names of all classes in the order of their labels, as ``classes`` of the folder for training. By default the
        names of the subfolders, sorted.

    Attributes
    ----------
    folder : Path
    classes : tuple of str
        Names; the place of each is its label.
    files : tuple of Path
        Sorted by class, then by name.
    labels : ndarray of shape (n,), int64
    image_shape : (channels, height, width)
    broken : dict
        The files that could not be read so far, each with the reason.

    Raises
    ------
    SettingError
        If a setting is wrong.
    DataError
        If the folder cannot be listed, has not the subfolders of at least two classes, or one without an image. With
        ``classes`` given, some may be absent, but there must be no other.
    UnsupportedError
        If Pillow is not installed.

    Examples
    --------
    >>> import PIL.Image
    >>> for name, color in [("rose", "red"), ("tulip", "yellow"), ("violet", "purple")]:
    ...     Path("flowers", name).mkdir(parents=True)
    ...     PIL.Image.new("RGB", (60, 40), color).save(f"flowers/{name}/one.png")
    >>> flowers = ImageFolder("flowers", size=32)
    >>> flowers.classes, flowers.labels
    (('rose', 'tulip', 'violet'), array([0, 1, 2]))
    >>> image, label = flowers[1]
    >>> image.shape, image.dtype, image[:, 0, 0], label
    ((3, 32, 32), dtype('uint8'), array([255, 255,   0], dtype=uint8), 1)
    >>> for x, y in DataLoader(flowers, batch_size=2, shuffle=False):
    ...     print(x.shape, y)
    (2, 3, 32, 32) [0 1]
    (1, 3, 32, 32) [2]
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: Size | None = None,
        *,
        channels: Literal[1, 3] = 3,
        fit: Fit = "crop",
        errors: Literal["raise", "skip"] = "raise",
        classes: Sequence[str] | None = None,
    ) -> None:
        self.folder, self.channels, self.fit, self.errors = Path(folder), channels, fit, errors
        self.size = check_image_settings("ImageFolder", size, channels, fit)
        if errors not in ("raise", "skip"):
            raise SettingError(f"ImageFolder errors: expected 'raise' or 'skip', got {errors!r}")
        found = _subfolders(self.folder)
        self.classes = _named_classes(classes, found, self.folder)
        names = {name: _images(self.folder / name, "ImageFolder") if name in found else [] for name in self.classes}
        empty = [name for name in found if not names[name]]
        if empty:
            raise DataError(f"ImageFolder: expected images in {self.folder / empty[0]}, got none ({_kinds()})")
        self.files = tuple(file for files in names.values() for file in files)
        self.labels = np.repeat(np.arange(len(names), dtype=np.int64), [len(files) for files in names.values()])
        self.broken: dict[Path, str] = {}
        self._told = 0
        self.image_shape = (channels, *(self.size or self._first_size()))

    def __len__(self) -> int:
        """Files."""
        return len(self.files)

    def __getitem__(self, index: SupportsIndex) -> tuple[NDArray[np.uint8], int]:
        """Return the image (c, h, w) and the label of one file.

        Raises
        ------
        DataError, ShapeError
            If the file cannot be read, or its image has another size than the others.
        """
        number = operator.index(index)
        return self._read(self.files[number]), int(self.labels[number])

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.folder)!r}: {len(self)} images, {len(self.classes)} classes)"

    def batch(self, indices: Iterable[int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the images and labels of some files; with ``errors="skip"`` of those that can be read.

        Raises
        ------
        DataError, ShapeError
            As by indexing.
        """
        read = [(index, image) for index in indices if (image := self._read_or_skip(self.files[index])) is not None]
        x = np.empty((len(read), *self.image_shape), np.uint8)
        for target, (_, image) in zip(x, read, strict=True):
            target[...] = image
        return x, self.labels[[index for index, _ in read]]

    def load(self, workers: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read all images into memory, in order.

        Parameters
        ----------
        workers : int
            Threads that decode.

        Returns
        -------
        x, y : (n, c, h, w), uint8, and (n,), int64
        """
        x, n = np.empty((len(self), *self.image_shape), np.uint8), 0
        labels = []
        for images, part in DataLoader(self, batch_size=16, shuffle=False, workers=workers):
            x[n : n + len(images)] = images
            n += len(images)
            labels.append(part)
        return x[:n], np.concatenate(labels)

    def subset(self, indices: ArrayLike) -> "ImageFolder":
        """Return a data set of some of the files, with the same classes; see `stratified_split`.

        Raises
        ------
        ShapeError, DTypeError
            If ``indices`` are not integers of shape (m,).
        DataError
            If one is out of range.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1:
            raise ShapeError(f"ImageFolder.subset: expected indices of shape (m,), got {chosen.shape}")
        if chosen.dtype.kind not in "iu":
            raise DTypeError(f"ImageFolder.subset: expected indices of an integer type, got {chosen.dtype}")
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if outside.size or not chosen.size:
            got = outside[0] if outside.size else "none"
            raise DataError(f"ImageFolder.subset: expected indices in 0..{len(self) - 1}, got {got}")
        part = object.__new__(ImageFolder)
        part.__dict__.update(self.__dict__, broken={}, labels=self.labels[chosen], _told=0)
        part.files = tuple(self.files[index] for index in chosen)
        return part

    def end_pass(self) -> None:
        """Tell of the broken files that were met since the last time; `DataLoader` calls it when a pass is over.

        Raises
        ------
        DataError
            If no file can be read.
        """
        if self.broken and len(self.broken) == len(set(self.files)):
            raise DataError(f"ImageFolder: expected readable images in {self.folder}, got none: {self._list_broken()}")
        if len(self.broken) > self._told:
            self._told = len(self.broken)
            text = f"ImageFolder: skipped {self._told} of {len(self)} files that cannot be read: {self._list_broken()}"
            warnings.warn(text, stacklevel=3)

    def _list_broken(self) -> str:
        lines = [f"{file} ({reason})" for file, reason in sorted(self.broken.items())]
        more = f", and {len(lines) - _NAMED} more (see ImageFolder.broken)" if len(lines) > _NAMED else ""
        return ", ".join(lines[:_NAMED]) + more

    def _first_size(self) -> tuple[int, int]:
        """That of the first file that can be read."""
        for file in self.files:
            image = self._decoded_or_skip(file)
            if image is not None:
                return image.shape[1], image.shape[2]
        raise DataError(f"ImageFolder: expected readable images in {self.folder}, got none: {self._list_broken()}")

    def _read(self, file: Path) -> NDArray[np.uint8]:
        return self._checked(read_image(file, self.size, channels=self.channels, fit=self.fit), file)

    def _read_or_skip(self, file: Path) -> NDArray[np.uint8] | None:
        image = self._decoded_or_skip(file)
        return None if image is None else self._checked(image, file)

    def _decoded_or_skip(self, file: Path) -> NDArray[np.uint8] | None:
        """The image; None where it cannot be read, for which one try is enough."""
        if file in self.broken:
            return None
        try:
            return read_image(file, self.size, channels=self.channels, fit=self.fit)
        except DataError as error:
            if self.errors == "raise":
                raise
            self.broken[file] = str(error).partition(f"{file}: ")[2]
            return None

    def _checked(self, image: NDArray[np.uint8], file: Path) -> NDArray[np.uint8]:
        if image.shape != self.image_shape:
            first, other = (f"{h}x{w}" for _, h, w in (self.image_shape, image.shape))
            text = f"ImageFolder: expected images of one size, {first} as the first, got {other} in {file}"
            raise ShapeError(f"{text}; give size=(height, width)")
        return image


def _subfolders(folder: Path) -> list[str]:
    """The names of the subfolders, sorted."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"ImageFolder: expected a folder that can be read, got {folder}: {error.strerror}") from error
    if not names:
        raise DataError(f"ImageFolder: expected one subfolder a class in {folder}, got no subfolder")
    return names


def _named_classes(classes: Sequence[str] | None, found: list[str], folder: Path) -> tuple[str, ...]:
    names = tuple(found if classes is None else classes)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise DataError(f"ImageFolder: expected subfolders {', '.join(names)} in {folder}, got also {unknown[0]}")
    if len(set(names)) != len(names):
        raise SettingError(f"ImageFolder classes: expected names that are different, got {names}")
    if len(names) < 2:
        raise DataError(f"ImageFolder: expected subfolders of at least two classes in {folder}, got only {names[0]}")
    return names


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """List the image files in a folder and the folders in it, by their suffixes, sorted by their paths on any system.

    Files and folders whose names begin with a dot are passed over.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of Path
        Each begins with ``folder``.

    Raises
    ------
    DataError
        If a folder cannot be listed.

    Examples
    --------
    >>> for name in "b/2.png", "b/1.jpg", "a.webp", ".b/hidden.png", "b/notes.txt":
    ...     path = Path("holiday", name)
    ...     path.parent.mkdir(parents=True, exist_ok=True)
    ...     path.touch()
    >>> [file.as_posix() for file in image_files("holiday")]
    ['holiday/a.webp', 'holiday/b/1.jpg', 'holiday/b/2.png']
    """
    return _images(Path(folder), "image_files")


def _images(folder: Path, who: str) -> list[Path]:
    files = sorted(_walk(folder, who), key=lambda file: file.split(os.sep))
    return [Path(file) for file in files]


def _walk(folder: Path, who: str) -> Iterator[str]:
    """As text: making paths and asking them for their suffix would take most of the time."""

    def refuse(error: OSError) -> None:
        text = f"{who}: expected a folder that can be read, got {error.filename}: {error.strerror}"
        raise DataError(text) from error

    for path, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        kept = (name for name in names if not name.startswith("."))
        yield from (os.path.join(path, name) for name in kept if os.path.splitext(name)[1].lower() in SUFFIXES)


def _kinds() -> str:
    return ", ".join(sorted(SUFFIXES))
