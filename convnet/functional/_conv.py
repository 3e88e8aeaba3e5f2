"""Two-dimensional convolution and its gradients."""

from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DTypeError, SettingError, ShapeError
from convnet.functional._algorithm import Algorithm, PerPass, Problem, problems
from convnet.functional._arrays import (
    FloatArray,
    empty,
    plain,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.functional._operands import bias, gradients, operands
from convnet.functional._passes import Upstream, data_gradient, forward, through_relu, weight_gradient
from convnet.settings import integer
from convnet.shapes import IntPair, Padding, conv2d_output_size, conv2d_padding, pair


class Geometry(NamedTuple):
    """What the kernels need to know besides the arrays."""

    size: tuple[int, int]
    """Height and width of the output."""
    window: tuple[int, int, int, int, int, int]
    """Stride, padding in front and dilation, each vertical and horizontal."""


def geometry(
    size: tuple[int, int], kernel: tuple[int, int], stride: IntPair, padding: Padding, dilation: IntPair
) -> Geometry:
    """Resolve sizes and settings."""
    (top, _), (left, _) = conv2d_padding(padding, size, kernel, stride, dilation)
    out = conv2d_output_size(size, kernel, stride, padding, dilation)
    return Geometry(out, (*pair(stride, "stride"), top, left, *pair(dilation, "dilation")))


# Of a convolution, as given: stride, padding, dilation, groups and, or None, the windows of a fused max pool.
_Settings: TypeAlias = tuple[IntPair, Padding, IntPair, int, IntPair | None]


def _resolve(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], dtype: np.dtype[Any], settings: _Settings, who: str
) -> PerPass[Problem]:
    """What the passes compute, from shapes and settings, which are checked here."""
    if len(w_shape) != 4:
        raise ShapeError(f"{who}: expected w of shape (out, in / groups, kh, kw), got {w_shape}")
    stride, padding, dilation, groups, pool = settings
    groups = integer(groups, f"{who} groups")
    if x_shape[1] != w_shape[1] * groups:
        raise ShapeError(
            f"{who}: expected x of shape (n, {w_shape[1] * groups}, h, w) for w of shape {w_shape} "
            f"and groups={groups}, got {x_shape}"
        )
    if w_shape[0] % groups:
        raise ShapeError(f"{who}: expected out to be a multiple of groups={groups}, got w of shape {w_shape}")
    n, _, h, w = x_shape
    size, window = geometry((h, w), (w_shape[2], w_shape[3]), stride, padding, dilation)
    windows = pool_windows(pool, size, who)
    return problems(Problem(n, size, w_shape, window, groups, dtype, windows), (h, w))


_resolve_once = lru_cache(maxsize=512)(_resolve)  # saves 9 us a call


def _passes(x: FloatArray, w: FloatArray, settings: _Settings, who: str) -> PerPass[Problem]:
    """As `_resolve`, once for each combination that can be looked up."""
    return (_resolve_once if plain(settings) else _resolve)(x.shape, w.shape, x.dtype, settings, who)


def conv2d(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
) -> FloatArray:
    """Convolve maps with filters (as a cross-correlation, like every deep-learning library).

    ``y[n, o, p, q] = b[o] + sum over k, i, j of x[n, k, p * s + i * d - pad, q * s + j * d - pad] * w[o, k, i, j]``,
    where x is zero outside and, with groups, k runs over the channels of o's group.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
        Any strides; read in place if channels-last, else copied once.
    w : array of shape (out, c / groups, kh, kw)
        Of the type of x.
    b : array of shape (out,), optional
    stride, dilation : int or pair of int
    padding : int, pair, "same", "valid" or ((top, bottom), (left, right))
    groups : int
        Parts into which the channels are split; part i of the output sees part i of the input. c makes it depthwise.
    algorithm : {"auto", "direct", "winograd"}, optional
        Overrides `set_algorithm`; see `conv2d_algorithm` for what "auto" takes and what Winograd's errors are.

    Returns
    -------
    array of shape (n, out, oh, ow)
        Channels-last in memory; (oh, ow) = ``conv2d_output_size((h, w), (kh, kw), stride, padding, dilation)``.

    Raises
    ------
    ShapeError
        If shapes do not fit or the dilated kernel is larger than the padded map.
    DTypeError
        If an array is neither float32 nor float64, or they differ.
    SettingError
        If a setting is out of range.
    UnsupportedError
        If algorithm is "winograd", and w not 3 x 3 or stride, dilation or groups not 1.

    Notes
    -----
    Costs n * out * oh * ow * kh * kw * c / groups multiply-adds, with Winograd's algorithm a quarter. No im2col: the
    register tile reads x in place, see Zhang, Franchetti and Low, "High performance zero-memory overhead direct
    convolutions" (arXiv:1809.10170).

    Examples
    --------
    >>> x = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    >>> w = np.array([[0, 0, 0], [0, 1, 0], [0, -1, 0]], float).reshape(1, 1, 3, 3)
    >>> conv2d(x, w)[0, 0]
    array([[-4., -4.],
           [-4., -4.]])
    """
    x, w = operands(x, w, "conv2d")
    problem = _passes(x, w, (stride, padding, dilation, groups, None), "conv2d").forward
    b = bias(x, b, len(w), "conv2d")
    y = empty((x.shape[0], *problem.size, w.shape[0]), x.dtype)
    forward(problem, algorithm, "conv2d", (to_nhwc(x), w, b, y, None), relu=False)
    return to_nchw(y)


