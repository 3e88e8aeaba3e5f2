"""Output sizes and padding: integers in, integers out, no arrays."""

from collections.abc import Iterator, Sequence
from typing import Literal, SupportsIndex, TypeAlias

from convnet.errors import SettingError, ShapeError
from convnet.settings import integer

IntPair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Padding: TypeAlias = IntPair | Literal["same", "valid"] | Sequence[Sequence[SupportsIndex]]
Sides: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

AXES = ("height", "width")

__all__ = [
    "concat_shape",
    "conv2d_output_size",
    "conv2d_padding",
    "gated_shape",
    "one_shape",
    "pair",
    "pool2d_output_size",
    "pool2d_padding",
]


def pair(value: IntPair, name: str, least: int = 1) -> tuple[int, int]:
    """Make ``value`` a pair (vertical, horizontal) of integers of at least ``least``.

    Parameters
    ----------
    value : int or pair of int
        One number for both axes or (vertical, horizontal).
    name : str
        What an error calls it.
    least : int

    Raises
    ------
    SettingError
        If ``value`` is neither an integer nor a pair of integers, or too small.

    Examples
    --------
    >>> pair(3, "kernel_size"), pair((1, 2), "stride")
    ((3, 3), (1, 2))
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        number = integer(value, name, least)
        return number, number
    if len(value) != 2:
        raise SettingError(f"{name}: expected an integer or a pair of integers, got {value!r}")
    return integer(value[0], name, least), integer(value[1], name, least)


def _window(who: str, *settings: IntPair) -> Iterator[tuple[int, int]]:
    """Yield kernel size, stride and dilation as pairs."""
    for value, name in zip(settings, ("kernel_size", "stride", "dilation"), strict=True):
        yield pair(value, f"{who} {name}")


def _same(size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Sides:
    """Pad so that the output has ceil(size / stride) pixels; the odd pixel goes to the bottom and the right."""
    totals = [
        max((-(-length // s) - 1) * s + (k - 1) * d + 1 - length, 0)
        for length, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)


def conv2d_padding(
    padding: Padding,
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    dilation: IntPair = 1,
    who: str = "conv2d",
) -> Sides:
    """Resolve every way to write a padding to ``((top, bottom), (left, right))``.

    Parameters
    ----------
    padding : int, pair, "same", "valid" or ((top, bottom), (left, right))
        ``"valid"`` is none, ``"same"`` gives outputs of size ``ceil(size / stride)``; an odd pixel is added at the
        bottom and the right.
    size : pair of int
        Height and width of the input; like the other settings it matters for ``"same"`` only.
    kernel_size, stride, dilation : int or pair of int
    who : str
        Who complains about a wrong padding.

    Returns
    -------
    ((int, int), (int, int))

    Raises
    ------
    SettingError
        If ``padding`` is none of these, or negative.

    Examples
    --------
    >>> conv2d_padding("same", (5, 5), kernel_size=4)
    ((1, 2), (1, 2))
    """
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding == "same":
            return _same(size, *_window("conv2d", kernel_size, stride, dilation))
        raise SettingError(f"{who} padding: expected 'same', 'valid' or integers, got {padding!r}")
    if isinstance(padding, Sequence) and any(isinstance(side, Sequence) for side in padding):
        if len(padding) != 2 or not all(isinstance(side, Sequence) and len(side) == 2 for side in padding):
            raise SettingError(f"{who} padding: expected ((top, bottom), (left, right)), got {padding!r}")
        vertical, horizontal = (pair(side, f"{who} padding", least=0) for side in padding)  # type: ignore[arg-type]
        return vertical, horizontal
    if (isinstance(padding, Sequence) and len(padding) != 2) or padding is None:
        raise SettingError(f"{who} padding: expected an integer, a pair, two pairs, 'same' or 'valid', got {padding!r}")
    vertical_pad, horizontal_pad = pair(padding, f"{who} padding", least=0)  # type: ignore[arg-type]
    return (vertical_pad, vertical_pad), (horizontal_pad, horizontal_pad)


def conv2d_output_size(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
) -> tuple[int, int]:
    """Height and width of a convolution's output.

    Along each axis ``out = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1``.

    Parameters
    ----------
    size : tuple of int
        Height and width of the input.
    kernel_size, stride, dilation : int or pair of int
        One number for both axes or (vertical, horizontal).
    padding : int, pair, "same", "valid" or ((top, bottom), (left, right))

    Returns
    -------
    tuple of int
        Height and width of the output.

    Raises
    ------
    ShapeError
        If the dilated kernel is larger than the padded map.
    SettingError
        If a setting is not an integer or out of range.

    Examples
    --------
    >>> conv2d_output_size((144, 144), 3)
    (142, 142)
    >>> conv2d_output_size((20, 10), 3, stride=2, padding="same")
    (10, 5)
    """
    size = pair(size, "conv2d size", least=0)
    kernel, steps, spread = _window("conv2d", kernel_size, stride, dilation)
    sides = conv2d_padding(padding, size, kernel, steps, spread)
    out = []
    for axis, length, (before, after), k, s, d in zip(AXES, size, sides, kernel, steps, spread, strict=True):
        window = d * (k - 1) + 1
        if length + before + after < window:
            raise ShapeError(
                f"conv2d: expected a padded {axis} of at least {window} for kernel_size={kernel}, dilation={spread}, "
                f"got {length + before + after} from size={size}, padding={sides}"
            )
        out.append((length + before + after - window) // s + 1)
    return out[0], out[1]


def pool2d_padding(
    padding: IntPair, kernel_size: IntPair, dilation: IntPair = 1, who: str = "pool2d"
) -> tuple[int, int]:
    """Make a pooling's padding a pair and check it: at most half the dilated window.

    Parameters
    ----------
    padding, kernel_size, dilation : int or pair of int
    who : str
        Who complains.

    Returns
    -------
    (int, int)
        Vertical and horizontal padding.

    Raises
    ------
    SettingError
        If the padding is negative or larger than half the window.
    """
    kernel, _, spread = _window(who, kernel_size, 1, dilation)
    pads = pair(padding, f"{who} padding", least=0)
    for p, k, d in zip(pads, kernel, spread, strict=True):
        if p > (d * (k - 1) + 1) // 2:
            raise SettingError(
                f"{who} padding: expected at most half the window of kernel_size={kernel}, dilation={spread}, "
                f"got {pads}"
            )
    return pads


def pool2d_output_size(
    size: tuple[int, int],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Height and width of a pooling's output; ``stride=None`` means the window's size.

    As `conv2d_output_size`; with ``ceil_mode`` the division rounds up, except that a window must start inside the
    map or its leading padding.

    Parameters
    ----------
    size : pair of int
        Height and width of the input.
    kernel_size, stride, padding, dilation : int or pair of int
    ceil_mode : bool

    Returns
    -------
    (int, int)
        Height and width of the output.

    Raises
    ------
    ShapeError
        If the window is larger than the padded map.
    SettingError
        If a setting is not an integer or out of range.

    Examples
    --------
    >>> pool2d_output_size((5, 5), 2), pool2d_output_size((5, 5), 2, ceil_mode=True)
    ((2, 2), (3, 3))
    """
    kernel, steps, spread = _window("pool2d", kernel_size, kernel_size if stride is None else stride, dilation)
    size, pads = pair(size, "pool2d size", least=0), pool2d_padding(padding, kernel, spread)
    out = []
    for axis, length, p, k, s, d in zip(AXES, size, pads, kernel, steps, spread, strict=True):
        window = d * (k - 1) + 1
        room = length + 2 * p - window + (s - 1 if ceil_mode else 0)
        count = room // s + 1
        if ceil_mode and (count - 1) * s >= length + p:
            count -= 1
        if count < 1:
            raise ShapeError(
                f"pool2d: expected a padded {axis} of at least {window} for kernel_size={kernel}, dilation={spread}, "
                f"got {length + 2 * p} from size={size}, padding={pads}"
            )
        out.append(count)
    return out[0], out[1]


