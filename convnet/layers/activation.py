"""Activations: functions of each number alone."""

import numpy as np

from convnet.context import Context
from convnet.functional import relu, relu_backward
from convnet.layers._checks import as_array, check_dtype
from convnet.layers._layer import Layer, Shape

__all__ = ["ReLU"]


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
