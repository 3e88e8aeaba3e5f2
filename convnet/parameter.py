"""A parameter: one trainable array and its gradient."""

import numpy as np

from convnet.errors import DTypeError, ShapeError

__all__ = ["Parameter"]


class Parameter:
    """A trainable array with its gradient.

    Layers read ``value`` and add into ``grad``; an optimizer updates ``value`` and clears ``grad``, both in place, so
    that whoever shares the parameter sees the new numbers. Two parameters are equal only if they are the same object.

    Parameters
    ----------
    value : ndarray of float32 or float64
        The numbers, kept without a copy where they are C-contiguous and writable.
    grad : ndarray, optional
        The gradient, of the shape and dtype of ``value``. By default zeros, allocated when first asked for, so that
        a model used for inference holds none.

    Raises
    ------
    DTypeError
        If ``value`` is neither float32 nor float64, or ``grad`` differs from it.
    ShapeError
        If the shape of ``grad`` differs from that of ``value``.

    Examples
    --------
    >>> p = Parameter(np.ones(3, np.float32))
    >>> p.grad += 0.5
    >>> p.grad
    array([0.5, 0.5, 0.5], dtype=float32)
    """

    __slots__ = ("_grad", "value")

    def __init__(self, value: np.ndarray, grad: np.ndarray | None = None) -> None:
        value = np.asarray(value)
        if value.dtype not in (np.float32, np.float64):
            raise DTypeError(f"Parameter: expected a value of dtype float32 or float64, got {value.dtype}")
        self.value: np.ndarray = np.require(value, requirements=("C", "W"))
        self._grad: np.ndarray | None = None
        if grad is not None:
            self.grad = grad

    @property
    def grad(self) -> np.ndarray:
        """The gradient with respect to ``value``, summed over the calls of ``backward`` since it was cleared."""
        if self._grad is None:
            self._grad = np.zeros_like(self.value)
        return self._grad

    @grad.setter
    def grad(self, grad: np.ndarray) -> None:
        if grad.shape != self.value.shape:
            raise ShapeError(f"Parameter: expected a gradient of shape {self.value.shape}, got {grad.shape}")
        if grad.dtype != self.value.dtype:
            raise DTypeError(f"Parameter: expected a gradient of dtype {self.value.dtype}, got {grad.dtype}")
        self._grad = np.require(grad, requirements=("C", "W"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``value``."""
        return self.value.shape

    @property
    def size(self) -> int:
        """Number of trainable numbers."""
        return self.value.size

    @property
    def dtype(self) -> np.dtype:
        """Data type of ``value``: float32 or float64."""
        return self.value.dtype

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"
