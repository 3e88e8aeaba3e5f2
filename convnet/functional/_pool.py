"""Max and average pooling and their gradients."""

from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DTypeError, ShapeError
from convnet.functional._arrays import (
    FloatArray,
    empty,
    expect_shape,
    feature_maps,
    maps_shape,
    plain,
    to_nchw,
    to_nhwc,
)
from convnet.kernels import pool as kernels
from convnet.shapes import IntPair, pair, pool2d_output_size, pool2d_padding

Codes: TypeAlias = NDArray[np.integer[Any]]


class Geometry(NamedTuple):
    """What the kernels need to know besides the arrays."""

    size: tuple[int, int]
    """Height and width of the output."""
    window: tuple[int, int, int, int, int, int]
    """Kernel, stride and padding, each vertical and horizontal."""
    dilation: tuple[int, int]


def _geometry(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair | None,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> Geometry:
    out = pool2d_output_size(size, kernel_size, stride, padding, dilation, ceil_mode)
    kernel = pair(kernel_size, "kernel_size")
    steps = kernel if stride is None else pair(stride, "stride")
    pads = pool2d_padding(padding, kernel, dilation)
    return Geometry(out, (*kernel, *steps, *pads), pair(dilation, "dilation"))


_cached_geometry = lru_cache(maxsize=512)(_geometry)


def geometry(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair | None,
    padding: IntPair,
    dilation: IntPair,
    ceil_mode: bool,
) -> Geometry:
    """Resolve sizes and settings, once for each combination that can be looked up."""
    settings = (kernel_size, stride, padding, dilation, ceil_mode)
    resolve = _cached_geometry if plain(settings) else _geometry
    return resolve(size, *settings)  # type: ignore[arg-type]


@overload
def max_pool2d(
    x: FloatArray,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    *,
    return_codes: Literal[False] = False,
) -> FloatArray: ...
@overload
def max_pool2d(
    x: FloatArray,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    *,
    return_codes: Literal[True],
) -> tuple[FloatArray, Codes]: ...
def max_pool2d(
    x: FloatArray,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    *,
    return_codes: bool = False,
) -> FloatArray | tuple[FloatArray, Codes]:
    """Take the largest element of each window of each channel.

    Padding never wins. Of equal elements the first one (row by row) wins; a NaN wins over every number.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        Default: the kernel size, windows side by side.
    padding : int or pair of int
        At most half the dilated window.
    dilation : int or pair of int
    ceil_mode : bool
        Keep a last window that reaches over the edge, if it starts inside the map or its leading padding.
    return_codes : bool
        Also return where each maximum was found, for `max_pool2d_backward`.

    Returns
    -------
    y : array of shape (n, c, oh, ow)
        Channels-last in memory; (oh, ow) = ``pool2d_output_size((h, w), kernel_size, ...)``.
    codes : array of shape (n, c, oh, ow), uint8 (int32 for windows of more than 256 elements)
        Position of each maximum in its window, counted row by row. Only with ``return_codes``.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> x = np.array([[1.0, 2, 5, 6], [3, 4, 8, 7]]).reshape(1, 1, 2, 4)
    >>> y, codes = max_pool2d(x, 2, return_codes=True)
    >>> y[0, 0], codes[0, 0]
    (array([[4., 8.]]), array([[3, 2]], dtype=uint8))
    """
    x = feature_maps(x, "max_pool2d")
    size, window, dilations = geometry(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y = empty((x.shape[0], *size, x.shape[1]), x.dtype)
    if not return_codes:
        kernels.max_pool2d_forward(to_nhwc(x), y, None, *window, *dilations)
        return to_nchw(y)
    code_type = np.dtype(np.uint8 if window[0] * window[1] <= 256 else np.int32)
    codes = empty(y.shape, code_type)
    kernels.max_pool2d_forward(to_nhwc(x), y, codes.view(np.uint8), *window, *dilations)
    return to_nchw(y), to_nchw(codes)


def max_pool2d_backward(
    dy: FloatArray,
    codes: Codes,
    input_shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> FloatArray:
    """Gradient of `max_pool2d`: each element of dy goes to the place where its maximum was; overlaps add up.

    Parameters
    ----------
    dy : array of shape (n, c, oh, ow), float32 or float64
    codes : array of shape (n, c, oh, ow)
        From `max_pool2d` with ``return_codes=True``.
    input_shape : (n, c, h, w)
        Shape of the input of `max_pool2d`.
    kernel_size, stride, padding, dilation, ceil_mode
        As given to `max_pool2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "max_pool2d_backward"
    dy = feature_maps(dy, who, "dy")
    n, c, h, w = maps_shape(input_shape, who, "input_shape")
    size, window, dilations = geometry((h, w), kernel_size, stride, padding, dilation, ceil_mode)
    expect_shape(dy, (n, c, *size), who, "dy")
    code_type = np.dtype(np.uint8 if window[0] * window[1] <= 256 else np.int32)
    codes = np.asarray(codes)
    if codes.dtype != code_type:
        raise DTypeError(f"{who}: expected codes of dtype {code_type}, got {codes.dtype}")
    if codes.shape != dy.shape:
        raise ShapeError(f"{who}: expected codes of shape {dy.shape}, like dy, got {codes.shape}")
    codes_nhwc = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    dx = empty((n, h, w, c), dy.dtype)
    kernels.max_pool2d_gradient(to_nhwc(dy), codes_nhwc.view(np.uint8), dx, *window, *dilations)
    return to_nchw(dx)


def avg_pool2d(
    x: FloatArray,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> FloatArray:
    """Take the mean of each window of each channel.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        Default: the kernel size.
    padding : int or pair of int
        Zeros around the map, at most half the window.
    ceil_mode : bool
        Keep a last window that reaches over the edge; what lies behind the padding never counts.
    count_include_pad : bool
        Whether padding counts as elements of the mean, or only elements of the map do.

    Returns
    -------
    array of shape (n, c, oh, ow)
        Channels-last in memory; (oh, ow) = ``pool2d_output_size((h, w), kernel_size, ...)``.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> avg_pool2d(np.arange(8.0).reshape(1, 1, 2, 4), 2)[0, 0]
    array([[2.5, 4.5]])
    """
    x = feature_maps(x, "avg_pool2d")
    size, window, _ = geometry(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y = empty((x.shape[0], *size, x.shape[1]), x.dtype)
    kernels.average_pool2d_forward(to_nhwc(x), y, *window, count_include_pad)
    return to_nchw(y)


def avg_pool2d_backward(
    dy: FloatArray,
    input_shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> FloatArray:
    """Gradient of `avg_pool2d`: each element of dy is shared evenly among the elements of its window.

    Parameters
    ----------
    dy : array of shape (n, c, oh, ow), float32 or float64
    input_shape : (n, c, h, w)
        Shape of the input of `avg_pool2d`.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As given to `avg_pool2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "avg_pool2d_backward"
    dy = feature_maps(dy, who, "dy")
    n, c, h, w = maps_shape(input_shape, who, "input_shape")
    size, window, _ = geometry((h, w), kernel_size, stride, padding, 1, ceil_mode)
    expect_shape(dy, (n, c, *size), who, "dy")
    dx = empty((n, h, w, c), dy.dtype)
    kernels.average_pool2d_gradient(to_nhwc(dy), dx, *window, count_include_pad)
    return to_nchw(dx)
