"""Batches that come from somewhere else."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from convnet.data._ahead import ahead
from convnet.data._loader import Batch, check_changes
from convnet.data.transforms import Mix, Transform
from convnet.errors import DataError, SettingError, ShapeError
from convnet.settings import Seed, generator

__all__ = ["Stream"]


class Stream:
    """Batches (x, y) from a generator or any other iterable, for `Trainer.fit`: no length, no order of its own.

    Parameters
    ----------
    batches : iterable, or function that returns one
        Gives pairs of arrays: images (n, ...) and targets (n, ...). Every pass iterates over it again, or over what the
        function returns then. A generator object can do that only once: give the generator function.
    augment : callable, optional
        ``augment(x, rng)`` gets the images of each batch, see `convnet.data.transforms`.
    mix : callable, optional
        ``mix(x, y, rng)`` gets each batch after that, see `Mixup`.
    rng : int or numpy.random.Generator, optional
        Where the seeds of the passes come from; None draws a new seed.
    in_thread : bool
        Make batches in a thread, two ahead at most, while the step computes without the GIL; else when they are asked
        for.

    Attributes
    ----------
    rng : numpy.random.Generator

    Raises
    ------
    SettingError
        If ``batches``, ``augment``, ``mix`` or ``rng`` is none of these.

    Examples
    --------
    >>> def batches():
    ...     for label in range(3):
    ...         yield np.full((4, 1, 2, 2), label, np.uint8), np.full(4, label)
    >>> stream = Stream(batches)
    >>> [y.tolist() for x, y in stream]
    [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]]
    """

    def __init__(
        self,
        batches: Iterable[Batch] | Callable[[], Iterable[Batch]],
        augment: Transform | None = None,
        mix: Mix | None = None,
        rng: Seed = 0,
        in_thread: bool = True,
    ) -> None:
        if not callable(batches) and not hasattr(batches, "__iter__"):
            raise SettingError(f"Stream: expected an iterable or a function that returns one, got {batches!r}")
        check_changes("Stream", augment, mix)
        self.augment, self.mix, self.in_thread = augment, mix, in_thread
        self._batches = batches
        self.rng = generator(rng, "Stream")
        self._passes = 0

    @property
    def images(self) -> None:
        """Images a pass: nobody knows."""
        return

    @property
    def classifies(self) -> None:
        """Whether targets are classes: only the batches will tell."""
        return

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """One pass from batch number ``first`` on; those before it are made and thrown away."""
        source = iter(self._batches() if callable(self._batches) else self._batches)
        if source is self._batches and self._passes:
            raise DataError(
                f"Stream: expected batches for pass {self._passes + 1}, got a {type(source).__name__}, which gives them"
                " only once; give the function that makes it, or a list"
            )
        self._passes += 1
        seed = 0 if self.augment is None and self.mix is None else int(self.rng.integers(2**63))
        return self._pass(itertools.islice(source, first, None), first, seed)

    def _pass(self, source: Iterator[Batch], first: int, seed: int) -> Iterator[Batch]:
        def prepare(number: int) -> Batch | None:
            batch = next(source, None)
            return None if batch is None else self._prepared(batch, number, seed)

        numbers = itertools.count(first)
        batches = ahead(prepare, numbers, 1) if self.in_thread else map(prepare, numbers)
        count = first
        for batch in batches:
            if batch is None:
                break
            count += 1
            yield batch
        if count == 0:
            raise DataError(f"Stream: expected at least one batch, got none in pass {self._passes}")

    def _prepared(self, batch: Batch, number: int, seed: int) -> Batch:
        try:
            x, y = map(np.asarray, batch)
        except (TypeError, ValueError):
            raise ShapeError(f"Stream: expected pairs (x, y), got {type(batch).__name__} as batch {number}") from None
        if x.ndim == 0 or x.shape[:1] != y.shape[:1] or len(x) == 0:
            shapes = f"{x.shape} and {y.shape}"
            raise ShapeError(f"Stream: expected x and y of shapes (n, ...), n > 0, got {shapes} as batch {number}")
        rng = np.random.default_rng((seed, number))
        if self.augment is not None:
            x = self.augment(x, rng)
        return (x, y) if self.mix is None else self.mix(x, y, rng)
