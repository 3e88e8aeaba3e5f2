"""Arrays at the door of the compiled code: types checked, layout made channels-last, memory from the cache."""

import math
from collections.abc import Sequence
from types import NoneType
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convnet.errors import DTypeError, ShapeError
from convnet.kernels.elementwise import transpose
from convnet.kernels.runtime import Buffer
from convnet.settings import integer

FloatArray: TypeAlias = NDArray[np.floating[Any]]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# Below this NumPy's own allocator serves small blocks faster than a Buffer object does.
_SMALL = 4096

_PLAIN = frozenset((int, str, bool, NoneType))


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an uninitialised C-contiguous array; larger ones lie in cached memory: no page is new to a step."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < _SMALL:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, Buffer(nbytes))  # type: ignore[arg-type]


def floats(x: Any, who: str, name: str) -> FloatArray:
    """Return ``x`` as an array of float32 or float64, without a copy where it is one already.

    Takes arrays, DLPack producers and whatever `numpy.asarray` takes.
    """
    if not isinstance(x, np.ndarray):
        x = np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
    if x.dtype not in FLOATS:
        images = name == "x" and x.dtype.kind in "iu"
        hint = "; scale integer images first, as in x.astype(np.float32) / 255" if images else ""
        raise DTypeError(f"{who}: expected {name} of dtype float32 or float64, got {x.dtype}{hint}")
    array: FloatArray = x if x.flags.aligned else x.copy()
    return array


def same_dtype(x: FloatArray, other: object, who: str, name: str) -> FloatArray:
    """Return ``other`` as an array, which must have the type of ``x``."""
    array = floats(other, who, name)
    if array.dtype != x.dtype:
        raise DTypeError(f"{who}: expected {name} of dtype {x.dtype}, like the other arrays, got {array.dtype}")
    return array


def expect_shape(array: FloatArray, shape: tuple[int, ...], who: str, name: str) -> None:
    """Raise a ShapeError unless ``array`` has this shape."""
    if array.shape != shape:
        raise ShapeError(f"{who}: expected {name} of shape {shape}, got {array.shape}")


def feature_maps(x: object, who: str, name: str = "x") -> FloatArray:
    """Return ``x`` as floats of four dimensions."""
    array = floats(x, who, name)
    if array.ndim != 4:
        raise ShapeError(f"{who}: expected {name} of shape (n, c, h, w), got {array.shape}")
    return array


def maps_shape(shape: Sequence[SupportsIndex], who: str, name: str) -> tuple[int, int, int, int]:
    """Return ``shape`` as (n, c, h, w)."""
    sizes = tuple(integer(size, f"{who} {name}", least=0) for size in shape)
    if len(sizes) != 4:
        raise ShapeError(f"{who}: expected {name} (n, c, h, w), got {sizes}")
    return sizes


def plain(setting: object) -> bool:
    """Tell whether a setting is made of int, str and None alone: a cache would take an equal 1.0 for 1."""
    kind = type(setting)
    if kind is not tuple:
        return kind in _PLAIN
    for part in setting:  # type: ignore[attr-defined]  # noqa: SIM110 - all() takes twice as long, at every call
        if type(part) is not int and not plain(part):
            return False
    return True


def to_nhwc(x: FloatArray) -> FloatArray:
    """View maps of shape (n, c, h, w) as a C-contiguous (n, h, w, c) array; copied only if they lie otherwise."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view
    y = empty(view.shape, x.dtype)
    if x.flags.c_contiguous:
        n, c, h, w = x.shape
        transpose(x.reshape(n, c, h * w), y.reshape(n, h * w, c))
    else:
        np.copyto(y, view)
    return y


def to_nchw(y: NDArray[Any]) -> NDArray[Any]:
    """View a (n, h, w, c) array by its logical shape (n, c, h, w)."""
    return y.transpose(0, 3, 1, 2)


def contiguous(x: FloatArray) -> FloatArray:
    """Return ``x`` C-contiguous, copied only if it is not."""
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


def gradient_target(
    request: bool | FloatArray, shape: tuple[int, ...], dtype: np.dtype[Any], who: str, name: str
) -> FloatArray | None:
    """Return the array a gradient is added into: a new one for True, none for False, else the given one, checked."""
    if isinstance(request, bool):
        return np.zeros(shape, dtype) if request else None
    if not isinstance(request, np.ndarray):
        raise DTypeError(f"{who}: expected {name} to be True, False or an array, got {request!r}")
    if request.dtype != dtype:
        raise DTypeError(f"{who}: expected {name} of dtype {dtype}, got {request.dtype}")
    expect_shape(request, shape, who, name)
    if not (request.flags.c_contiguous and request.flags.writeable and request.flags.aligned):
        raise ShapeError(f"{who}: expected {name} to be a writeable C-contiguous array")
    return request
