"""Checks of scalar settings, such as a number of channels or a learning rate."""

import math
import operator
from numbers import Real

from convnet.errors import SettingError

__all__ = ["integer", "real"]


def integer(value: object, name: str, least: int = 1) -> int:
    """Return ``value`` as an int if it is an integer of at least ``least``.

    Raises
    ------
    SettingError
        If ``value`` is no integer, or too small.

    Examples
    --------
    >>> integer(3, "Dense in_features")
    3
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SettingError(f"{name}: expected an integer, got {value!r}") from None
    if number < least:
        raise SettingError(f"{name}: expected an integer of at least {least}, got {number}")
    return number


def real(value: object, name: str, least: float = 0.0, below: float = math.inf) -> float:
    """Return ``value`` as a float if ``least <= value < below``; NaN never is.

    Raises
    ------
    SettingError
        If ``value`` is not a real number, or out of range.

    Examples
    --------
    >>> real(1, "SGD lr")
    1.0
    """
    expected = f"a finite number of at least {least:g}" if below == math.inf else f"a number in [{least:g}, {below:g})"
    if not isinstance(value, Real) or not least <= float(value) < below:
        raise SettingError(f"{name}: expected {expected}, got {value!r}")
    return float(value)
