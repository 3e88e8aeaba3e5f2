"""Local response normalisation and its gradient."""

import numpy as np

from convnet.functional._arrays import FloatArray, empty, expect_shape, feature_maps, same_dtype, to_nchw, to_nhwc
from convnet.kernels import response as kernels
from convnet.settings import integer, real

Shape = tuple[int, ...]


def response_operation(
    input_shape: Shape, dtype: np.dtype, size: int, alpha: float, beta: float, k: float, who: str
) -> kernels.LocalResponse:
    """Return the operation on images (c, h, w)."""
    c, h, w = input_shape
    window = integer(size, f"{who} size")
    before, after = min(window // 2, c), min((window - 1) // 2, c)  # beyond the channels there are zeros
    scale, power = real(alpha, f"{who} alpha") / window, real(beta, f"{who} beta")
    return kernels.LocalResponse(dtype.itemsize, h * w, c, before, after, scale, power, real(k, f"{who} k"))


def local_response_norm(
    x: FloatArray, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> FloatArray:
    """Divide each number by what the channels around it have at the same pixel.

    ``y[n, c] = x[n, c] / (k + alpha / size * sum of x[n, j] ** 2) ** beta``, the sum over the ``size`` channels j from
    ``c - size // 2`` on, as far as there are such.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    size : int
        Channels of a window.
    alpha, beta, k : float

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Notes
    -----
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012,
    section 3.3; alpha is divided by size as in PyTorch and Caffe, while the paper's is not. The powers 0.75, 0.5 and 1
    cost two roots at most; any other calls libm for each number, which takes several times as long.

    Examples
    --------
    >>> local_response_norm(np.array([1.0, 2, 3]).reshape(1, 3, 1, 1), 3, alpha=3, beta=1)[0, :, 0, 0]
    array([0.16666667, 0.13333333, 0.21428571])
    """
    x = feature_maps(x, "local_response_norm")
    n, c, h, w = x.shape
    y = empty((n, h, w, c), x.dtype)
    operation = response_operation((c, h, w), x.dtype, size, alpha, beta, k, "local_response_norm")
    operation.run(to_nhwc(x).reshape(-1), y.reshape(-1), n)
    return to_nchw(y)


def local_response_norm_backward(
    dy: FloatArray, x: FloatArray, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> FloatArray:
    """Gradient of `local_response_norm`.

    With d the sums that x is divided by (to the power beta), ``dx[c] = dy[c] d[c] ** -beta - 2 alpha beta / size x[c]
    * sum of dy[j] x[j] d[j] ** (-beta - 1)`` over the channels j whose window holds c.

    Parameters
    ----------
    dy : array of shape (n, c, h, w)
        Gradient with respect to the output.
    x, size, alpha, beta, k
        As given to `local_response_norm`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "local_response_norm_backward"
    x = feature_maps(x, who)
    dy = same_dtype(x, dy, who, "dy")
    expect_shape(dy, x.shape, who, "dy")
    n, c, h, w = x.shape
    dx = empty((n, h, w, c), x.dtype)
    operation = response_operation((c, h, w), x.dtype, size, alpha, beta, k, who)
    operation.gradient(to_nhwc(dy).reshape(-1), to_nhwc(x).reshape(-1), dx.reshape(-1), n)
    return to_nchw(dx)
