"""Sizes of images."""

import operator

from convnet.errors import SettingError
from convnet.settings import integer

__all__ = ["Size", "height_and_width"]

Size = int | tuple[int, int]


def height_and_width(size: object, name: str) -> tuple[int, int]:
    """Return the height and the width that one number, or a pair of them, asks for.

    Raises
    ------
    SettingError
        If ``size`` is neither, or a number is less than 1.

    Examples
    --------
    >>> height_and_width(32, "Resize size"), height_and_width((32, 48), "Resize size")
    ((32, 32), (32, 48))
    """
    try:
        pair = (operator.index(size),) * 2  # type: ignore[arg-type]
    except TypeError:
        pair = size  # type: ignore[assignment]
    try:
        h, w = pair
    except (TypeError, ValueError):
        raise SettingError(f"{name}: expected an integer or a pair (height, width), got {size!r}") from None
    return integer(h, name), integer(w, name)
