"""The training loop."""

import logging
import math
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from convnet.context import Context
from convnet.data.transforms import Transform
from convnet.errors import DivergedError, SettingError
from convnet.inference import fuse
from convnet.layers import Layer
from convnet.losses import Loss, auxiliary_loss
from convnet.optim import Optimizer
from convnet.settings import integer
from convnet.training._arrays import as_floats, checked_images
from convnet.training._average import WeightAverage
from convnet.training._batches import AnyData, Batches, checked_batches
from convnet.training._history import Epoch, History
from convnet.training._interrupt import InterruptBetweenSteps
from convnet.training._meter import Meter
from convnet.training._progress import ProgressBar

__all__ = ["Trainer"]

logger = logging.getLogger("convnet")


class Trainer:
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

    Attributes
    ----------
    history : History
        The finished epochs of the latest `fit`, there also after an error or Ctrl-C.

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

    def __init__(self, model: Layer, loss: Loss, optimizer: Optimizer, *, average: WeightAverage | None = None) -> None:
        if average is not None and average.source is not model:
            raise SettingError("Trainer average: expected an average of the model given, got one of another")
        self.model, self.loss, self.optimizer, self.average = model, loss, optimizer, average
        self.history = History()
        self._parameters = model.parameters()
        self._fused = fuse(model)
        self._measured = self._fused if average is None else fuse(average.model)
        self._dtype = self._parameters[0].dtype if self._parameters else np.dtype(np.float32)

    def step(self, x: ArrayLike, y: ArrayLike) -> float:
        """Train on one batch: forward, loss, backward, update.

        Parameters
        ----------
        x : array of shape (n, c, h, w), uint8 or the dtype of the model
            Images.
        y : array of shape (n,) or that of the outputs
            Targets.

        Returns
        -------
        float
            The loss before the update, with those of auxiliary heads.

        Raises
        ------
        ShapeError, DTypeError, DataError
            If the arrays do not fit the model or the loss.
        DivergedError
            If the loss, or the norm of gradients to be clipped, is not finite; the weights then stay as they were.
        """
        return self._step(as_floats(np.asarray(x), self._dtype), np.asarray(y))[0]

    def fit(
        self,
        train: AnyData,
        validation: AnyData | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = 0,
        augment: Transform | None = None,
        progress: bool = True,
        workers: int = 1,
    ) -> History:
        """Train for some epochs, each one pass over ``train``; a `Plateau` is told the loss after each.

        Parameters
        ----------
        train : pair of arrays (x, y), ImageFolder or other data set, DataLoader, or Stream
            x of shape (n, c, h, w); the last batch of an epoch holds what remains. A `DataLoader` or a `Stream` has its
            own batch size, order, generator, ``augment`` and workers; those given here then do not count.
        validation : the same, optional
            Evaluated after each epoch.
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
        progress : bool
            Show a live bar on standard error where that is a terminal.
        workers : int
            Threads that images are read and ``augment`` runs in; their number does not change the result. With 0 that
            is done between the steps.

        Returns
        -------
        History

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If settings or data are wrong; before any work.
        DivergedError
            If the loss stops being finite, or the norm of gradients to be clipped; the weights are then those of the
            step before.
        """
        for _ in self.iter_fit(train, validation, epochs, batch_size, shuffle, rng, augment, progress, workers):
            pass
        return self.history

    def iter_fit(
        self,
        train: AnyData,
        validation: AnyData | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = 0,
        augment: Transform | None = None,
        progress: bool = True,
        workers: int = 1,
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
        epochs = integer(epochs, "Trainer.fit epochs")
        size = integer(batch_size, "Trainer.fit batch_size")
        workers = integer(workers, "Trainer.fit workers", least=0)
        model, dtype = self.model, self._dtype
        training = checked_batches("Trainer.fit", train, model, dtype, size, shuffle, augment, rng, workers)
        validating = None
        if validation is not None:
            validating = checked_batches("Trainer.fit validation", validation, model, dtype, size, workers=workers)
        self.history = History()
        return self._epochs(training, validating, epochs, progress)

    def evaluate(self, data: AnyData, batch_size: int = 256) -> dict[str, float]:
        """Measure the model, or its average, on ``data``; nothing is trained.

        Parameters
        ----------
        data : pair of arrays (x, y), ImageFolder or other data set, DataLoader, or Stream
            As for `fit`.
        batch_size : int
            Bounds the memory; does not change the result but for rounding.

        Returns
        -------
        dict
            ``{"loss": mean loss, "accuracy": fraction told right}``; no "accuracy" where the targets are no classes.

        Raises
        ------
        SettingError, ShapeError, DTypeError, DataError
            If settings or data are wrong.
        """
        size = integer(batch_size, "Trainer.evaluate batch_size")
        meter = self._measure(checked_batches("Trainer.evaluate", data, self.model, self._dtype, size))
        figures = {"loss": meter.loss, "accuracy": meter.accuracy}
        return {name: value for name, value in figures.items() if value is not None}

    def predict(self, x: ArrayLike, batch_size: int = 256) -> np.ndarray:
        """Apply the model, or its average, in batches.

        Parameters
        ----------
        x : array of shape (n, c, h, w), uint8 or the dtype of the model
            Images.
        batch_size : int
            Bounds the memory.

        Returns
        -------
        ndarray of shape (n, ...)
            The outputs: logits for a classifier, so ``predict(x).argmax(axis=1)`` are classes.

        Raises
        ------
        SettingError, ShapeError, DTypeError
            If ``batch_size`` or ``x`` is wrong.
        """
        size = integer(batch_size, "Trainer.predict batch_size")
        images = checked_images("Trainer.predict", x, self.model, self._dtype)
        starts = range(0, max(len(images), 1), size)
        return np.concatenate([self._measured(as_floats(images[i : i + size], self._dtype)) for i in starts])

    def _step(self, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """One step; returns the loss and the outputs from before the update."""
        ctx, loss_ctx = Context(wants_dx=False), Context()
        outputs = self._fused.forward(x, ctx)
        loss = self.loss.forward(outputs, y, loss_ctx) + auxiliary_loss(self.loss, y, ctx)
        if not math.isfinite(loss):
            raise DivergedError(f"Trainer.step: expected a finite loss, got {loss}; try a lower learning rate")
        self._fused.backward(self.loss.backward(loss_ctx), ctx)
        self.optimizer.step(self._parameters)
        if self.average is not None:
            self.average.update()
        return loss, outputs

    def _epochs(self, training: Batches, validating: Batches | None, epochs: int, progress: bool) -> Iterator[Epoch]:
        with ProgressBar(training.images, epochs, progress) as bar:
            for number in range(1, epochs + 1):
                begun = time.perf_counter()
                meter, rate = self._train_epoch(training, number, bar)
                after = None if validating is None else self._measure(validating)
                epoch = Epoch(
                    epoch=number,
                    loss=meter.loss,
                    accuracy=meter.accuracy,
                    val_loss=None if after is None else after.loss,
                    val_accuracy=None if after is None else after.accuracy,
                    seconds=time.perf_counter() - begun,
                    learning_rate=rate,
                )
                self.optimizer.observe(epoch.loss if epoch.val_loss is None else epoch.val_loss)
                self.history.append(epoch)
                logger.info("%s", epoch)
                yield epoch

    def _train_epoch(self, batches: Batches, number: int, bar: ProgressBar) -> tuple[Meter, float]:
        """One pass; returns the figures and the learning rate of the last step."""
        meter, rate = Meter(batches.classifies), 0.0
        with InterruptBetweenSteps() as interrupt:
            for step, (x, y) in enumerate(batches, start=1):
                rate = self.optimizer.learning_rate
                try:
                    loss, outputs = self._step(as_floats(x, self._dtype), y)
                except DivergedError as error:
                    raise DivergedError(f"Trainer.fit: epoch {number}, step {step}: {error}") from None
                meter.add(loss, outputs, y)
                bar.advance(number, meter)
                interrupt.check()
        bar.show(number, meter)
        return meter, rate

    def _measure(self, batches: Batches) -> Meter:
        meter = Meter(batches.classifies)
        for x, y in batches:
            outputs = self._measured(as_floats(x, self._dtype))
            meter.add(self.loss.forward(outputs, y), outputs, y)
        return meter
