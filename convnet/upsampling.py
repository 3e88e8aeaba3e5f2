"""Output sizes of what makes maps larger: transposed convolution, padding, interpolation. Integers, no arrays."""

from convnet.errors import SettingError, ShapeError
from convnet.settings import real
from convnet.shapes import AXES, IntPair, Padding, conv2d_padding, pair

__all__ = ["conv_transpose2d_output_size", "pad2d_output_size", "upsample2d_output_size"]


def conv_transpose2d_output_size(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    dilation: IntPair = 1,
) -> tuple[int, int]:
    """Height and width of a transposed convolution's output.

    Along each axis ``out = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1``: with
    ``output_padding``, one of the sizes that the convolution makes ``size`` of.

    Parameters
    ----------
    size : pair of int
        Height and width of the input.
    kernel_size, stride, padding, output_padding, dilation : int or pair of int
        One number for both axes or (vertical, horizontal).

    Returns
    -------
    (int, int)

    Raises
    ------
    ShapeError
        If the map or the output would have no pixel.
    SettingError
        If a setting is not an integer or out of range, or ``output_padding`` neither below stride nor dilation.

    Examples
    --------
    >>> conv_transpose2d_output_size((7, 7), 3, stride=2, padding=1, output_padding=1)
    (14, 14)
    """
    who = "conv_transpose2d"
    size = pair(size, f"{who} size", least=0)
    kernel, steps = pair(kernel_size, f"{who} kernel_size"), pair(stride, f"{who} stride")
    spread = pair(dilation, f"{who} dilation")
    pads, more = pair(padding, f"{who} padding", least=0), pair(output_padding, f"{who} output_padding", least=0)
    out = []
    for axis, length, k, s, p, extra, d in zip(AXES, size, kernel, steps, pads, more, spread, strict=True):
        if extra >= max(s, d):
            raise SettingError(
                f"{who} output_padding: expected less than stride={steps} or dilation={spread}, got {more}"
            )
        result = (length - 1) * s - 2 * p + d * (k - 1) + extra + 1
        if length < 1 or result < 1:
            raise ShapeError(
                f"{who}: expected an input and an output of at least one pixel, got a {axis} of {length} that becomes "
                f"{result}"
            )
        out.append(result)
    return out[0], out[1]


def pad2d_output_size(size: tuple[int, int], padding: Padding, mode: str, who: str = "pad2d") -> tuple[int, int]:
    """Height and width of a padded map.

    Parameters
    ----------
    size : pair of int
        Height and width of the map.
    padding : int, pair or ((top, bottom), (left, right))
    mode : {"zeros", "reflect", "replicate"}
    who : str
        Who complains.

    Returns
    -------
    (int, int)

    Raises
    ------
    SettingError
        If a setting is none of these.
    ShapeError
        If the map is too small: to be mirrored it needs more pixels than are added at a side, to be repeated one.

    Examples
    --------
    >>> pad2d_output_size((5, 6), ((1, 0), (2, 2)), "zeros")
    (6, 10)
    """
    if mode not in ("zeros", "reflect", "replicate"):
        raise SettingError(f"{who} mode: expected 'zeros', 'reflect' or 'replicate', got {mode!r}")
    if isinstance(padding, str):
        raise SettingError(f"{who} padding: expected integers, got {padding!r}")
    sides = conv2d_padding(padding, size, kernel_size=1, who=who)
    for axis, length, side in zip(AXES, size, sides, strict=True):
        least = {"zeros": 0, "reflect": max(side) + 1, "replicate": 1}[mode]
        if length < least:
            raise ShapeError(
                f"{who}: expected a {axis} of at least {least} for padding={sides}, mode={mode!r}, got size={size}"
            )
    return size[0] + sum(sides[0]), size[1] + sum(sides[1])


def upsample2d_output_size(
    size: tuple[int, int],
    output_size: IntPair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    who: str = "upsample2d",
) -> tuple[int, int]:
    """Height and width of a map that is interpolated, from one of ``output_size`` and ``scale_factor``.

    Parameters
    ----------
    size : pair of int
        Height and width of the map.
    output_size : int or pair of int, optional
    scale_factor : float or pair of float, optional
        The result has ``floor(size * scale_factor)`` pixels along an axis.
    who : str
        Who complains.

    Returns
    -------
    (int, int)

    Raises
    ------
    SettingError
        If both or none of the two are given, or one is out of range.
    ShapeError
        If the map or the result has no pixel.

    Examples
    --------
    >>> upsample2d_output_size((5, 6), scale_factor=1.5)
    (7, 9)
    """
    if (output_size is None) == (scale_factor is None):
        raise SettingError(
            f"{who}: expected either size or scale_factor, got size={output_size!r}, scale_factor={scale_factor!r}"
        )
    if output_size is not None:
        out = pair(output_size, f"{who} size")
    else:
        factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor, scale_factor)
        if len(factors) != 2:
            raise SettingError(f"{who} scale_factor: expected a number or a pair of numbers, got {scale_factor!r}")
        y, x = (real(factor, f"{who} scale_factor") for factor in factors)
        out = int(size[0] * y), int(size[1] * x)
    if min(*size, *out) < 1:
        raise ShapeError(f"{who}: expected maps of at least one pixel, got size={size} that becomes {out}")
    return out
