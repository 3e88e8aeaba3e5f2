"""Activations: functions of each number alone."""

import numpy as np

from convnet.context import Context
from convnet.functional import relu, relu6, relu6_backward, relu_backward
from convnet.layers._checks import as_array, check_dtype
from convnet.layers._layer import Layer, Shape

__all__ = ["ReLU", "ReLU6"]


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
