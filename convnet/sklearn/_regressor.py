"""The regressor."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from convnet.errors import ShapeError
from convnet.losses import Loss, MeanSquaredError
from convnet.sklearn._estimator import ConvNet

__all__ = ["ConvNetRegressor"]


class ConvNetRegressor(RegressorMixin, ConvNet):  # type: ignore[misc]
    """A network that tells numbers, one a sample or several, as an estimator of scikit-learn.

    Targets are shifted and scaled to mean 0 and standard deviation 1, each output for itself, before the network sees
    them, and predictions back; the loss is `convnet.MeanSquaredError` of the scaled numbers. `partial_fit` does that by
    the first data it gets.

    Parameters
    ----------
    model, image_shape, optimizer, learning_rate, weight_decay, epochs, batch_size
        As for `ConvNetClassifier`.
    augment, average, early_stopping, validation_fraction, n_iter_no_change, warm_start, random_state, verbose
        Likewise.

    Attributes
    ----------
    model_, history_, n_iter_, n_features_in_, feature_names_in_
        As of `ConvNetClassifier`.
    y_mean_, y_scale_ : ndarray of shape (outputs,)
        What the targets were shifted and scaled by.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((200, 3))
    >>> y = 100 + x[:, 0] * x[:, 1]
    >>> bool(ConvNetRegressor(epochs=50, random_state=0).fit(x, y).score(x, y) > 0.9)
    True
    """

    _y_checks: ClassVar[Mapping[str, Any]] = {"multi_output": True, "y_numeric": True}

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Go through ``X`` once, at a constant learning rate, and go on from there the next time.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; weights have mean 1 in each call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, DivergedError
            As from `fit`.
        """
        again = hasattr(self, "model_")
        return self._go_on(self._checked(X, y, sample_weight, again), again)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Numbers of the shape that the targets had: (n,) or (n, outputs)."""
        outputs: np.ndarray = self._applied(X) * self.y_scale_ + self.y_mean_
        return outputs.ravel() if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _loss(self) -> Loss:
        return MeanSquaredError()

    @property
    def _outputs(self) -> int:
        return len(self.y_mean_)

    def _targets(
        self, y: np.ndarray, counts: np.ndarray, weights: np.ndarray | None, again: bool, classes: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scaled numbers (n, outputs), and the weights as they are."""
        rows = np.asarray(y, np.float64).reshape(len(y), -1)[counts]
        if not again:
            self._flat = y.ndim == 1
            self.y_mean_ = np.average(rows, axis=0, weights=weights)
            scale = np.sqrt(np.average((rows - self.y_mean_) ** 2, axis=0, weights=weights))
            self.y_scale_ = np.where(scale > 0, scale, 1.0)
        elif rows.shape[1] != self._outputs:
            raise ShapeError(f"ConvNetRegressor y: expected {self._outputs} outputs as before, got {rows.shape[1]}")
        return (rows - self.y_mean_) / self.y_scale_, weights
