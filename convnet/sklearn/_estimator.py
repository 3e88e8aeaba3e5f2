"""Settings, training and inputs of the two estimators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from convnet.data.transforms import Transform
from convnet.errors import SettingError, ShapeError
from convnet.layers import Conv2d, Dense, Flatten, Layer, MaxPool2d, ReLU, Sequential
from convnet.losses import Loss
from convnet.models import MODELS
from convnet.optim import SGD, Adam, AdamW, OneCycle, Optimizer, RMSprop, Schedule, WeightsOnly
from convnet.settings import integer, real
from convnet.training import EarlyStopping, History, Trainer, WeightAverage

__all__ = ["ConvNet", "ModelMaker"]

Samples: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Inputs, targets and weights."""

ModelMaker: TypeAlias = Callable[[tuple[int, ...], int, np.random.Generator], Layer]
"""From the shape of one input, the number of outputs and a random generator to a network."""

OPTIMIZERS: dict[str, Callable[[float | Schedule, WeightsOnly], Optimizer]] = {
    "adam": lambda lr, decay: Adam(lr, weight_decay=decay),
    "adamw": lambda lr, decay: AdamW(lr, weight_decay=decay),
    "rmsprop": lambda lr, decay: RMSprop(lr, weight_decay=decay),
    "sgd": lambda lr, decay: SGD(lr, momentum=0.9, nesterov=True, weight_decay=decay),
}

HIDDEN = 64
"""Width of the hidden layers of the networks that are made where ``model`` is None."""


