"""Images as a model takes them."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["as_floats"]


def as_floats(x: NDArray[Any], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Scale uint8 images to ``x / 255``, channels-last in memory; leave others as they are.

    Parameters
    ----------
    x : array of shape (n, c, h, w), or any other
    dtype : float32 or float64
        Of the result: that of the model.

    Returns
    -------
    ndarray of the shape of ``x``

    Examples
    --------
    >>> as_floats(np.full((1, 1, 1, 2), 51, np.uint8))
    array([[[[0.2, 0.2]]]], dtype=float32)
    """
    if x.dtype != np.uint8:
        return x
    kind = np.dtype(dtype)
    if x.ndim == 4:
        n, c, h, w = x.shape
        out = np.empty((n, h, w, c), kind).transpose(0, 3, 1, 2)
    else:
        out = np.empty(x.shape, kind)
    scaled: NDArray[Any] = np.divide(x, kind.type(255), out=out)
    return scaled
