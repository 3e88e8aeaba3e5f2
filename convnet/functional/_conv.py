"""Two-dimensional convolution and its gradients."""

from functools import lru_cache
from typing import NamedTuple

from convnet.errors import ShapeError
from convnet.functional._arrays import (
    FloatArray,
    contiguous,
    empty,
    expect_shape,
    feature_maps,
    gradient_target,
    plain,
    same_dtype,
    to_nchw,
    to_nhwc,
)
from convnet.kernels import conv as kernels
from convnet.settings import integer
from convnet.shapes import IntPair, Padding, conv2d_output_size, conv2d_padding, pair


class Geometry(NamedTuple):
    """What the kernels need to know besides the arrays."""

    size: tuple[int, int]
    """Height and width of the output."""
    window: tuple[int, int, int, int, int, int]
    """Stride, padding in front and dilation, each vertical and horizontal."""


def _geometry(
    size: tuple[int, int], kernel: tuple[int, int], stride: IntPair, padding: Padding, dilation: IntPair
) -> Geometry:
    (top, _), (left, _) = conv2d_padding(padding, size, kernel, stride, dilation)
    out = conv2d_output_size(size, kernel, stride, padding, dilation)
    return Geometry(out, (*pair(stride, "stride"), top, left, *pair(dilation, "dilation")))


_cached_geometry = lru_cache(maxsize=512)(_geometry)  # saves 6 us a call


def geometry(
    size: tuple[int, int], kernel: tuple[int, int], stride: IntPair, padding: Padding, dilation: IntPair
) -> Geometry:
    """Resolve sizes and settings, once for each combination that can be looked up."""
    resolve = _cached_geometry if plain((stride, padding, dilation)) else _geometry
    return resolve(size, kernel, stride, padding, dilation)  # type: ignore[arg-type]


def _weights(x: FloatArray, w: object, groups: int, who: str) -> FloatArray:
    """Check weights against maps of ``x.shape[1]`` channels."""
    weights = same_dtype(x, w, who, "w")
    if weights.ndim != 4:
        raise ShapeError(f"{who}: expected w of shape (out, in / groups, kh, kw), got {weights.shape}")
    groups = integer(groups, f"{who} groups")
    if x.shape[1] != weights.shape[1] * groups:
        raise ShapeError(
            f"{who}: expected x of shape (n, {weights.shape[1] * groups}, h, w) for w of shape {weights.shape} "
            f"and groups={groups}, got {x.shape}"
        )
    if weights.shape[0] % groups:
        raise ShapeError(f"{who}: expected out to be a multiple of groups={groups}, got w of shape {weights.shape}")
    return contiguous(weights)


def conv2d(
    x: FloatArray,
    w: FloatArray,
    b: FloatArray | None = None,
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
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

    Notes
    -----
    Costs n * out * oh * ow * kh * kw * c / groups multiply-adds. No im2col: the register tile reads x in place,
    see Zhang, Franchetti and Low, "High performance zero-memory overhead direct convolutions" (arXiv:1809.10170).

    Examples
    --------
    >>> x = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    >>> w = np.array([[0, 0, 0], [0, 1, 0], [0, -1, 0]], float).reshape(1, 1, 3, 3)
    >>> conv2d(x, w)[0, 0]
    array([[-4., -4.],
           [-4., -4.]])
    """
    x = feature_maps(x, "conv2d")
    w = _weights(x, w, groups, "conv2d")
    out = w.shape[0]
    if b is not None:
        b = contiguous(same_dtype(x, b, "conv2d", "b"))
        expect_shape(b, (out,), "conv2d", "b")
    size, window = geometry(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = empty((x.shape[0], *size, out), x.dtype)
    kernels.conv2d_forward(to_nhwc(x), w, b, y, *window, groups)
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
    x, w, stride, padding, dilation, groups
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
    ShapeError, DTypeError, SettingError
        As `conv2d`; also if dy or a given array does not fit.

    Notes
    -----
    Each gradient costs as much as the forward pass. The sums over images are cut by shape alone and meet in a fixed
    tree: the same bits for any number of threads.
    """
    who = "conv2d_backward"
    x = feature_maps(x, who)
    w = _weights(x, w, groups, who)
    dy = same_dtype(x, feature_maps(dy, who, "dy"), who, "dy")
    size, window = geometry(x.shape[2:], w.shape[2:], stride, padding, dilation)
    expect_shape(dy, (x.shape[0], w.shape[0], *size), who, "dy")
    dw_out = gradient_target(dw, w.shape, x.dtype, who, "dw")
    db_out = gradient_target(db, w.shape[:1], x.dtype, who, "db")
    dy_nhwc = to_nhwc(dy)
    kh, kw = w.shape[2:]
    dx_out = None
    if dx:
        n, c, height, width = x.shape
        dx_out = empty((n, height, width, c), x.dtype)
        kernels.conv2d_data_gradient(dy_nhwc, w, dx_out, *window, groups)
        dx_out = to_nchw(dx_out)
    if dw_out is not None or db_out is not None:
        kernels.conv2d_weight_gradient(dy_nhwc, to_nhwc(x), dw_out, db_out, kh, kw, *window, groups)
    return dx_out, dw_out, db_out
