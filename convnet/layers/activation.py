"""Rectifiers, and softmax."""

import numpy as np
import numpy.typing as npt

from convnet.context import Context
from convnet.errors import ShapeError
from convnet.functional import (
    prelu,
    prelu_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    softmax,
    softmax_backward,
)
from convnet.layers._checks import as_array, check_dtype, float_dtype
from convnet.layers._geometry import brief
from convnet.layers._layer import Layer, Shape
from convnet.parameter import Parameter
from convnet.settings import integer, real

__all__ = ["PReLU", "ReLU", "ReLU6", "Softmax"]


class ReLU(Layer):
    """Rectifier: ``y = max(x, 0)``, of any shape; NaN passes through.

    The gradient at exactly 0 is 0. Nair and Hinton 2010 (ICML 27, 807-814).

    Notes
    -----
    Saved for backward: ``y``, which the next layer usually saves as its input anyway.

    Examples
    --------
    >>> ReLU()(np.array([[-1.0, 0.0, 2.0]]))
    array([[0., 0., 2.]])
    """

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``max(x, 0)``, of the shape, dtype and memory layout of ``x``."""
        x = as_array(x)
        check_dtype(x, "ReLU")
        y = relu(x)
        if ctx is not None:
            ctx.y = y
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``dy`` where ``y > 0``, else 0."""
        return relu_backward(dy, ctx.y) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)


class ReLU6(Layer):
    """Rectifier that saturates: ``y = min(max(x, 0), 6)``, of any shape; NaN passes through.

    The gradient at exactly 0 and 6 is 0. Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10; in
    MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) for arithmetic of few bits, which a bounded range suits.

    Notes
    -----
    Saved for backward: ``y``, which the next layer usually saves as its input anyway.

    Examples
    --------
    >>> ReLU6()(np.array([[-1.0, 2.0, 7.0]]))
    array([[0., 2., 6.]])
    """

    _ceiling = 6.0

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``min(max(x, 0), 6)``, of the shape, dtype and memory layout of ``x``."""
        x = as_array(x)
        check_dtype(x, "ReLU6")
        y = relu6(x)
        if ctx is not None:
            ctx.y = y
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``dy`` where ``0 < y < 6``, else 0."""
        return relu6_backward(dy, ctx.y) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)


class PReLU(Layer):
    """Rectifier whose slope is learned: ``y = x`` where ``x > 0``, else ``weight * x``.

    He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852. The paper decays no ``weight``.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, which takes any shape, or the number of channels or features for one each.
    init : float
        What they start as.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter of shape (num_parameters,)

    Raises
    ------
    SettingError, DTypeError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: ``x``. The gradient at 0 is that below it.

    Examples
    --------
    >>> PReLU(3)(np.float32([[-4, 0, 8]]))
    array([[-1.,  0.,  8.]], dtype=float32)
    >>> PReLU(8, init=0.1)
    PReLU(8, init=0.1)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: npt.DTypeLike = np.float32) -> None:
        self.num_parameters = integer(num_parameters, "PReLU num_parameters")
        self.init = real(init, "PReLU init")
        self.weight = Parameter(np.full(self.num_parameters, self.init, float_dtype(dtype, "PReLU")))

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Rectify ``x``, with a slope a channel (n, c, h, w) or (n, c); maps come out channels-last in memory."""
        x = as_array(x)
        if self.num_parameters > 1 and (x.ndim not in (2, 4) or x.shape[1] != self.num_parameters):
            c = self.num_parameters
            raise ShapeError(f"PReLU: expected x of shape (n, {c}) or (n, {c}, h, w), got {x.shape}")
        check_dtype(x, "PReLU", self.weight.dtype)
        if ctx is not None:
            ctx.x = x
        return prelu(x, self.weight.value)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into ``weight.grad``; return ``dy`` times the slopes."""
        return prelu_backward(dy, ctx.x, self.weight.value, dweight=self.weight.grad)[0]

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        shape = tuple(input_shape)
        if self.num_parameters > 1 and (len(shape) not in (1, 3) or shape[0] != self.num_parameters):
            c = self.num_parameters
            raise ShapeError(f"PReLU: expected an input of shape ({c},) or ({c}, h, w), got {shape}")
        return shape

    def _settings(self) -> str:
        return brief("" if self.num_parameters == 1 else f"{self.num_parameters}", {"init": self.init}, {"init": 0.25})


class Softmax(Layer):
    """Probabilities from logits: ``y[j] = exp(x[j]) / sum over i of exp(x[i])``, over the features or the channels.

    Bridle 1990 (NATO ASI F 68, 227-236). For training a classifier `SoftmaxCrossEntropy` takes the logits themselves:
    that is faster and loses no digits.

    Notes
    -----
    Saved for backward: ``y``.

    Examples
    --------
    >>> Softmax()(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return probabilities for ``x`` (n, features) or (n, c, h, w); maps are channels-last in memory."""
        x = as_array(x)
        if x.ndim not in (2, 4):
            raise ShapeError(f"Softmax: expected x of shape (n, features) or (n, c, h, w), got {x.shape}")
        check_dtype(x, "Softmax")
        y = softmax(x)
        if ctx is not None:
            ctx.y = y
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``y * (dy - sum of dy * y)``, the sum over the features or channels."""
        return softmax_backward(dy, ctx.y) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)
