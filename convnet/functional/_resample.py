"""Padding and interpolation: along each axis a sparse matrix, whose transpose is the gradient's."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convnet.errors import SettingError
from convnet.functional._arrays import FloatArray, empty, expect_shape, feature_maps, to_nchw, to_nhwc
from convnet.kernels import resample as kernels
from convnet.shapes import IntPair, Padding, conv2d_padding, pair
from convnet.upsampling import pad2d_output_size, upsample2d_output_size

PadMode = Literal["zeros", "reflect", "replicate"]
UpsampleMode = Literal["nearest", "bilinear"]


class Axis(NamedTuple):
    """Position i of the result is the sum of weight[t] times position source[t], first[i] <= t < first[i + 1]."""

    first: NDArray[np.int32]
    source: NDArray[np.int32]
    weight: NDArray[np.float64]


def _axis(counts: NDArray[np.int64], source: NDArray[np.int64], weight: NDArray[np.float64]) -> Axis:
    first = np.concatenate([[0], np.cumsum(counts)])
    return Axis(first.astype(np.int32), source.astype(np.int32), weight)


def _picked(source: NDArray[np.int64], length: int) -> Axis:
    """Each position is one of the map's, or 0 where the source is outside."""
    inside = (source >= 0) & (source < length)
    return _axis(inside.astype(np.int64), source[inside], np.ones(int(inside.sum())))


def _transposed(axis: Axis, length: int) -> Axis:
    rows = np.repeat(np.arange(len(axis.first) - 1), np.diff(axis.first))
    order = np.argsort(axis.source, kind="stable")
    return _axis(np.bincount(axis.source, minlength=length), rows[order], axis.weight[order])


@lru_cache(maxsize=128)
def pad_axis(length: int, sides: tuple[int, int], mode: PadMode) -> Axis:
    """Positions in front of the map and behind it."""
    source = np.arange(-sides[0], length + sides[1])
    if mode == "reflect":
        source = (length - 1) - np.abs((length - 1) - np.abs(source))
    elif mode == "replicate":
        source = np.clip(source, 0, length - 1)
    return _picked(source, length)


@lru_cache(maxsize=128)
def _nearest_axis(length: int, out: int, scale: float | None) -> Axis:
    source = np.arange(out) * length // out if scale is None else np.floor(np.arange(out) / scale).astype(np.int64)
    return _picked(np.minimum(source, length - 1), length)


@lru_cache(maxsize=128)
def _linear_axis(length: int, out: int, scale: float | None, align_corners: bool) -> Axis:
    if align_corners:
        at = np.arange(out) * (length - 1) / max(out - 1, 1)
    else:
        at = np.maximum((np.arange(out) + 0.5) * (length / out if scale is None else 1 / scale) - 0.5, 0)
    low = np.minimum(np.floor(at).astype(np.int64), length - 1)
    share = np.where(low < length - 1, at - low, 0)
    weights = np.stack([1 - share, share], axis=1).reshape(-1)
    sources = np.stack([low, low + 1], axis=1).reshape(-1)
    return _axis(1 + (share > 0), sources[weights > 0], weights[weights > 0])


def resampling(y: Axis, x: Axis, size: tuple[int, int], c: int, dtype: np.dtype) -> kernels.Resample:
    """Return the operation on images (c, *size)."""
    tables = (y.first, y.source, y.weight.astype(dtype), x.first, x.source, x.weight.astype(dtype))
    return kernels.Resample(dtype.itemsize, size, c, *tables)


def _resampled(maps: FloatArray, y: Axis, x: Axis) -> FloatArray:
    n, c, h, w = maps.shape
    result = empty((n, len(y.first) - 1, len(x.first) - 1, c), maps.dtype)
    if result.size:
        resampling(y, x, (h, w), c, maps.dtype).run(to_nhwc(maps).reshape(-1), result.reshape(-1), n)
    return to_nchw(result)


# ---- padding ---------------------------------------------------------------------------------------------------------


def pad_axes(size: tuple[int, int], padding: Padding, mode: PadMode, who: str) -> tuple[Axis, Axis]:
    """Resolve and check the settings of a padding."""
    pad2d_output_size(size, padding, mode, who)
    vertical, horizontal = conv2d_padding(padding, size, 1, who=who)
    return pad_axis(size[0], vertical, mode), pad_axis(size[1], horizontal, mode)


def pad2d(x: FloatArray, padding: Padding, *, mode: PadMode = "zeros") -> FloatArray:
    """Put pixels around maps.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    padding : int, pair or ((top, bottom), (left, right))
        How many.
    mode : {"zeros", "reflect", "replicate"}
        What they are: 0, the map mirrored at its outermost pixels, or these repeated.

    Returns
    -------
    array of shape (n, c, top + h + bottom, left + w + right), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> pad2d(np.array([1.0, 2, 3]).reshape(1, 1, 1, 3), ((0, 0), (2, 2)), mode="reflect")[0, 0]
    array([[3., 2., 1., 2., 3., 2., 1.]])
    """
    x = feature_maps(x, "pad2d")
    return _resampled(x, *pad_axes(x.shape[2:], padding, mode, "pad2d"))


