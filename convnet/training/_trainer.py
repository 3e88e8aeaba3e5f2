"""The training loop."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convnet.data import DataLoader, Stream, as_floats
from convnet.data._loader import Items, is_data_set
from convnet.data.transforms import Transform
from convnet.errors import DataError, SettingError, ShapeError
from convnet.functional import softmax
from convnet.settings import Seed, integer, real
from convnet.training._arrays import checked_images
from convnet.training._batches import AnyData, Batches, checked_batches
from convnet.training._checkpoint import Checkpoint, checked_checkpoint
from convnet.training._engine import Engine
from convnet.training._history import Epoch, History
from convnet.training._rates import LearningRates, try_rates
from convnet.training._run import Run
from convnet.training.callbacks import Callback, Function, checked_callbacks

__all__ = ["Trainer"]


class Trainer(Engine):
    """Trains a model on arrays.

    Images ``x`` are uint8, which is scaled to 0-1 (``x / 255``), or already of the dtype of the model. Targets ``y``
    are what the loss takes: class indices (n,) of any integer dtype, or numbers of the shape of the outputs.

    Parameters
    ----------
    model : Layer
        Its layers and parameters are looked up once, here, and fused as by `convnet.fuse`.
    loss : Loss
    optimizer : Optimizer
    average : WeightAverage, optional
        Of the weights of ``model``, taken after every step. It is then the averaged model that `evaluate`, `predict`
        and the validation of `fit` measure.
    metrics : sequence of Metric
        Objects such as `convnet.metrics.TopK`, which `evaluate` and the validation of `fit` measure beside loss and
        accuracy; their values are numbers, from which a figure ``val_name`` comes.

    Attributes
    ----------
    history : History
        The finished epochs of the latest `fit`, there also after an error or Ctrl-C.
    measured : Layer
        What `evaluate` and `predict` apply: ``model``, or the model of ``average``.
    figures : list of str
        The figures that each epoch of the latest `fit` has, such as "val_loss", by which to judge it.
    stopped : bool
        Whether `stop` has been called since `fit` began.

    Notes
    -----
    The losses of auxiliary heads (`AuxiliaryHead`) are part of the training loss, and of no other figure.

    Ctrl-C during `fit` takes effect after the step that is running: a batch is applied wholly or not at all. `fit` then
    raises KeyboardInterrupt, the model keeps the weights of the last step, and ``history`` the finished epochs.

    Examples
    --------
    >>> from convnet import models, optim
    >>> from convnet.data import digits
    >>> from convnet.losses import SoftmaxCrossEntropy
    >>> train, test = digits()
    >>> trainer = Trainer(models.simple_cnn(rng=0), SoftmaxCrossEntropy(), optim.Adam(lr=2e-3))
    >>> history = trainer.fit(train, validation=test, epochs=2, progress=False)
    >>> history[-1].val_accuracy > 0.9
    True
    >>> images, labels = test
    >>> trainer.predict(images[:2]).shape
    (2, 10)
    """

    def fit(
        self,
        train: AnyData,
        validation: AnyData | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        shuffle: bool = True,
        rng: Seed = 0,
        augment: Transform | None = None,
        progress: bool | str = True,
        workers: int = 1,
        *,
        accumulate: int = 1,
        callbacks: Sequence[Callback | Function] = (),
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> History:
        """Train for some epochs, each one pass over ``train``; a `Plateau` is told the loss after each.

        Parameters
        ----------
        train : arrays (x, y) or (x, y, weights), or DataLoader
            x of shape (n, c, h, w); the last batch of an epoch holds what remains. ``weights`` (n,) tell how much each
            image counts in the loss; those with mean 1 leave the loss its scale. A `DataLoader` has its own batch
            size, order, generator, ``augment`` and workers; those given here then do not count.
        validation : arrays (x, y) or (x, y, weights), optional
            Evaluated after each epoch; weights count in the loss.
        epochs : int
            Passes over ``train``.
        batch_size : int
            Images a step.
        shuffle : bool
            Take a new random order each epoch.
        rng : int or numpy.random.Generator, optional
            Where the order and ``augment`` draw from: the same seed gives the same weights, bit for bit; None draws a
            new seed.
        augment : callable, optional
            ``augment(x, rng)`` gets each batch of training images, as stored, and returns a changed copy; see
            `convnet.data.transforms`. It is called in other threads, ahead of time.
        progress : bool or "plain"
            True shows a live bar on standard error where that is a terminal, "plain" writes a line an epoch there.
        workers : int
            Threads that ``augment`` runs in; their number does not change the result. With 0 it runs between the steps.
        accumulate : int
            Parts that each batch is computed in, as for `step`.
        callbacks : sequence of Callback or functions of (trainer, epoch)
            Who is told of steps and epochs, see `Callback`.
        checkpoint : Checkpoint or folder, optional
            Where the state of the training is kept after each epoch, and after Ctrl-C.
        resume : bool
            Go on from the last checkpoint there, or begin if there is none: the weights become the same, bit for bit,
            as without a break, if all else is the same. ``epochs`` counts from the first beginning.

        Returns
        -------
        History

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If settings or data are wrong, others than those of the checkpoint, or a last batch of one image cannot
            train; before any work.
        WeightsError
            If the checkpoint is of another model or optimizer, or there are damaged ones only.
        DivergedError
            If the loss stops being finite, or the norm of gradients to be clipped; the weights are then those of the
            step before.
        """
        for _ in self.iter_fit(
            train,
            validation,
            epochs,
            batch_size,
            shuffle,
            rng,
            augment,
            progress,
            workers,
            accumulate=accumulate,
            callbacks=callbacks,
            checkpoint=checkpoint,
            resume=resume,
        ):
            pass
        return self.history

    def iter_fit(
        self,
        train: AnyData,
        validation: AnyData | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        shuffle: bool = True,
        rng: Seed = 0,
        augment: Transform | None = None,
        progress: bool | str = True,
        workers: int = 1,
        *,
        accumulate: int = 1,
        callbacks: Sequence[Callback | Function] = (),
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Iterator[Epoch]:
        """As `fit`, one epoch at a time: save the model or stop early between them.

        Returns
        -------
        iterator of Epoch

        Examples
        --------
        >>> from convnet import models, optim
        >>> from convnet.data import digits
        >>> from convnet.losses import SoftmaxCrossEntropy
        >>> train, test = digits()
        >>> trainer = Trainer(models.simple_cnn(rng=0), SoftmaxCrossEntropy(), optim.Adam(lr=2e-3))
        >>> for epoch in trainer.iter_fit(train, test, epochs=100, progress=False):
        ...     if epoch.val_accuracy > 0.8:
        ...         break
        >>> epoch.epoch < 100
        True
        """
        if progress not in (True, False, "plain"):
            raise SettingError(f'Trainer.fit progress: expected True, False or "plain", got {progress!r}')
        epochs = integer(epochs, "Trainer.fit epochs")
        size = integer(batch_size, "Trainer.fit batch_size")
        workers = integer(workers, "Trainer.fit workers", least=0)
        training = self._loader("Trainer.fit", train, size, shuffle, augment, rng, workers)
        validating = None
        if validation is not None:
            validating = checked_batches(
                "Trainer.fit validation", validation, self.model, self._dtype, size, workers=workers
            )
        told = checked_callbacks("Trainer.fit callbacks", callbacks)
        parts = integer(accumulate, "Trainer.fit accumulate")
        self.figures = self._figures_of(training, validating)
        checkpoint = checked_checkpoint(checkpoint, self.figures)
        if resume and checkpoint is None:
            raise SettingError("Trainer.fit resume: expected a checkpoint to resume from, got checkpoint=None")
        state = None if checkpoint is None else checkpoint.open(resume)
        self.history, self.stopped = History(smaller=self._smaller), False
        run = Run(self, training, validating, epochs, parts, told, checkpoint, progress)
        if state is not None:
            run.load_state_dict(state)
        return run.run()

    def find_learning_rate(
        self,
        train: AnyData,
        lowest: float = 1e-5,
        highest: float = 10.0,
        steps: int = 100,
        batch_size: int = 64,
        rng: Seed = 0,
        augment: Transform | None = None,
    ) -> LearningRates:
        """Try rising learning rates, one a step, and see how the loss takes it (Smith 2017, arXiv:1506.01186).

        Everything is put back afterwards: weights, optimizer, random generators and history are as before.

        Parameters
        ----------
        train, batch_size, rng, augment
            As for `fit`.
        lowest, highest : float
            Of the rates, which rise by the same factor from step to step. It ends early once the loss is four times
            the least one, or not finite.
        steps : int
            At least 3.

        Returns
        -------
        LearningRates
            Rates, losses, and a suggestion.

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If settings or data are wrong, or the loss is not finite from the beginning.

        Examples
        --------
        >>> from convnet import models, optim
        >>> from convnet.data import digits
        >>> from convnet.losses import SoftmaxCrossEntropy
        >>> train, _ = digits()
        >>> trainer = Trainer(models.simple_cnn(rng=0), SoftmaxCrossEntropy(), optim.SGD(1.0, momentum=0.9))
        >>> found = trainer.find_learning_rate(train)
        >>> 0.001 < found.suggestion < 1
        True
        """
        who = "Trainer.find_learning_rate"
        least = real(lowest, f"{who} lowest", below=real(highest, f"{who} highest"))
        if least == 0:
            raise SettingError(f"{who} lowest: expected a rate above 0, got {lowest}")
        batches = self._loader(who, train, integer(batch_size, f"{who} batch_size"), True, augment, rng, 0)
        return try_rates(self, batches, least, highest, integer(steps, f"{who} steps", least=3))

    def _loader(
        self,
        who: str,
        train: AnyData,
        batch_size: int,
        shuffle: bool,
        augment: Transform | None,
        rng: Seed,
        workers: int,
    ) -> Batches:
        """Training data, checked."""
        settings = batch_size, shuffle, augment, rng, workers
        return checked_batches(who, train, self.model, self._dtype, *settings, trains=True)

    def evaluate(self, data: AnyData, batch_size: int = 256) -> dict[str, float]:
        """Measure the model, or its average, on ``data``; nothing is trained.

        Parameters
        ----------
        data : arrays (x, y) or (x, y, weights)
            As for `fit`.
        batch_size : int
            Bounds the memory; does not change the result but for rounding.

        Returns
        -------
        dict
            ``{"loss": mean loss, "accuracy": fraction told right}`` and the ``metrics``; no "accuracy" where the
            targets are no classes.

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If settings or data are wrong.
        """
        size = integer(batch_size, "Trainer.evaluate batch_size")
        meter, measured = self.measure(checked_batches("Trainer.evaluate", data, self.model, self._dtype, size))
        figures = {"loss": meter.loss, "accuracy": meter.accuracy, **measured}
        return {name: value for name, value in figures.items() if value is not None}

    def predict(self, x: ArrayLike | Items | Batches, batch_size: int = 256) -> np.ndarray:
        """Apply the model, or its average, in batches.

        Parameters
        ----------
        x : array of shape (n, c, h, w), uint8 or the dtype of the model; or a data set or batches, as for `fit`
            Images; targets that come with them do not matter. A `DataLoader` that shuffles gives them in its order.
        batch_size : int
            Bounds the memory; batches have sizes of their own.

        Returns
        -------
        ndarray of shape (n, ...)
            The outputs: logits for a classifier, so ``predict(x).argmax(axis=1)`` are classes.

        Raises
        ------
        SettingError, ShapeError, DTypeError
            If ``batch_size`` or ``x`` is wrong.
        DataError
            If a data set leaves out images: rows would no longer tell which image they are of.
        """
        size = integer(batch_size, "Trainer.predict batch_size")
        parts = self._images("Trainer.predict", x, size)
        return np.concatenate([self._fused_measured(as_floats(images, self._dtype)) for images in parts])

    def _images(self, who: str, x: Any, size: int) -> Iterator[np.ndarray]:
        """Images in parts, at least one part."""
        is_array = isinstance(x, list) or hasattr(x, "__array__")
        if isinstance(x, DataLoader | Stream) or (is_data_set(x) and not is_array):
            batches = checked_batches(who, x, self.model, self._dtype, size)
            for number, (images, *_) in enumerate(batches.batches()):
                if isinstance(batches, DataLoader):
                    _check_whole(who, images, number, batches)
                yield images
        else:
            images = checked_images(who, x, self.model, self._dtype)
            for first in range(0, max(len(images), 1), size):
                yield images[first : first + size]

    def predict_proba(self, x: ArrayLike | Items | Batches, batch_size: int = 256) -> np.ndarray:
        """`predict`, then softmax: probabilities of the classes.

        Returns
        -------
        ndarray of shape (n, classes)
            Rows that add up to 1.

        Raises
        ------
        SettingError, ShapeError, DTypeError
            As from `predict`, and if the outputs are not (n, classes).
        """
        logits = self.predict(x, batch_size)
        if logits.ndim != 2:
            raise ShapeError(f"Trainer.predict_proba: expected outputs of shape (n, classes), got {logits.shape}")
        return softmax(logits)


def _check_whole(who: str, images: np.ndarray, number: int, loader: DataLoader) -> None:
    expected = min(loader.batch_size, loader.images - number * loader.batch_size)
    if len(images) < expected:
        raise DataError(
            f"{who}: expected all images, got a data set that left out {expected - len(images)} of batch {number}; "
            "leave them out before, as by ImageFolder.subset"
        )
