"""Classifiers beside the trunk of a deep network, for training only."""

from collections.abc import Iterator

import numpy as np

from convnet.context import Auxiliary, Context
from convnet.errors import SettingError, ShapeError
from convnet.functional import add
from convnet.layers._checks import check_image_shape, check_images
from convnet.layers._geometry import shortest
from convnet.layers._layer import Layer, Shape
from convnet.settings import real
from convnet.shapes import IntPair, pair

__all__ = ["AuxiliaryHead"]


class AuxiliaryHead(Layer):
    """``y = x``, and in training a classifier ``head(x)`` that has a loss of its own.

    Layers in the middle of a deep network get a gradient from nearby. In inference the head is not run. In training its
    logits wait in the context until `convnet.losses.auxiliary_loss` has compared them with the targets, as `Trainer`
    does in each step; `backward` then adds ``weight`` times the gradient of that loss to ``dy``. If nobody called for
    it, the layer is the identity on the way back too. Szegedy et al. 2014, arXiv:1409.4842, section 5.

    Parameters
    ----------
    head : Layer
        From maps to logits (n, classes). Its layers and parameters have the names that they would have in place of this
        layer.
    weight : float
        Factor of the loss.
    least_size : int or pair of int
        Size of the smallest map, (vertical, horizontal), from which the head is to learn.

    Raises
    ------
    SettingError
        If ``head`` is no layer, ``weight`` no number of at least 0, or ``least_size`` no positive integers.

    Notes
    -----
    Saved for backward: what the head saves, and its logits.

    Examples
    --------
    >>> from convnet.layers import Conv2d, Dense, GlobalAvgPool2d, Flatten, Sequential
    >>> from convnet.losses import SoftmaxCrossEntropy, auxiliary_loss
    >>> head = Sequential(GlobalAvgPool2d(), Flatten(), Dense(8, 10, rng=0))
    >>> model = Sequential(Conv2d(1, 8, 3, rng=0), AuxiliaryHead(head), GlobalAvgPool2d(), Flatten(), Dense(8, 10))
    >>> x, labels, loss, ctx = np.ones((2, 1, 9, 9), np.float32), np.array([3, 5]), SoftmaxCrossEntropy(), Context()
    >>> value = loss.forward(model.forward(x, ctx), labels, ctx) + auxiliary_loss(loss, labels, ctx)
    >>> model.backward(loss.backward(ctx), ctx).shape
    (2, 1, 9, 9)
    """

    def __init__(self, head: Layer, weight: float = 0.3, least_size: IntPair = 1) -> None:
        if not isinstance(head, Layer):
            raise SettingError(f"AuxiliaryHead head: expected a Layer, got {head!r}")
        self.head = head
        self.weight = real(weight, "AuxiliaryHead weight")
        self.least_size = pair(least_size, "AuxiliaryHead least_size")

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x`` (n, c, h, w)."""
        x = check_images(x, "AuxiliaryHead")
        if ctx is not None:
            self._check_size(x.shape[1:])
            child = ctx.child("head")
            child.wants_dx = ctx.wants_dx
            ctx.auxiliary = Auxiliary(self.head.forward(x, child), self.weight)
        return x

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of the head; return ``dy`` and what the head's loss adds to it."""
        dlogits = ctx.auxiliary.dlogits
        dx = None if dlogits is None else self.head.backward(dlogits, ctx.child("head"))
        if not ctx.wants_dx:
            return None
        return dy if dx is None else add(dy, dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input; what the head makes of it is no matter in inference."""
        return check_image_shape(input_shape, "AuxiliaryHead")

    def check_training(self, images: int, input_shape: Shape) -> None:
        """Demand maps of at least ``least_size`` which the head takes."""
        self._check_size(input_shape)
        self.head.output_shape(input_shape)
        self.head.check_training(images, input_shape)

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers of the head, as if they stood here."""
        yield from self.head.named_children()

    def _check_size(self, shape: Shape) -> None:
        if shape[1] < self.least_size[0] or shape[2] < self.least_size[1]:
            least = f"(c, {self.least_size[0]}, {self.least_size[1]})"
            raise ShapeError(f"AuxiliaryHead: expected maps of at least {least} in training, got {tuple(shape)}")

    def _settings(self) -> str:
        return f"weight={self.weight:g}, least_size={shortest(self.least_size)}"