def pad2d_backward(
    dy: FloatArray, input_size: tuple[int, int], padding: Padding, *, mode: PadMode = "zeros"
) -> FloatArray:
    """Gradient of `pad2d`: each pixel gets the sum over those that were made of it.

    Parameters
    ----------
    dy : array of shape (n, c, top + h + bottom, left + w + right)
    input_size : (h, w)
    padding, mode
        As given to `pad2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "pad2d_backward"
    return _backward(dy, input_size, pad_axes(pair(input_size, f"{who} input_size", 0), padding, mode, who), who)


def _backward(dy: FloatArray, input_size: tuple[int, int], axes: tuple[Axis, Axis], who: str) -> FloatArray:
    dy = feature_maps(dy, who, "dy")
    expect_shape(dy, (*dy.shape[:2], *(len(axis.first) - 1 for axis in axes)), who, "dy")
    y, x = (_transposed(axis, length) for axis, length in zip(axes, input_size, strict=True))
    return _resampled(dy, y, x)


# ---- interpolation ---------------------------------------------------------------------------------------------------


def upsample_axes(
    input_size: tuple[int, int],
    size: IntPair | None,
    scale_factor: float | tuple[float, float] | None,
    mode: UpsampleMode,
    align_corners: bool,
    who: str,
) -> tuple[Axis, Axis]:
    """Resolve and check the settings of an interpolation."""
    out = upsample2d_output_size(input_size, size, scale_factor, who)
    if mode not in ("nearest", "bilinear"):
        raise SettingError(f"{who} mode: expected 'nearest' or 'bilinear', got {mode!r}")
    if mode == "nearest" and align_corners:
        raise SettingError(f"{who} align_corners: expected False for mode='nearest', got {align_corners!r}")
    factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor, scale_factor)
    if mode == "nearest":
        axis: Callable[..., Axis] = _nearest_axis
        more: tuple[bool, ...] = ()
    else:
        axis, more = _linear_axis, (bool(align_corners),)
    y, x = (axis(*sizes, *more) for sizes in zip(input_size, out, factors, strict=True))
    return y, x


def upsample2d(
    x: FloatArray,
    size: IntPair | None = None,
    *,
    scale_factor: float | tuple[float, float] | None = None,
    mode: UpsampleMode = "nearest",
    align_corners: bool = False,
) -> FloatArray:
    """Change the size of maps by interpolation.

    Position i of ``out`` lies at ``(i + 0.5) * length / out - 0.5`` in a map of ``length``, or with align_corners at
    ``i * (length - 1) / (out - 1)``. "bilinear" mixes the pixels around that (those at the edge go on), "nearest" takes
    number ``floor(i * length / out)``. With a scale factor ``length / out`` is one over that.

    Parameters
    ----------
    x : array of shape (n, c, h, w), float32 or float64
    size : int or pair of int, optional
        Height and width of the result.
    scale_factor : float or pair of float, optional
        Instead: the result has ``floor(h * factor)`` rows.
    mode : {"nearest", "bilinear"}
    align_corners : bool
        Whether the outermost pixels keep their places; only for "bilinear".

    Returns
    -------
    array of shape (n, c, oh, ow), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> x = np.array([0.0, 4.0]).reshape(1, 1, 1, 2)
    >>> upsample2d(x, (1, 4))[0, 0]
    array([[0., 0., 4., 4.]])
    >>> upsample2d(x, (1, 4), mode="bilinear")[0, 0]
    array([[0., 1., 3., 4.]])
    """
    x = feature_maps(x, "upsample2d")
    return _resampled(x, *upsample_axes(x.shape[2:], size, scale_factor, mode, align_corners, "upsample2d"))


def upsample2d_backward(
    dy: FloatArray,
    input_size: tuple[int, int],
    size: IntPair | None = None,
    *,
    scale_factor: float | tuple[float, float] | None = None,
    mode: UpsampleMode = "nearest",
    align_corners: bool = False,
) -> FloatArray:
    """Gradient of `upsample2d`: each pixel gets the pixels it went into, with the same weights.

    Parameters
    ----------
    dy : array of the shape of the result
    input_size : (h, w)
    size, scale_factor, mode, align_corners
        As given to `upsample2d`.

    Returns
    -------
    array of shape (n, c, h, w), channels-last in memory

    Raises
    ------
    ShapeError, DTypeError, SettingError
    """
    who = "upsample2d_backward"
    sizes = pair(input_size, f"{who} input_size")
    return _backward(dy, sizes, upsample_axes(sizes, size, scale_factor, mode, align_corners, who), who)
