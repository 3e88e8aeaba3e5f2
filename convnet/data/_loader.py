"""Batches, prepared in threads beside the training step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convnet.data._ahead import ahead
from convnet.data._labels import are_classes
from convnet.data.transforms import Mix, Transform
from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.settings import Seed, function, generator, integer

__all__ = ["Batch", "DataLoader", "Items", "check_changes", "is_data_set"]

Batch: TypeAlias = tuple[np.ndarray, ...]
"""Images and targets, then their weights if there are any."""


class Items(Protocol):
    """A data set that gives one image and its target at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


class DataLoader:
    """Images and targets in batches; every iteration is one pass, the last batch holds what remains.

    Batch i of a pass draws from a generator of its own, made from one number that the pass draws from ``rng`` and from
    i. The same seed therefore gives the same batches, bit for bit, for any number of workers.

    Parameters
    ----------
    x : array of shape (n, ...), or data set
        Images; any dtype. A `numpy.memmap` is read in the workers, batch by batch. A data set, such as `ImageFolder`,
        is any object with ``len(x)`` and ``x[i] -> (image, target)``, which is called in the workers, by several of
        them at once where there are several.
    y : array of shape (n, ...), optional
        Targets, one an image; not for a data set.
    batch_size : int
        Images a batch.
    shuffle : bool
        Take a new random order at each pass.
    augment : callable, optional
        ``augment(x, rng)`` gets each batch of images and returns a changed copy, as `convnet.data.transforms` do. It is
        called in the workers, by several of them at once where there are several.
    rng : int or numpy.random.Generator, optional
        Where the orders and the seeds of the batches come from; None draws a new seed.
    workers : int
        Threads that prepare batches ahead of time, while the step computes without the GIL; with 0 each batch is
        prepared when it is asked for.
    mix : callable, optional
        ``mix(x, y, rng)`` gets each batch after ``augment`` and returns changed images and targets, as `Mixup` does.
    weights : array of shape (n,), optional
        How much each image counts in the loss: batches are then triples ``(x, y, weights)``.

    Attributes
    ----------
    x : ndarray or data set
    y : ndarray or None
        Of a data set its ``labels``, where it has them.
    weights : ndarray or None
    rng : numpy.random.Generator

    Raises
    ------
    SettingError
        If ``batch_size`` or ``workers`` is wrong, or ``augment`` or ``mix`` no function.
    ShapeError
        If there is not one target, or one weight, for each image; during a pass, if the images of a batch have not one
        shape.
    DTypeError
        If ``x`` alone is no data set; during a pass, if the images of a batch have not one dtype.

    Notes
    -----
    The threads live as long as the pass. At most two batches a worker wait in memory. An error in a worker appears
    where its batch is asked for.

    A data set may have more, which is then used: ``batch(indices) -> (x, y)``, instead of one item after another, may
    leave out what cannot be read, and a batch that is empty is passed over; ``end_pass()`` is called when all batches
    of a pass were given; ``labels`` (n,) and ``image_shape`` let `Trainer` find what does not fit before any work.

    Examples
    --------
    >>> from convnet.data import digits
    >>> from convnet.data.transforms import RandomAffine
    >>> (x, y), _ = digits()
    >>> loader = DataLoader(x, y, batch_size=128, augment=RandomAffine(shift=2), rng=0)
    >>> len(loader)
    32
    >>> for images, labels in loader:
    ...     pass
    >>> images.shape, labels.shape
    ((32, 1, 28, 28), (32,))

    Any sequence of pairs is a data set:

    >>> squares = [(np.full((1, 2, 2), i, np.uint8), i * i) for i in range(5)]
    >>> [y.tolist() for x, y in DataLoader(squares, batch_size=2, shuffle=False)]
    [[0, 1], [4, 9], [16]]
    """

    def __init__(
        self,
        x: ArrayLike | Items,
        y: ArrayLike | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
        augment: Transform | None = None,
        rng: Seed = 0,
        workers: int = 1,
        mix: Mix | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        # Slices of what is in memory cost nothing; those of a file would be read by whoever uses them.
        self._sliced = y is not None and not any(isinstance(array, np.memmap) for array in (x, y))
        self.x: Any
        self.y: np.ndarray | None
        self.x, self.y = _checked_set(x) if y is None else _checked_arrays(x, y)
        self.weights = None if weights is None else _checked_weights(weights, self.x, mix)
        self.batch_size = integer(batch_size, "DataLoader batch_size")
        self.workers = integer(workers, "DataLoader workers", least=0)
        check_changes("DataLoader", augment, mix)
        self.shuffle, self.augment, self.mix = shuffle, augment, mix
        self.rng = generator(rng, "DataLoader")

    @property
    def images(self) -> int:
        """Images a pass."""
        return len(self.x)

    @property
    def classifies(self) -> bool | None:
        """Whether targets are classes and not numbers to be hit; None where only the batches will tell."""
        return None if self.y is None else are_classes(self.y)

    def __len__(self) -> int:
        """Batches a pass."""
        return -(-self.images // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return filter(_has_images, self.batches())

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """One pass from batch number ``first`` on: the batches are those of a whole pass, also where one is empty."""
        n = self.images
        order = self.rng.permutation(n) if self.shuffle else None if self._sliced else np.arange(n)
        seed = 0 if self.augment is None and self.mix is None else int(self.rng.integers(2**63))
        return self._pass(partial(self._batch, order, seed), range(first, len(self)))

    def _pass(self, prepare: Callable[[int], Batch], numbers: Iterable[int]) -> Iterator[Batch]:
        batches = ahead(prepare, numbers, self.workers) if self.workers else map(prepare, numbers)
        yield from batches
        if hasattr(self.x, "end_pass"):
            self.x.end_pass()

    def _batch(self, order: np.ndarray | None, seed: int, number: int) -> Batch:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        x, y, *weights = self._take(part if order is None else order[part])
        rng = np.random.default_rng((seed, number))
        if self.augment is not None and len(x):
            x = self.augment(x, rng)
        return (x, y, *weights) if self.mix is None or not len(x) else self.mix(x, y, rng)

    def _take(self, chosen: Any) -> Batch:
        if isinstance(self.x, np.ndarray):
            pair = self.x[chosen], np.asarray(self.y)[chosen]
            return pair if self.weights is None else (*pair, self.weights[chosen])
        indices = chosen.tolist()
        if hasattr(self.x, "batch"):
            x, y = self.x.batch(indices)
            return x, y
        return _stacked([self.x[index] for index in indices], indices)


def check_changes(who: str, augment: object, mix: object = None) -> None:
    """Raise a SettingError if what is to change the batches is there and no function."""
    if augment is not None:
        function(augment, f"{who} augment", "(x, rng)")
    if mix is not None:
        function(mix, f"{who} mix", "(x, y, rng)")


def is_data_set(x: object) -> bool:
    """Whether ``x`` gives its images one by one, and is neither an array nor a pair of them."""
    return hasattr(x, "__len__") and hasattr(x, "__getitem__") and not isinstance(x, (np.ndarray, tuple, str, bytes))


def _checked_arrays(x: object, y: object) -> tuple[np.ndarray, np.ndarray]:
    images, targets = np.asarray(x), np.asarray(y)
    if images.ndim == 0 or images.shape[:1] != targets.shape[:1]:
        shapes = f"{images.shape} and {targets.shape}"
        raise ShapeError(f"DataLoader: expected x and y of shapes (n, ...), got {shapes}")
    return images, targets


def _checked_weights(weights: ArrayLike, x: object, mix: Mix | None) -> np.ndarray:
    """Weights of images that lie in an array; mixed images have none of their own."""
    array = np.asarray(weights)
    if not isinstance(x, np.ndarray) or mix is not None:
        raise SettingError("DataLoader weights: expected arrays x and y, and no mix, got something else")
    if array.shape != x.shape[:1]:
        raise ShapeError(f"DataLoader: expected weights of shape ({len(x)},), one an image, got {array.shape}")
    return array


def _checked_set(x: object) -> tuple[Any, np.ndarray | None]:
    if not is_data_set(x):
        raise DTypeError(
            f"DataLoader: expected x and y, or a data set with len(x) and x[i] -> (image, target), "
            f"got only a {type(x).__name__}"
        )
    labels = getattr(x, "labels", None)
    return x, None if labels is None else np.asarray(labels)


def _stacked(items: Sequence[Any], indices: Sequence[int]) -> Batch:
    """Items as a batch."""
    images, targets = [], []
    for item, index in zip(items, indices, strict=True):
        try:
            x, y = item
        except (TypeError, ValueError):
            got = f"a {type(item).__name__} at index {index}"
            raise ShapeError(f"DataLoader: expected items (image, target), got {got}") from None
        images.append(np.asarray(x))
        targets.append(np.asarray(y))
        for what, arrays in (("images", images), ("targets", targets)):
            _check_alike(what, arrays[0], arrays[-1], indices[0], index)
    return np.stack(images), np.stack(targets)


def _check_alike(what: str, first: np.ndarray, other: np.ndarray, first_index: int, index: int) -> None:
    if other.shape != first.shape:
        shapes = f"{first.shape} at index {first_index} and {other.shape} at index {index}"
        raise ShapeError(f"DataLoader: expected {what} of one shape, got {shapes}")
    if other.dtype != first.dtype:
        dtypes = f"{first.dtype} at index {first_index} and {other.dtype} at index {index}"
        raise DTypeError(f"DataLoader: expected {what} of one dtype, got {dtypes}")


def _has_images(batch: Batch) -> bool:
    return len(batch[0]) > 0