def one_shape(shapes: Sequence[tuple[int, ...]], who: str) -> tuple[int, ...]:
    """Shape of several arrays that must have the same.

    Raises
    ------
    ShapeError
        If there is none, or they differ.

    Examples
    --------
    >>> one_shape([(2, 3), (2, 3)], "Add")
    (2, 3)
    """
    distinct = {tuple(shape) for shape in shapes}
    if len(distinct) != 1:
        raise ShapeError(f"{who}: expected arrays of one shape, got {', '.join(map(str, shapes)) or 'none'}")
    return distinct.pop()


def concat_shape(shapes: Sequence[tuple[int, ...]], who: str, axis: int) -> tuple[int, ...]:
    """Shape of several arrays joined along an axis.

    Raises
    ------
    ShapeError
        If there is none, or they differ along another axis.

    Examples
    --------
    >>> concat_shape([(2, 3), (2, 4)], "Concat", axis=1)
    (2, 7)
    """
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) != 1 or any(len(shape) <= axis for shape in shapes):
        got = ", ".join(map(str, shapes)) or "none"
        raise ShapeError(f"{who}: expected arrays that differ in their channels only, got {got}")
    return *shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]


def gated_shape(shapes: Sequence[tuple[int, ...]], who: str, axis: int) -> tuple[int, ...]:
    """Shape of maps of one shape, some of which may be gates: of size 1 along the axes from ``axis`` on.

    Raises
    ------
    ShapeError
        If there is none, or they differ otherwise.

    Examples
    --------
    >>> gated_shape([(2, 3, 1, 1), (2, 3, 8, 8)], "Multiply", axis=2)
    (2, 3, 8, 8)
    """
    distinct = {tuple(shape) for shape in shapes}
    gates = {(*shape[:axis], *(1 for _ in shape[axis:])) for shape in distinct}
    maps = distinct - gates or distinct
    if len(maps) != 1 or len(gates) != 1:
        got = ", ".join(map(str, shapes)) or "none"
        raise ShapeError(f"{who}: expected arrays of one shape, or gates for whole maps, got {got}")
    return maps.pop()