def conv2d_backward(
    dy: FloatArray,
    x: FloatArray,
    w: FloatArray,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    dx: bool = True,
    dw: bool | FloatArray = True,
    db: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradients of `conv2d` with respect to x, w and b.

    ``dw[o, k, i, j]`` sums ``dy[n, o, p, q] * x[n, k, p * s + i * d - pad, q * s + j * d - pad]`` over n, p, q;
    ``db[o]`` sums ``dy[n, o, p, q]``; ``dx`` is the convolution of dy with the flipped filters.

    Parameters
    ----------
    dy : array of shape (n, out, oh, ow)
        Gradient with respect to the output.
    x, w, stride, padding, dilation, groups, algorithm
        As given to `conv2d`.
    dx : bool
        Whether to compute the gradient with respect to x.
    dw, db : bool or array
        True returns a new array, False computes nothing, an array has the gradient added into it.

    Returns
    -------
    dx : array of shape (n, c, h, w), channels-last in memory, or None
    dw : array of shape (out, c / groups, kh, kw) or None
    db : array of shape (out,) or None

    Raises
    ------
    ShapeError, DTypeError, SettingError, UnsupportedError
        As `conv2d`; also if dy or a given array does not fit.

    Notes
    -----
    Each gradient costs as much as the forward pass. The sums over images are cut by shape alone and meet in a fixed
    tree: the same bits for any number of threads.
    """
    given = _Given(dy, x, w, (stride, padding, dilation, groups, None), algorithm, "conv2d_backward")
    return _gradients(given, None, None, dx, dw, db)


class _Given(NamedTuple):
    """What both backward functions are given."""

    dy: FloatArray
    x: FloatArray
    w: FloatArray
    settings: _Settings
    algorithm: Algorithm | None
    who: str


def _gradients(
    given: _Given,
    relu_output: FloatArray | None,
    codes: NDArray[np.uint8] | None,
    dx: bool,
    dw: bool | FloatArray,
    db: bool | FloatArray,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    who = given.who
    x, w = operands(given.x, given.w, who)
    passes = _passes(x, w, given.settings, who)
    (oh, ow), (pool_y, pool_x) = passes.forward.size, passes.forward.pool
    dy, dw_out, db_out = gradients(given.dy, (len(x), len(w), oh // pool_y, ow // pool_x), x, w, dw, db, who)
    upstream = Upstream(dy, relu_output, codes)
    if relu_output is not None and passes.forward.direct != "direct":
        upstream = through_relu(upstream)
    dx_out = None
    if dx:
        n, c, height, width = x.shape
        dx_out = empty((n, height, width, c), x.dtype)
        data_gradient(passes, given.algorithm, who, upstream, (w, None, dx_out))
        dx_out = to_nchw(dx_out)
    if dw_out is not None or db_out is not None:
        weight_gradient(passes, given.algorithm, who, upstream, to_nhwc(x), dw_out, db_out)
    return dx_out, dw_out, db_out


def pool_windows(pool: IntPair | None, size: tuple[int, int], who: str) -> tuple[int, int]:
    """Check the size of a fused max pool's windows against the map they lie on."""
    if pool is None:
        return 1, 1
    windows = pair(pool, f"{who} pool")
    if windows[0] > size[0] or windows[1] > size[1]:
        raise ShapeError(f"{who}: expected pool of at most {size}, the size of the map it lies on, got {windows}")
    if not 1 < windows[0] * windows[1] <= 255:
        raise SettingError(f"{who}: expected pool windows of 2 to 255 elements, got {windows}")
    return windows


@overload
def conv2d_relu(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    pool: IntPair | None = None,
    return_codes: Literal[False] = False,
) -> FloatArray: ...
@overload
def conv2d_relu(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    pool: IntPair,
    return_codes: Literal[True],
) -> tuple[FloatArray, NDArray[np.uint8]]: ...
def conv2d_relu(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    pool: IntPair | None = None,
    return_codes: bool = False,
) -> FloatArray | tuple[FloatArray, NDArray[np.uint8]]:
    """Convolve, rectify and, with ``pool``, take the maxima of windows side by side: one pass over memory.

    The same numbers as ``max_pool2d(relu(conv2d(x, w, b)), pool)``, of which neither the convolution's nor the ReLU's
    map is ever written.

    Parameters
    ----------
    x, w, b, stride, padding, dilation, groups, algorithm
        As for `conv2d`; Winograd's algorithm needs pool windows whose sides divide 4.
    pool : int or pair of int, optional
        Size, and stride, of the windows: 2 to 255 elements.
    return_codes : bool
        Also return what `conv2d_relu_backward` needs; only with ``pool``.

    Returns
    -------
    y : array of shape (n, out, oh // pool, ow // pool)
        Channels-last in memory.
    codes : array of the shape of y, uint8
        Position of each maximum in its window, counted row by row; 255 where y is 0.

    Raises
    ------
    ShapeError, DTypeError, SettingError, UnsupportedError

    Notes
    -----
    Costs what `conv2d` does. For a pooled output, 5 bytes are kept for the backward pass instead of 4 * 4 + 4 * 4 + 5.

    Examples
    --------
    >>> x = np.array([[1.0, -2], [3, -4]]).reshape(1, 1, 2, 2)
    >>> y, codes = conv2d_relu(x, np.ones((1, 1, 1, 1)), pool=2, return_codes=True)
    >>> y.item(), codes.item()
    (3.0, 2)
    """
    who = "conv2d_relu"
    x, w = operands(x, w, who)
    problem = _passes(x, w, (stride, padding, dilation, groups, pool), who).forward
    b = bias(x, b, len(w), who)
    (oh, ow), (pool_y, pool_x) = problem.size, problem.pool
    y = empty((x.shape[0], oh // pool_y, ow // pool_x, w.shape[0]), x.dtype)
    codes = empty(y.shape, np.dtype(np.uint8)) if return_codes and pool is not None else None
    forward(problem, algorithm, who, (to_nhwc(x), w, b, y, codes), relu=True)
    return to_nchw(y) if codes is None else (to_nchw(y), to_nchw(codes))


def conv2d_relu_backward(
    dy: FloatArray,
    saved: NDArray[Any],
    x: FloatArray,
    w: FloatArray,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: Algorithm | None = None,
    pool: IntPair | None = None,
    dx: bool = True,
    dw: bool | FloatArray = True,
    db: bool | FloatArray = True,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Gradients of `conv2d_relu` with respect to x, w and b.

    Parameters
    ----------
    dy : array of shape (n, out, oh // pool, ow // pool)
        Gradient with respect to the output.
    saved : array of the shape of dy
        The codes with ``pool``, without it the output y.
    x, w, stride, padding, dilation, groups, algorithm, pool
        As given to `conv2d_relu`.
    dx, dw, db
        As for `conv2d_backward`.

    Returns
    -------
    dx, dw, db
        As `conv2d_backward`.

    Raises
    ------
    ShapeError, DTypeError, SettingError, UnsupportedError
    """
    settings = (stride, padding, dilation, groups, pool)
    given = _Given(dy, x, w, settings, algorithm, "conv2d_relu_backward")
    if saved.shape != dy.shape:
        raise ShapeError(f"{given.who}: expected saved of shape {dy.shape}, like dy, got {saved.shape}")
    if pool is None:
        return _gradients(given, to_nhwc(same_dtype(dy, saved, given.who, "saved")), None, dx, dw, db)
    if saved.dtype != np.uint8:
        raise DTypeError(f"{given.who}: expected saved to be codes of dtype uint8, got {saved.dtype}")
    return _gradients(given, None, np.ascontiguousarray(saved.transpose(0, 2, 3, 1)), dx, dw, db)