class ConvNet(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn has no types
    """What the two estimators share."""

    model_: Layer
    history_: History
    n_iter_: int
    _rng: np.random.Generator
    _trainer: Trainer  # of the network as it is, for predictions and partial_fit
    _y_checks: ClassVar[Mapping[str, Any]]

    def __init__(
        self,
        *,
        model: str | ModelMaker | None = None,
        image_shape: tuple[int, int, int] | None = None,
        optimizer: str = "adamw",
        learning_rate: float = 0.01,
        weight_decay: float = 1e-4,
        epochs: int = 20,
        batch_size: int = 64,
        augment: Transform | None = None,
        average: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | str = False,
    ) -> None:
        self.model = model
        self.image_shape = image_shape
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.augment = augment
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for ``epochs``: from new weights, or with ``warm_start`` from those of the last time.

        Parameters
        ----------
        X : array of shape (n, features) or (n, c, h, w)
            Numbers; uint8 is scaled to 0-1, and so is what a network trained on uint8 later gets.
        y : array of shape (n,), for a regressor also (n, outputs)
            Targets.
        sample_weight : array of shape (n,), optional
            A sample of weight 2 counts as two of them, one of weight 0 as none.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If settings or data are wrong, as scikit-learn words it or as the errors of this package.
        DivergedError
            If the loss stops being finite.
        """
        again = bool(self.warm_start) and hasattr(self, "model_")
        epochs, size = integer(self.epochs, self._of("epochs")), integer(self.batch_size, self._of("batch_size"))
        rate = real(self.learning_rate, self._of("learning_rate"))
        data = self._checked(X, y, sample_weight, again)
        model = self._begun(data[0], again)
        train, validation = self._split(model, *data)
        steps = epochs * -(-len(train[0]) // size)
        trainer = self._trainer_of(model, rate if steps == 1 else OneCycle(rate, steps))
        self._run(trainer, train, validation, epochs)
        self.history_, self.n_iter_ = trainer.history, len(trainer.history)
        self._trainer = self._trainer_of(trainer.measured, rate)  # without what only that training needed
        self.model_ = self._trainer.measured
        return self

    def _go_on(self, data: Samples, again: bool) -> Self:
        """One epoch at a constant rate, as part of a longer training."""
        if self.early_stopping:
            raise SettingError(f"{self._of('early_stopping')}: expected False for partial_fit, got True")
        rate = real(self.learning_rate, self._of("learning_rate"))
        if not again:
            self._trainer, self.history_ = self._trainer_of(self._begun(data[0], again), rate), History()
        trainer = self._trainer
        trainer.optimizer.lr = rate
        self._run(trainer, self._split(trainer.model, *data)[0], None, 1)
        self.history_ = History([*self.history_, replace(trainer.history[0], epoch=len(self.history_) + 1)])
        self.model_, self.n_iter_ = trainer.measured, len(self.history_)
        return self

    def _run(self, trainer: Trainer, train: Samples, validation: Samples | None, epochs: int) -> None:
        trainer.fit(
            train,
            validation,
            epochs,
            integer(self.batch_size, self._of("batch_size")),
            rng=self._rng,
            augment=self.augment,
            progress=self.verbose if isinstance(self.verbose, str) else bool(self.verbose),
            callbacks=[EarlyStopping(self.n_iter_no_change)] if self.early_stopping else [],
        )

    @abstractmethod
    def _loss(self) -> Loss: ...

    @abstractmethod
    def _targets(
        self, y: np.ndarray, counts: np.ndarray, weights: np.ndarray | None, again: bool, classes: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What the loss takes for the samples that count, and their weights; unless ``again``, learn what there is."""

    @property
    @abstractmethod
    def _outputs(self) -> int: ...

    def _of(self, name: str) -> str:
        return f"{type(self).__name__} {name}"

    def _begun(self, x: np.ndarray, again: bool) -> Layer:
        """The network, a new one unless the old one goes on, from the generator that all else draws from later."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._rng = np.random.default_rng(seed)
        return self.model_ if again else self._made(x)

    def _made(self, x: np.ndarray) -> Layer:
        input_shape, outputs, rng = x.shape[1:], self._outputs, self._rng
        if self.model is None:
            return _default_network(input_shape, outputs, rng, self._dtype_of(x))
        if isinstance(self.model, str) and self.model in MODELS:
            return MODELS[self.model](outputs, rng=rng)
        if not callable(self.model) or isinstance(self.model, Layer):
            names = ", ".join(MODELS)
            expected = f"None, a function (input_shape, outputs, rng) -> Layer, or one of {names}"
            raise SettingError(f"{self._of('model')}: expected {expected}; got {self.model!r}")
        model = self.model(input_shape, outputs, rng)
        if not isinstance(model, Layer) or model.output_shape(input_shape) != (outputs,):
            raise ShapeError(
                f"{self._of('model')}: expected a network from {input_shape} to ({outputs},), got {model!r}"
            )
        return model

    @staticmethod
    def _dtype_of(x: np.ndarray) -> Any:
        """Tables keep their precision, as in all of scikit-learn; images have that of the fast kernels."""
        return x.dtype if x.ndim == 2 and x.dtype != np.uint8 else np.float32

    def _trainer_of(self, model: Layer, lr: float | Schedule) -> Trainer:
        if self.optimizer not in OPTIMIZERS:
            expected = ", ".join(OPTIMIZERS)
            raise SettingError(f"{self._of('optimizer')}: expected one of {expected}; got {self.optimizer!r}")
        decay = WeightsOnly(real(self.weight_decay, self._of("weight_decay")))
        average = None if self.average is None else WeightAverage(model, self.average)
        return Trainer(model, self._loss(), OPTIMIZERS[self.optimizer](lr, decay), average=average)

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, again: bool, classes: Any = None
    ) -> Samples:
        """Inputs, targets and weights as the network takes them, without samples that do not count."""
        x, answers = validate_data(self, X, y, reset=not again, dtype=_TAKEN, allow_nd=True, **self._y_checks)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
        if weights is not None and np.any(weights < 0):
            raise ValueError(f"{self._of('sample_weight')}: Negative values in data passed as sample_weight")
        if not again:
            self._bytes = x.dtype == np.uint8
        x = self._shaped(x)
        counts = np.ones(len(x), bool) if weights is None else weights > 0
        if not np.any(counts):
            raise ValueError(f"{self._of('sample_weight')}: expected a non-zero number, got only zeros")
        kept = None if weights is None else weights[counts]
        targets, kept = self._targets(answers, counts, kept, again, classes)
        return (x if np.all(counts) else x[counts]), targets, kept

    def _shaped(self, x: np.ndarray) -> np.ndarray:
        """Rows as images, if that was asked for."""
        if self.image_shape is not None:
            shape = tuple(integer(size, self._of("image_shape")) for size in self.image_shape)
            if len(shape) != 3 or x[0].size != np.prod(shape):
                raise ShapeError(f"{self._of('image_shape')}: expected (c, h, w) of {x[0].size} numbers, got {shape}")
            x = x.reshape(len(x), *shape)
        if x.ndim not in (2, 4):
            raise ShapeError(f"{type(self).__name__}: expected X of shape (n, features) or (n, c, h, w), got {x.shape}")
        return x

    def _numbers(self, x: np.ndarray, model: Layer) -> np.ndarray:
        """``x`` in the dtype of the model; numbers of equal value are treated alike, whatever type they came in."""
        parameters = model.parameters()
        dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
        if self._bytes:
            return x if x.dtype == np.uint8 else (x / 255).astype(dtype)
        with np.errstate(over="ignore"):  # the check below says it better
            numbers: np.ndarray = x.astype(dtype, copy=False)
        if not (numbers is x or np.all(np.isfinite(numbers))):
            raise ValueError(f"{type(self).__name__}: expected X in the range of {dtype}, got larger numbers")
        return numbers

    def _split(
        self, model: Layer, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> tuple[Samples, Samples | None]:
        """Training data with weights of mean 1, and validation data where training is to stop early."""
        x = self._numbers(x, model)
        if weights is not None:
            weights = None if np.all(weights == weights[0]) else weights / weights.mean()
        if not self.early_stopping:
            return (x, targets, weights), None
        fraction = real(self.validation_fraction, self._of("validation_fraction"), below=1)
        train, test = train_test_split(
            np.arange(len(x)),
            test_size=fraction,
            random_state=int(self._rng.integers(2**31)),
            stratify=targets if targets.ndim == 1 else None,  # classes, and not rows of numbers
        )
        kept, back = ((x[i], targets[i], None if weights is None else weights[i]) for i in (train, test))
        return kept, back

    def _applied(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "model_")
        x = validate_data(self, X, reset=False, dtype=_TAKEN, allow_nd=True)
        return self._trainer.predict(self._numbers(self._shaped(x), self.model_))


_TAKEN = [np.float64, np.float32, np.uint8]
"""Types that X keeps; others become the first."""


def _default_network(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator, dtype: Any) -> Layer:
    """One hidden layer, for images after two convolutions; at first its outputs are 0, the mean of all answers."""
    layers: list[Layer] = []
    features = input_shape
    for channels in (16, 32) if len(input_shape) == 3 else ():
        layers += [Conv2d(features[0], channels, 3, padding=1, rng=rng, dtype=dtype), ReLU()]
        layers += [MaxPool2d(2)] if min(features[1:]) > 3 else []
        features = Sequential(*layers).output_shape(input_shape)
    layers += [Flatten()] if len(input_shape) == 3 else []
    last = Dense(HIDDEN, outputs, rng=rng, dtype=dtype)
    last.weight.value[...] = 0
    layers += [Dense(int(np.prod(features)), HIDDEN, rng=rng, dtype=dtype), ReLU(), last]
    return Sequential(*layers, input_shape=input_shape)
