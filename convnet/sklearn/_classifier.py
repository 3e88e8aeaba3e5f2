"""The classifier."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from convnet.data.transforms import Transform
from convnet.errors import SettingError
from convnet.functional import softmax
from convnet.losses import Loss, SoftmaxCrossEntropy
from convnet.sklearn._estimator import ConvNet, ModelMaker

__all__ = ["ConvNetClassifier"]


class ConvNetClassifier(ClassifierMixin, ConvNet):  # type: ignore[misc]
    """A network that tells classes, as an estimator of scikit-learn.

    Parameters
    ----------
    model : str or callable, optional
        A name of `convnet.models.MODELS`, or a function ``(input_shape, outputs, rng) -> Layer``. By default a table
        gets one hidden layer of 64, in the precision of the table, and images two convolutions before it.
    image_shape : (c, h, w), optional
        What the rows of a table are: images for a convolutional network, channel after channel, row after row.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"}
        sgd has a momentum of 0.9.
    learning_rate : float
        The highest of `convnet.optim.OneCycle` over the whole `fit`; the constant one of `partial_fit`.
    weight_decay : float
        Of weights, not of biases.
    epochs, batch_size : int
        Passes over the data of `fit`, and samples a step.
    label_smoothing : float
        See `convnet.SoftmaxCrossEntropy`.
    class_weight : dict or "balanced", optional
        What the weights of the samples of each class are multiplied by; "balanced" lets all classes count the same.
    augment : callable, optional
        ``augment(x, rng)`` changes batches of training images, see `convnet.data.transforms`.
    average : float, optional
        Decay of a `convnet.WeightAverage`, which then predicts.
    early_stopping : bool
        Stop when the loss of a part of the data, kept back, has not fallen for some epochs, and take the best weights.
    validation_fraction : float
        The part that is kept back.
    n_iter_no_change : int
        The epochs that are borne.
    warm_start : bool
        Whether `fit` goes on from the weights that are there.
    random_state : int, RandomState or None
        Where weights, order, augmentation and the part kept back come from: the same int, the same bits.
    verbose : bool or "plain"
        As ``progress`` of `convnet.Trainer.fit`.

    Attributes
    ----------
    model_ : Layer
        The network: give it to `convnet.save` or `convnet.Predictor`.
    history_ : History
        One `Epoch` an epoch.
    n_iter_ : int
        Epochs trained.
    classes_ : ndarray of shape (classes,)
    n_features_in_ : int
        Columns of a table, channels of images.
    feature_names_in_ : ndarray
        Names of the columns, where they have some.

    Notes
    -----
    A weight of a sample is exactly that many copies of it in the loss of an epoch. With one batch an epoch the training
    is the same as with copies, but for rounding; with several, batches hold other samples.

    Tables should be scaled, as by ``StandardScaler``. The number of threads is that of `convnet.set_num_threads`; where
    scikit-learn runs several processes, let each have one.

    Examples
    --------
    >>> from convnet.data import digits
    >>> (x, y), (x_test, y_test) = digits()
    >>> net = ConvNetClassifier(model="simple_cnn", epochs=1, random_state=0).fit(x, y)
    >>> bool(net.score(x_test, y_test) > 0.9)
    True
    >>> net.predict_proba(x_test[:5]).shape
    (5, 10)

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> rng = np.random.default_rng(0)
    >>> table = rng.standard_normal((200, 3)) * [1, 10, 100]
    >>> answers = np.where(table[:, 0] * table[:, 1] > 0, "yes", "no")
    >>> net = make_pipeline(StandardScaler(), ConvNetClassifier(random_state=0))
    >>> bool(net.fit(table, answers).score(table, answers) > 0.9)
    True
    """

    _y_checks: ClassVar[Mapping[str, Any]] = {}

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
        label_smoothing: float = 0,
        class_weight: Mapping[Any, float] | str | None = None,
        augment: Transform | None = None,
        average: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | str = False,
    ) -> None:
        super().__init__(
            model=model,
            image_shape=image_shape,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            epochs=epochs,
            batch_size=batch_size,
            augment=augment,
            average=average,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Go through ``X`` once, at a constant learning rate, and go on from there the next time.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; weights have mean 1 in each call.
        classes : array of shape (classes,), optional
            All that will ever come; needed the first time.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergedError
            As from `fit`, and if ``classes`` are missing, or others than before.
        """
        again = hasattr(self, "model_")
        if not again and classes is None:
            raise ValueError(
                "ConvNetClassifier classes: expected all classes in the first call of partial_fit, got None"
            )
        if again and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(f"ConvNetClassifier classes: expected {self.classes_} as before, got {classes}")
        if self.class_weight == "balanced":
            raise SettingError("ConvNetClassifier class_weight: expected weights for partial_fit, got 'balanced'")
        return self._go_on(self._checked(X, y, sample_weight, again, classes), again)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The likeliest class of each sample, (n,)."""
        outputs = self._applied(X)
        likeliest: np.ndarray = self.classes_[outputs.argmax(axis=1)]
        return likeliest

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits (n, classes); with two classes how much larger that of the second is, (n,)."""
        outputs = self._applied(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of the classes, (n, classes)."""
        return softmax(self._applied(X))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Their logarithms, which are finite where a probability is too small for a number."""
        outputs = self._applied(X)
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return logs

    def _loss(self) -> Loss:
        return SoftmaxCrossEntropy(self.label_smoothing)

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    def _targets(
        self, y: np.ndarray, counts: np.ndarray, weights: np.ndarray | None, again: bool, classes: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Indices of classes, and weights that are multiplied by those of the classes."""
        check_classification_targets(y)
        if not again:
            self.classes_ = np.unique(y if classes is None else classes)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"ConvNetClassifier y: expected classes among {self.classes_}, got {unknown}")
        targets = np.searchsorted(self.classes_, y[counts]).astype(np.int64)
        if self.class_weight is not None:
            by_class = self._class_weights(targets, weights)
            weights = by_class[targets] if weights is None else by_class[targets] * weights
        return targets, weights

    def _class_weights(self, targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """One weight a class."""
        if self.class_weight == "balanced":
            totals = np.bincount(targets, weights, self._outputs)
            by_class = totals.sum() / np.count_nonzero(totals) / np.where(totals > 0, totals, 1.0)
        else:
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        return np.asarray(by_class, np.float64)
