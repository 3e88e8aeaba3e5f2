"""Transposed convolution and its gradients: the passes of `conv2d` with their parts exchanged."""

from typing import NamedTuple

from convnet.errors import ShapeError
from convnet.functional._algorithm import Algorithm, Problem, problems
from convnet.functional._arrays import (
    FloatArray,
    empty,
    to_nchw,
    to_nhwc,
)
from convnet.functional._conv import Geometry
from convnet.functional._operands import bias, gradients, operands
from convnet.functional._passes import Upstream, data_gradient, forward, weight_gradient
from convnet.settings import integer
from convnet.shapes import IntPair, pair
from convnet.upsampling import conv_transpose2d_output_size


def geometry(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: IntPair,
    padding: IntPair,
    output_padding: IntPair,
    dilation: IntPair,
) -> Geometry:
    """Resolve sizes and settings; the window is that of the convolution."""
    out = conv_transpose2d_output_size(size, kernel, stride, padding, output_padding, dilation)
    return Geometry(out, (*pair(stride, "stride"), *pair(padding, "padding", least=0), *pair(dilation, "dilation")))


class _Transposed(NamedTuple):
    """A transposed convolution, checked; ``problem`` is the convolution whose data gradient it is."""

    x: FloatArray
    w: FloatArray
    size: tuple[int, int]
    """Height and width of the output."""
    problem: Problem


def _transposed(
    x: FloatArray,
    w: FloatArray,
    stride: IntPair,
    padding: IntPair,
    output_padding: IntPair,
    dilation: IntPair,
    groups: int,
    who: str,
) -> _Transposed:
    x, w = operands(x, w, who)
    groups = integer(groups, f"{who} groups")
    if w.ndim != 4 or len(w) != x.shape[1] or len(w) % groups:
        raise ShapeError(
            f"{who}: expected w of shape ({x.shape[1]}, out / groups, kh, kw), its first size a multiple of "
            f"groups={groups}, for x of shape {x.shape}, got {w.shape}"
        )
    size, window = geometry(x.shape[2:], w.shape[2:], stride, padding, output_padding, dilation)
    return _Transposed(x, w, size, Problem(len(x), x.shape[2:], w.shape, window, groups, x.dtype))


def conv_transpose2d(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
) -> FloatArray:
    """Spread each pixel over a window of the output: the gradient of a convolution with respect to its input.

    ``y[n, o, p * s + i * d - pad, q * s + j * d - pad]`` is b[o] plus the sum of ``x[n, k, p, q] * w[k, o, i, j]`` over
    all k, i, j, p, q that lead there; with groups, k runs over the channels of o's group.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    w : array of shape (c, out / groups, kh, kw)
        Of the type of x: the weights of the convolution from out to c channels whose transpose this is.
    b : array of shape (out,), optional
    stride, dilation : int or pair of int
    padding : int or pair of int
        Pixels that the output lacks at each side.
    output_padding : int or pair of int
        Pixels more at the bottom and the right, less than the stride or the dilation.
    groups : int
    algorithm : {"auto", "direct", "winograd"}, optional
        As for `conv2d`.

    Returns
    -------
    array of shape (n, out, oh, ow)
        Channels-last in memory; (oh, ow) = ``conv_transpose2d_output_size((h, w), (kh, kw), ...)``.

    Raises
    ------
    ShapeError, DTypeError, SettingError, UnsupportedError

    Notes
    -----
    Costs n * c * h * w * kh * kw * out / groups multiply-adds. Zeiler et al., "Deconvolutional networks", CVPR 2010;
    Dumoulin and Visin, arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 2, 2)
    >>> conv_transpose2d(x, np.ones((1, 1, 2, 2)), stride=2)[0, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [3., 3., 4., 4.],
           [3., 3., 4., 4.]])
    """
    who = "conv_transpose2d"
    x, w, size, problem = _transposed(x, w, stride, padding, output_padding, dilation, groups, who)
    out = w.shape[1] * problem.groups
    b = bias(x, b, out, who)
    y = empty((len(x), *size, out), x.dtype)
    data_gradient(problems(problem, size), algorithm, who, Upstream(to_nhwc(x), None, None), (w, b, y))
    return to_nchw(y)


def conv_transpose2d_backward(
    dy: FloatArray,
    x: FloatArray,
    w: FloatArray,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    dx: bool = True,
    dw: bool | FloatArray = True,
    db: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradients of `conv_transpose2d` with respect to x, w and b.

    ``dx`` is the convolution of dy with w, ``dw`` the weight gradient of that convolution where x is its result's
    gradient, and ``db[o]`` sums ``dy[n, o, p, q]``.

    Parameters
    ----------
    dy : array of shape (n, out, oh, ow)
        Gradient with respect to the output.
    x, w, stride, padding, output_padding, dilation, groups, algorithm
        As given to `conv_transpose2d`.
    dx : bool
        Whether to compute the gradient with respect to x.
    dw, db : bool or array
        True returns a new array, False computes nothing, an array has the gradient added into it.

    Returns
    -------
    dx : array of shape (n, c, h, w), channels-last in memory, or None
    dw : array of shape (c, out / groups, kh, kw) or None
    db : array of shape (out,) or None

    Raises
    ------
    ShapeError, DTypeError, SettingError, UnsupportedError

    Notes
    -----
    Each gradient costs as much as the forward pass.
    """
    who = "conv_transpose2d_backward"
    x, w, size, problem = _transposed(x, w, stride, padding, output_padding, dilation, groups, who)
    out = w.shape[1] * problem.groups
    given, dw_out, db_out = gradients(dy, (len(x), out, *size), x, w, dw, db, who)
    dx_out = None
    if dx:
        n, c, height, width = x.shape
        dx_out = empty((n, height, width, c), x.dtype)
        forward(problem, algorithm, who, (given, w, None, dx_out, None), relu=False)
    if dw_out is not None:
        weight_gradient(problems(problem, size), algorithm, who, Upstream(to_nhwc(x), None, None), given, dw_out, None)
    if db_out is not None:
        sums = Problem(len(x), size, (out, out, 1, 1), (1, 1, 0, 0, 1, 1), 1, x.dtype)
        weight_gradient(problems(sums, size), None, who, Upstream(given, None, None), given, None, db_out)
    return None if dx_out is None else to_nchw(dx_out), dw_out, db_out
