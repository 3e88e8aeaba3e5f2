"""Batches, prepared in threads beside the training step."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convnet.data.transforms import Transform
from convnet.errors import ShapeError
from convnet.settings import integer

__all__ = ["DataLoader"]

Batch: TypeAlias = tuple[np.ndarray, ...]
"""Images and targets, then their weights if there are any."""

_AHEAD = 2
"""Batches a worker is ahead of the step at most: one in the making, one that waits."""


class DataLoader:
    """Images and targets in batches; every iteration is one pass, the last batch holds what remains.

    Batch i of a pass draws from a generator of its own, made from one number that the pass draws from ``rng`` and from
    i. The same seed therefore gives the same batches, bit for bit, for any number of workers.

    Parameters
    ----------
    x : array of shape (n, ...)
        Images; any dtype.
    y : array of shape (n, ...)
        Targets, one an image.
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
    weights : array of shape (n,), optional
        How much each image counts in the loss: batches are then triples ``(x, y, weights)``.

    Attributes
    ----------
    x, y : ndarray
    weights : ndarray or None
    rng : numpy.random.Generator

    Raises
    ------
    SettingError
        If `batch_size` or `workers` is wrong.
    ShapeError
        If there is not one target, or one weight, for each image.

    Notes
    -----
    The threads live as long as the pass. At most two batches a worker wait in memory. An error in a worker appears
    where its batch is asked for.

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
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int = 64,
        shuffle: bool = True,
        augment: Transform | None = None,
        rng: int | np.random.Generator | None = 0,
        workers: int = 1,
        weights: ArrayLike | None = None,
    ) -> None:
        self.x, self.y = np.asarray(x), np.asarray(y)
        if self.x.ndim == 0 or self.x.shape[:1] != self.y.shape[:1]:
            raise ShapeError(f"DataLoader: expected x and y of shapes (n, ...), got {self.x.shape} and {self.y.shape}")
        self.weights = None if weights is None else np.asarray(weights)
        if self.weights is not None and self.weights.shape != self.x.shape[:1]:
            raise ShapeError(
                f"DataLoader: expected weights of shape ({len(self.x)},), one an image, got {self.weights.shape}"
            )
        self.batch_size = integer(batch_size, "DataLoader batch_size")
        self.workers = integer(workers, "DataLoader workers", least=0)
        self.shuffle, self.augment = shuffle, augment
        self.rng = np.random.default_rng(rng)

    @property
    def classifies(self) -> bool:
        """Whether targets are class indices (n,) or probabilities (n, classes), and not numbers to be hit."""
        y = self.y
        if y.ndim != 2 or y.shape[1] < 2:
            return y.ndim == 1
        return bool(np.all(y >= 0) and np.allclose(y.sum(axis=1), 1))

    def __len__(self) -> int:
        """Batches a pass."""
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """One pass from batch number ``first`` on: the batches are those of a whole pass."""
        order = self.rng.permutation(len(self.x)) if self.shuffle else None
        seed = 0 if self.augment is None else int(self.rng.integers(2**63))
        prepare = partial(self._batch, order, seed)
        numbers = range(first, len(self))
        return self._ahead(prepare, numbers) if self.workers else map(prepare, numbers)

    def _batch(self, order: np.ndarray | None, seed: int, number: int) -> Batch:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        chosen = part if order is None else order[part]
        x = self.x[chosen]
        if self.augment is not None:
            x = self.augment(x, np.random.default_rng((seed, number)))
        return (x, self.y[chosen]) if self.weights is None else (x, self.y[chosen], self.weights[chosen])

    def _ahead(self, prepare: Callable[[int], Batch], numbers: Iterable[int]) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.workers, "convnet-data")
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in numbers:
                waiting.append(pool.submit(prepare, number))
                if len(waiting) > _AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
