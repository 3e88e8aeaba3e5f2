"""Activations and sums: visited once, element by element, in whatever order the elements lie in memory."""

import math
from collections.abc import Callable

from convnet.functional._arrays import FloatArray, contiguous, empty, expect_shape, floats, same_dtype, to_nchw, to_nhwc
from convnet.kernels import elementwise as kernels


def _dense_memory(x: FloatArray) -> tuple[FloatArray, bool]:
    """Return ``x`` with its elements in one unbroken run, and whether that is its channels-last view."""
    if x.ndim == 4 and not x.flags.c_contiguous:
        return to_nhwc(x), True
    return contiguous(x), False


def mapped(kernel: Callable[[FloatArray, FloatArray], None], x: FloatArray, who: str) -> FloatArray:
    """Apply a function of each element."""
    array, maps = _dense_memory(floats(x, who, "x"))
    y = empty(array.shape, array.dtype)
    kernel(array.reshape(-1), y.reshape(-1))
    return to_nchw(y) if maps else y


def mapped_backward(
    kernel: Callable[[FloatArray, FloatArray, FloatArray], None],
    dy: FloatArray,
    y: FloatArray,
    who: str,
    name: str = "y",
) -> FloatArray:
    """Apply a function of each element of dy and y, in the order of y's memory; errors call y by ``name``."""
    y = floats(y, who, name)
    dy = same_dtype(y, dy, who, "dy")
    expect_shape(dy, y.shape, who, "dy")
    out, maps = _dense_memory(y)
    gradient = to_nhwc(dy) if maps else contiguous(dy)
    dx = empty(out.shape, out.dtype)
    kernel(gradient.reshape(-1), out.reshape(-1), dx.reshape(-1))
    return to_nchw(dx) if maps else dx


def relu(x: FloatArray) -> FloatArray:
    """Rectified linear unit, ``max(x, 0)``; NaN stays NaN.

    Parameters
    ----------
    x : array of any shape, float32 or float64

    Returns
    -------
    array of x's shape, channels-last in memory where x is

    Raises
    ------
    DTypeError

    Notes
    -----
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return mapped(lambda source, y: kernels.relu_forward(source, y, math.nan), x, "relu")


def relu_backward(dy: FloatArray, y: FloatArray) -> FloatArray:
    """Gradient of `relu`: dy where y > 0 (or NaN), else 0.

    Parameters
    ----------
    dy : array of y's shape
    y : array of any shape, float32 or float64
        What `relu` returned.

    Returns
    -------
    array of y's shape

    Raises
    ------
    ShapeError, DTypeError
    """
    return mapped_backward(lambda dy, y, dx: kernels.relu_gradient(dy, y, dx, math.nan), dy, y, "relu_backward")


def relu6(x: FloatArray) -> FloatArray:
    """Rectified linear unit that saturates, ``min(max(x, 0), 6)``; NaN stays NaN.

    Parameters
    ----------
    x : array of any shape, float32 or float64

    Returns
    -------
    array of x's shape, channels-last in memory where x is

    Raises
    ------
    DTypeError

    Notes
    -----
    Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010; Howard et al., arXiv:1704.04861.

    Examples
    --------
    >>> relu6(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """
    return mapped(lambda source, y: kernels.relu_forward(source, y, 6.0), x, "relu6")


def relu6_backward(dy: FloatArray, y: FloatArray) -> FloatArray:
    """Gradient of `relu6`: dy where 0 < y < 6 (or NaN), else 0.

    Parameters
    ----------
    dy : array of y's shape
    y : array of any shape, float32 or float64
        What `relu6` returned.

    Returns
    -------
    array of y's shape

    Raises
    ------
    ShapeError, DTypeError
    """
    return mapped_backward(lambda dy, y, dx: kernels.relu_gradient(dy, y, dx, 6.0), dy, y, "relu6_backward")


def add(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum of two arrays, ``a + b``; its gradient with respect to each is dy.

    Parameters
    ----------
    a, b : array of any shape, the same for both, float32 or float64

    Returns
    -------
    array of that shape, channels-last in memory where it has four dimensions

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> add(np.array([1.0, 2.0]), np.array([-3.0, 4.0]))
    array([-2.,  6.])
    """
    return _sum(a, b, False, "add")


def add_relu(a: FloatArray, b: FloatArray) -> FloatArray:
    """Positive part of a sum, ``max(a + b, 0)``, in one pass: where the branches of a residual block meet.

    Its gradient, the same with respect to each, is ``relu_backward(dy, y)``.

    Parameters
    ----------
    a, b : array of any shape, the same for both, float32 or float64

    Returns
    -------
    array of that shape, channels-last in memory where it has four dimensions

    Raises
    ------
    ShapeError, DTypeError

    Notes
    -----
    He et al. 2016, arXiv:1512.03385.

    Examples
    --------
    >>> add_relu(np.array([1.0, 2.0]), np.array([-3.0, 4.0]))
    array([0., 6.])
    """
    return _sum(a, b, True, "add_relu")


def _sum(a: FloatArray, b: FloatArray, rectify: bool, who: str) -> FloatArray:
    a = floats(a, who, "a")
    b = same_dtype(a, b, who, "b")
    expect_shape(b, a.shape, who, "b")
    maps = a.ndim == 4
    first, second = (to_nhwc(a), to_nhwc(b)) if maps else (contiguous(a), contiguous(b))
    y = empty(first.shape, first.dtype)
    kernels.sum_forward(first.reshape(-1), second.reshape(-1), y.reshape(-1), rectify)
    return to_nchw(y) if maps else y
