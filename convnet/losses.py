"""Losses: how far a batch of outputs is from its targets, and in which direction to go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from convnet.context import Context
from convnet.errors import DataError, DTypeError, SettingError, ShapeError
from convnet.functional import softmax_cross_entropy
from convnet.settings import real

__all__ = ["BinaryCrossEntropy", "Loss", "MeanSquaredError", "SoftmaxCrossEntropy", "auxiliary_loss"]


class Loss(ABC):
    """The contract of every loss. Targets are class indices (n,) or numbers of the shape of the outputs.

    ``weights`` (n,) tell how much each image of the batch counts: its part of the loss is multiplied by its weight, and
    what the loss divides by stays as it is. Weights whose mean is 1 therefore leave the loss its scale, and over all of
    a data set a weight of 2 means the same as two copies of the image.
    """

    @abstractmethod
    def forward(
        self, logits: np.ndarray, targets: np.ndarray, ctx: Context | None = None, weights: np.ndarray | None = None
    ) -> float:
        """Return the loss of the batch; with ``ctx`` given, leave there what `backward` needs."""

    def backward(self, ctx: Context) -> np.ndarray:
        """Return the gradient of the loss with respect to ``logits``, of its shape and dtype."""
        gradient: np.ndarray = ctx.dlogits
        return gradient


def auxiliary_loss(loss: Loss, targets: np.ndarray, ctx: Context, weights: np.ndarray | None = None) -> float:
    """Let the auxiliary heads of a model take part in a training step; call it between its forward and backward pass.

    Parameters
    ----------
    loss : Loss
    targets : ndarray
        Those of the batch.
    ctx : Context
        That of the model. Each `AuxiliaryHead` finds there what it needs for its backward pass.
    weights : ndarray of shape (n,), optional
        Those of the images of the batch.

    Returns
    -------
    float
        The sum over the heads of their weight times their loss; 0 where there are none.
    """
    total = 0.0
    for head in ctx.auxiliaries():
        own = Context()
        total += head.weight * weighted_loss(loss, head.logits, targets, own, weights)
        head.dlogits = loss.backward(own) * head.weight
    return total


def weighted_loss(
    loss: Loss, logits: np.ndarray, targets: np.ndarray, ctx: Context | None, weights: np.ndarray | None
) -> float:
    """``loss.forward``; a loss of one's own need not know of weights where there are none."""
    return loss.forward(logits, targets, ctx) if weights is None else loss.forward(logits, targets, ctx, weights)


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy between target classes and the softmax of the logits.

    ``loss = -sum over i, c of q[i, c] * log_softmax(logits)[i, c] / total``. Without class weights ``q`` are the
    targets (one-hot for class indices) and ``total`` is n: the mean over the batch. With class weights ``q[i, c]`` is
    multiplied by the weight of c, and for class indices ``total`` is the sum of the weights of the targets: the
    weighted mean. ``weights`` of the images multiply the rows of ``q``. An empty batch has loss 0.

    Parameters
    ----------
    label_smoothing : float
        In [0, 1): targets become ``(1 - label_smoothing) * target + label_smoothing / classes`` (arXiv:1512.00567).
    class_weights : sequence of float, optional
        One non-negative number a class.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: the gradient itself, ``(softmax(logits) * sum over c of q[i, c] - q) / total``.

    Examples
    --------
    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss.forward(np.zeros((2, 10), np.float32), np.array([3, 9])), 4)
    2.3026
    """

    def __init__(self, label_smoothing: float = 0, class_weights: Sequence[float] | np.ndarray | None = None) -> None:
        self.label_smoothing = real(label_smoothing, "SoftmaxCrossEntropy label_smoothing", below=1)
        self.class_weights = None if class_weights is None else _checked_weights(class_weights)

    def forward(
        self, logits: np.ndarray, targets: np.ndarray, ctx: Context | None = None, weights: np.ndarray | None = None
    ) -> float:
        """Return the loss.

        Parameters
        ----------
        logits : ndarray of float32 or float64
            Shape (n, classes).
        targets : ndarray
            Class indices (n,) of any integer dtype, or probabilities (n, classes).
        ctx : Context, optional
            Receives what `backward` needs.
        weights : ndarray of shape (n,), optional
            How much each image counts, see `Loss`.

        Raises
        ------
        ShapeError, DTypeError
            If the arrays do not fit each other, or the class weights.
        DataError
            If a class index is negative, or not less than the number of classes.
        """
        logits = _floats(logits, "SoftmaxCrossEntropy", "logits")
        if logits.ndim != 2:
            raise ShapeError(f"SoftmaxCrossEntropy: expected logits of shape (n, classes), got {logits.shape}")
        targets = _checked_targets(targets, logits, "SoftmaxCrossEntropy")
        if len(logits) == 0:
            loss, dlogits = 0.0, np.zeros_like(logits)
        elif self.class_weights is None and weights is None:
            targets = self._smooth(targets, logits) if self.label_smoothing else targets
            loss, dlogits = softmax_cross_entropy(logits, targets)
        else:
            loss, dlogits = _cross_entropy(logits, self._weigh(targets, logits, weights))
        if ctx is not None:
            ctx.dlogits = dlogits
        return loss

    def _smooth(self, targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Targets as smoothed probabilities (n, classes)."""
        probabilities = _one_hot(targets, logits)
        smoothed: np.ndarray = probabilities * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[1]
        return smoothed

    def _weigh(self, targets: np.ndarray, logits: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """``q / total`` (n, classes) of the formula of the class."""
        q, total = self._smooth(targets, logits), float(len(targets))
        if self.class_weights is not None:
            if len(self.class_weights) != logits.shape[1]:
                expected = f"{logits.shape[1]} class weights"
                raise ShapeError(f"SoftmaxCrossEntropy: expected {expected}, got {self.class_weights}")
            by_class = self.class_weights.astype(logits.dtype)
            q = q * by_class
            total = by_class[targets].sum() or 1.0 if targets.ndim == 1 else total
        if weights is not None:
            q = q * _of_images(weights, logits, "SoftmaxCrossEntropy")
        return q / total

    def __repr__(self) -> str:
        return f"SoftmaxCrossEntropy(label_smoothing={self.label_smoothing:g}, class_weights={self.class_weights})"


class MeanSquaredError(Loss):
    """``mean(weight * (outputs - targets) ** 2)`` over all numbers of the batch; an empty batch has loss 0.

    The weight is that of the image, 1 where there are none.

    But for the factor, the error of Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating
    errors (Nature 323, 533-536).

    Notes
    -----
    Saved for backward: the gradient itself, ``2 * weight * (outputs - targets) / size``.

    Examples
    --------
    >>> MeanSquaredError().forward(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    2.0
    """

    def forward(
        self, logits: np.ndarray, targets: np.ndarray, ctx: Context | None = None, weights: np.ndarray | None = None
    ) -> float:
        """Return the loss.

        Parameters
        ----------
        logits : ndarray of float32 or float64
            The outputs of the model, of any shape.
        targets : ndarray
            Numbers of the shape of ``logits``; for ``logits`` (n, classes) also class indices (n,), which stand for
            rows with a one at the class and zeros elsewhere.
        ctx : Context, optional
            Receives what `backward` needs.
        weights : ndarray of shape (n,), optional
            How much each image counts, see `Loss`.

        Raises
        ------
        ShapeError, DTypeError, DataError
            As in `SoftmaxCrossEntropy`.
        """
        logits = _floats(logits, "MeanSquaredError", "logits")
        targets = _checked_targets(targets, logits, "MeanSquaredError")
        difference = logits - _one_hot(targets, logits)
        size = max(difference.size, 1)
        weighted = difference if weights is None else difference * _of_images(weights, logits, "MeanSquaredError")
        numbers, others = difference.ravel(order="K"), weighted.ravel(order="K")
        loss: float = float(np.einsum("i,i", numbers, others, dtype=np.float64)) / size
        if ctx is not None:
            weighted *= 2 / size  # in place: new memory for large maps would cost more than the arithmetic
            ctx.dlogits = weighted
        return loss

    def __repr__(self) -> str:
        return "MeanSquaredError()"


class BinaryCrossEntropy(Loss):
    """Cross-entropy between targets and the sigmoid of the logits: each number is a yes-or-no question of its own.

    ``loss = mean of -(pos_weight * t * log p + (1 - t) * log(1 - p))`` over all numbers of the batch, with ``p = 1 /
    (1 + exp(-logit))``; an empty batch has loss 0. The negative log-likelihood of logistic regression: Cox 1958, The
    regression analysis of binary sequences (J. R. Statist. Soc. B 20, 215-242). For one question an image the model
    ends in ``Dense(..., 1)``. ``weights`` of the images multiply the terms of the mean.

    Parameters
    ----------
    pos_weight : float or sequence of float, optional
        How much more a yes counts than a no: one number, or one for each class, which is axis 1 of the logits. No
        answers divided by yes answers makes up for rare ones.

    Raises
    ------
    SettingError
        If a weight is negative, NaN or infinite.

    Notes
    -----
    ``log p = min(z, 0) - log(1 + exp(-abs(z)))``: nothing overflows, and a confident answer keeps its small loss.
    Saved for backward: the gradient itself, ``((1 - t) * p - pos_weight * t * (1 - p)) / size``. A dozen passes over
    the logits.

    Examples
    --------
    >>> loss, ctx = BinaryCrossEntropy(), Context()
    >>> round(loss.forward(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]), ctx), 4)
    0.41
    >>> loss.backward(ctx).round(4)
    array([[-0.25  ],
           [-0.0596]])
    """

    def __init__(self, pos_weight: float | Sequence[float] | np.ndarray | None = None) -> None:
        self.pos_weight = None if pos_weight is None else _checked_pos_weight(pos_weight)

    def forward(
        self, logits: np.ndarray, targets: np.ndarray, ctx: Context | None = None, weights: np.ndarray | None = None
    ) -> float:
        """Return the loss.

        Parameters
        ----------
        logits : ndarray of float32 or float64
            Any shape.
        targets : ndarray
            Numbers from 0 to 1 of the shape of ``logits``; for ``logits`` (n, classes) also class indices (n,), which
            stand for rows with a one at the class and zeros elsewhere.
        ctx : Context, optional
            Receives what `backward` needs.
        weights : ndarray of shape (n,), optional
            How much each image counts, see `Loss`.

        Raises
        ------
        ShapeError, DTypeError
            If the arrays do not fit each other, or the weights.
        DataError
            If a target is not from 0 to 1, or a class index out of range.
        """
        logits = _floats(logits, "BinaryCrossEntropy", "logits")
        targets = _one_hot(_checked_targets(targets, logits, "BinaryCrossEntropy"), logits)
        _check_probabilities(targets, "BinaryCrossEntropy")
        yes, no = self._weigh(targets), 1 - targets
        if weights is not None:
            each = _of_images(weights, logits, "BinaryCrossEntropy")
            yes, no = yes * each, no * each
        small = np.exp(-np.abs(logits))  # at most 1
        log_sum, less, more = np.log1p(small), small / (1 + small), 1 / (1 + small)
        size = max(logits.size, 1)
        if ctx is not None:
            p, rest = np.where(logits > 0, more, less), np.where(logits > 0, less, more)
            ctx.dlogits = (no * p - yes * rest) / logits.dtype.type(size)
        terms = yes * (np.maximum(-logits, 0) + log_sum) + no * (np.maximum(logits, 0) + log_sum)
        return float(np.sum(terms, dtype=np.float64) / size)

    def _weigh(self, targets: np.ndarray) -> np.ndarray:
        """``pos_weight * t`` of the formula of the class."""
        weights = self.pos_weight
        if weights is None:
            return targets
        if weights.ndim and targets.shape[1:2] != weights.shape:
            raise ShapeError(
                f"BinaryCrossEntropy: expected logits of shape (n, {len(weights)}, ...), one class a pos_weight, "
                f"got {targets.shape}"
            )
        shape = (-1, *[1] * (targets.ndim - 2)) if weights.ndim else ()
        weighted: np.ndarray = targets * weights.astype(targets.dtype).reshape(shape)
        return weighted

    def __repr__(self) -> str:
        return f"BinaryCrossEntropy(pos_weight={self.pos_weight})"


def _cross_entropy(logits: np.ndarray, q: np.ndarray) -> tuple[float, np.ndarray]:
    """``-sum(q * log_softmax(logits))`` and its gradient, for any ``q`` (n, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # exp cannot overflow
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient: np.ndarray = np.exp(log_p) * q.sum(axis=1, keepdims=True) - q
    return float(-np.sum(q * log_p, dtype=np.float64)), gradient


def _of_images(weights: np.ndarray, logits: np.ndarray, who: str) -> np.ndarray:
    """Weights (n,) in the dtype of ``logits``, and in a shape that multiplies their rows."""
    weights = np.asarray(weights)
    if weights.shape != logits.shape[:1]:
        raise ShapeError(f"{who}: expected {len(logits)} weights, one an image, got an array of shape {weights.shape}")
    return weights.astype(logits.dtype, copy=False).reshape(-1, *[1] * (logits.ndim - 1))


def _one_hot(targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Checked targets as numbers of the shape and dtype of ``logits``."""
    if targets.shape == logits.shape:
        return targets
    rows = np.zeros_like(logits)
    rows[np.arange(len(targets)), targets] = 1
    return rows


def _checked_weights(class_weights: Sequence[float] | np.ndarray) -> np.ndarray:
    weights = _numbers(class_weights)
    if weights.ndim != 1 or not np.all((weights >= 0) & np.isfinite(weights)):
        expected = "one finite number of at least 0 a class"
        raise SettingError(f"SoftmaxCrossEntropy class_weights: expected {expected}, got {class_weights!r}")
    return weights


def _checked_pos_weight(pos_weight: float | Sequence[float] | np.ndarray) -> np.ndarray:
    weights = _numbers(pos_weight)
    if weights.ndim > 1 or not np.all((weights >= 0) & np.isfinite(weights)):
        expected = "a finite number of at least 0, or one a class"
        raise SettingError(f"BinaryCrossEntropy pos_weight: expected {expected}, got {pos_weight!r}")
    return weights


def _numbers(values: object) -> np.ndarray:
    """Return ``values`` as float64, those that are no numbers as one NaN."""
    try:
        array = np.asarray(values)
        return array.astype(np.float64) if array.dtype.kind in "iuf" else np.array(np.nan)
    except (TypeError, ValueError):  # nested sequences of unequal lengths
        return np.array(np.nan)


def _check_probabilities(targets: np.ndarray, who: str) -> None:
    bad = np.argwhere(~((targets >= 0) & (targets <= 1)))
    if len(bad):
        position = tuple(map(int, bad[0]))
        raise DataError(f"{who}: expected targets from 0 to 1, got {targets[position]} at position {position}")


def _floats(array: np.ndarray, who: str, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        raise DTypeError(f"{who}: expected {name} of dtype float32 or float64, got {array.dtype}")
    return array


def _checked_targets(targets: np.ndarray, logits: np.ndarray, who: str) -> np.ndarray:
    """Return class indices as int64 (n,), other targets in the shape and dtype of ``logits``."""
    targets = np.asarray(targets)
    if targets.dtype.kind in "iu" and logits.ndim == 2 and targets.shape == logits.shape[:1]:
        _check_labels(targets, logits.shape[1], who)
        return targets.astype(np.int64, copy=False)
    if targets.shape != logits.shape:
        indices = f"class indices of shape {logits.shape[:1]} or " if logits.ndim == 2 else ""
        raise ShapeError(
            f"{who}: expected {indices}numbers of shape {logits.shape}, got {targets.dtype} of shape {targets.shape}"
        )
    return _floats(targets, who, "targets").astype(logits.dtype, copy=False)


def _check_labels(labels: np.ndarray, classes: int, who: str) -> None:
    if labels.size == 0 or labels.astype(np.int64).view(np.uint64).max() < classes:  # one pass; negative ones are huge
        return
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if bad.size:
        raise DataError(f"{who}: expected labels in 0..{classes - 1}, got {labels[bad[0]]} at position {bad[0]}")
