"""Where the batches of a training come from, checked once before any work."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from convnet.data import DataLoader, Stream
from convnet.data._loader import Items, check_changes, is_data_set
from convnet.data.transforms import Transform
from convnet.errors import DataError
from convnet.layers import Layer
from convnet.settings import Seed
from convnet.training._arrays import Data, check_batches, checked_data, checked_images_after

__all__ = ["AnyData", "Batches", "checked_batches"]

AnyData: TypeAlias = Data | Items | DataLoader | Stream
Batches: TypeAlias = DataLoader | Stream


def checked_batches(
    who: str,
    data: Any,
    model: Layer,
    dtype: np.dtype[Any],
    batch_size: int,
    shuffle: bool = False,
    augment: Transform | None = None,
    rng: Seed = 0,
    workers: int = 1,
    trains: bool = False,
) -> Batches:
    """Return batches of ``data`` that fit ``model``; the settings count where it is no `DataLoader` or `Stream` yet.

    With ``trains`` it must be possible to train on them.

    Raises
    ------
    SettingError
        If ``augment`` is no function.
    ShapeError, DTypeError, DataError
        If images or targets do not fit the model or each other; what a `Stream` gives is seen only when it comes.
    """
    check_changes(who, augment)
    if isinstance(data, Iterator):
        expected = "arrays (x, y), a data set, a DataLoader or a Stream"
        raise DataError(f"{who}: expected {expected}, got a {type(data).__name__}: Stream(function) takes its batches")
    if isinstance(data, Stream):
        return data
    if isinstance(data, DataLoader):
        loader = data
    elif is_data_set(data) and not isinstance(data, list):  # a list, as a tuple, is a pair of arrays
        loader = DataLoader(data, None, batch_size, shuffle, augment, rng, workers)
    else:
        x, y, weights = checked_data(who, data, model, dtype, augment)
        waits = augment is not None or isinstance(x, np.memmap)  # else there is nothing to prepare in a thread
        loader = DataLoader(x, y, batch_size, shuffle, augment, rng, workers if waits else 0, weights=weights)
    inside = isinstance(loader.x, np.ndarray)
    arrays: Any = (loader.x, loader.y, loader.weights) if inside else _all_like_the_first(who, loader)
    x, _, _ = checked_data(who, arrays, model, dtype, loader.augment)
    if trains:
        changed = checked_images_after(loader.augment, who, x, model, dtype)
        check_batches(who, changed, loader.batch_size, model)
    return loader


def _all_like_the_first(who: str, loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Arrays as a data set has them, as far as it can be told without reading it."""
    n, data = loader.images, loader.x
    if n == 0:
        raise DataError(f"{who}: expected at least one image, got an empty {type(data).__name__}")
    labels = loader.y
    if labels is None or not hasattr(data, "image_shape"):
        x, y = next(iter(DataLoader(data, batch_size=1, shuffle=False, workers=0)))
        labels = np.broadcast_to(y[0], (n, *y.shape[1:])) if labels is None else labels
    else:
        x = np.zeros((1, *data.image_shape), np.uint8)
    return np.broadcast_to(x[0], (n, *x.shape[1:])), labels
