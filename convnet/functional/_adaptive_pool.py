"""Max and average pooling to a given size, and their gradients."""

from typing import Literal, overload

import numpy as np

from convnet.errors import DTypeError, ShapeError
from convnet.functional._arrays import FloatArray, empty, expect_shape, feature_maps, maps_shape, to_nchw, to_nhwc
from convnet.functional._pool import Codes
from convnet.kernels import pool as kernels
from convnet.shapes import IntPair, pair


def _expect_pixels(shape: tuple[int, ...], who: str, name: str) -> None:
    if 0 in shape[2:]:
        raise ShapeError(f"{who}: expected {name} of at least one pixel, got {shape}")


def _maps(x: FloatArray, who: str, name: str) -> FloatArray:
    """Return ``x`` as maps that are not without pixels."""
    x = feature_maps(x, who, name)
    _expect_pixels(x.shape, who, name)
    return x


def _expect_gradient_of(input_shape: tuple[int, ...], dy: FloatArray, who: str) -> tuple[int, int, int, int]:
    """Return ``input_shape`` if its batch and its channels are those of ``dy``."""
    n, c, h, w = maps_shape(input_shape, who, "input_shape")
    _expect_pixels((n, c, h, w), who, "input_shape")
    expect_shape(dy, (n, c, *dy.shape[2:]), who, "dy")
    return n, c, h, w


def _code_type(size: tuple[int, int], out: tuple[int, int]) -> np.dtype[np.integer]:
    """Return the type that counts the elements of the largest window: of ceil(length / out) or one more a side."""
    sides = [-(-length // count) + (length % count != 0) for length, count in zip(size, out, strict=True)]
    return np.dtype(np.uint8 if sides[0] * sides[1] <= 256 else np.int32)


def adaptive_avg_pool2d(x: FloatArray, output_size: IntPair) -> FloatArray:
    """Take the mean of each of ``output_size`` windows that cover the map evenly.

    Along an axis of length h with o outputs, window i has the elements from ``floor(i h / o)`` to ``ceil((i + 1) h /
    o)``: windows side by side where o divides h, else of two sizes, some overlapping by one.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
        Maps of at least one pixel.
    output_size : int or pair of int

    Returns
    -------
    array of shape (n, c, oh, ow)
        Channels-last in memory.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> adaptive_avg_pool2d(np.arange(5.0).reshape(1, 1, 1, 5), (1, 2))[0, 0]
    array([[1., 3.]])
    """
    x = _maps(x, "adaptive_avg_pool2d", "x")
    size = pair(output_size, "adaptive_avg_pool2d output_size")
    y = empty((x.shape[0], *size, x.shape[1]), x.dtype)
    kernels.adaptive_average_pool2d_forward(to_nhwc(x), y)
    return to_nchw(y)


def adaptive_avg_pool2d_backward(dy: FloatArray, input_shape: tuple[int, ...]) -> FloatArray:
    """Gradient of `adaptive_avg_pool2d`: each element of dy is shared evenly among the elements of its window.

    Parameters
    ----------
    dy : array of shape (n, c, oh, ow), float32 or float64
    input_shape : (n, c, h, w)
        Shape of the input of `adaptive_avg_pool2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "adaptive_avg_pool2d_backward"
    dy = _maps(dy, who, "dy")
    n, c, h, w = _expect_gradient_of(input_shape, dy, who)
    dx = empty((n, h, w, c), dy.dtype)
    kernels.adaptive_average_pool2d_gradient(to_nhwc(dy), dx)
    return to_nchw(dx)


@overload
def adaptive_max_pool2d(x: FloatArray, output_size: IntPair, *, return_codes: Literal[False] = False) -> FloatArray: ...
@overload
def adaptive_max_pool2d(
    x: FloatArray, output_size: IntPair, *, return_codes: Literal[True]
) -> tuple[FloatArray, Codes]: ...
def adaptive_max_pool2d(
    x: FloatArray, output_size: IntPair, *, return_codes: bool = False
) -> FloatArray | tuple[FloatArray, Codes]:
    """Take the largest element of each of ``output_size`` windows that cover the map evenly.

    The windows are those of `adaptive_avg_pool2d`. Of equal elements the first one (row by row) wins; a NaN wins over
    every number.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
        Maps of at least one pixel.
    output_size : int or pair of int
    return_codes : bool
        Also return where each maximum was found, for `adaptive_max_pool2d_backward`.

    Returns
    -------
    y : array of shape (n, c, oh, ow)
        Channels-last in memory.
    codes : array of y's shape, uint8 (int32 for windows of more than 256 elements)
        Position of each maximum in its window, counted row by row. Only with ``return_codes``.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> adaptive_max_pool2d(np.arange(5.0).reshape(1, 1, 1, 5), (1, 2))[0, 0]
    array([[2., 4.]])
    """
    x = _maps(x, "adaptive_max_pool2d", "x")
    size = pair(output_size, "adaptive_max_pool2d output_size")
    y = empty((x.shape[0], *size, x.shape[1]), x.dtype)
    if not return_codes:
        kernels.adaptive_max_pool2d_forward(to_nhwc(x), y, None)
        return to_nchw(y)
    codes = empty(y.shape, _code_type(x.shape[2:], size))
    kernels.adaptive_max_pool2d_forward(to_nhwc(x), y, codes.view(np.uint8))
    return to_nchw(y), to_nchw(codes)


def adaptive_max_pool2d_backward(dy: FloatArray, codes: Codes, input_shape: tuple[int, ...]) -> FloatArray:
    """Gradient of `adaptive_max_pool2d`: each element of dy goes to the place where its maximum was; overlaps add up.

    Parameters
    ----------
    dy : array of shape (n, c, oh, ow), float32 or float64
    codes : array of dy's shape
        From `adaptive_max_pool2d` with ``return_codes=True``.
    input_shape : (n, c, h, w)
        Shape of the input of `adaptive_max_pool2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "adaptive_max_pool2d_backward"
    dy, codes = _maps(dy, who, "dy"), np.asarray(codes)
    n, c, h, w = _expect_gradient_of(input_shape, dy, who)
    code_type = _code_type((h, w), dy.shape[2:])
    if codes.dtype != code_type:
        raise DTypeError(f"{who}: expected codes of dtype {code_type}, got {codes.dtype}")
    if codes.shape != dy.shape:
        raise ShapeError(f"{who}: expected codes of shape {dy.shape}, like dy, got {codes.shape}")
    dx = empty((n, h, w, c), dy.dtype)
    codes_nhwc = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    kernels.adaptive_max_pool2d_gradient(to_nhwc(dy), codes_nhwc.view(np.uint8), dx)
    return to_nchw(dx)
