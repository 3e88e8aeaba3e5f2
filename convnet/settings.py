"""Checks of scalar settings, such as a number of channels or a learning rate."""

import math
import operator
from numbers import Real
from typing import TypeAlias

import numpy as np

from convnet.errors import SettingError

__all__ = ["Seed", "flag", "function", "generator", "integer", "real"]

Seed: TypeAlias = int | np.random.Generator | None
"""Where random numbers come from: a seed, a generator that moves on, or a new seed each time."""


def integer(value: object, name: str, least: int = 1) -> int:
    """Return ``value`` as an int if it is an integer of at least ``least``; True and False are none.

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
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SettingError(f"{name}: expected an integer, got {value!r}") from None
    if number < least:
        raise SettingError(f"{name}: expected an integer of at least {least}, got {number}")
    return number


def real(value: object, name: str, least: float = 0.0, below: float = math.inf, most: float = math.inf) -> float:
    """Return ``value`` as a float if it lies from ``least`` to ``most`` and ``below`` that bound.

    NaN does not, nor do infinity, True and False.

    Raises
    ------
    SettingError
        If ``value`` is not a real number, or out of range.

    Examples
    --------
    >>> real(1, "SGD lr")
    1.0
    """
    if isinstance(value, Real) and not isinstance(value, bool) and least <= float(value) <= most and value < below:
        return float(value)
    expected = f"a finite number of at least {least:g}"
    if below < math.inf:
        expected = f"a number in [{least:g}, {below:g})"
    elif most < math.inf:
        expected = f"a number in [{least:g}, {most:g}]"
    raise SettingError(f"{name}: expected {expected}, got {value!r}")


def flag(value: object, name: str) -> bool:
    """Return ``value`` as a bool if it is one; a text such as "no" would count as yes.

    Raises
    ------
    SettingError
        If ``value`` is not True or False.

    Examples
    --------
    >>> flag(True, "vgg16 batch_norm")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise SettingError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def generator(rng: object, who: str) -> np.random.Generator:
    """Return ``rng`` itself if it is a generator, a new one for a seed or None.

    Raises
    ------
    SettingError
        If ``rng`` is none of these, or a negative seed.

    Examples
    --------
    >>> generator(7, "Conv2d").integers(10)
    np.int64(9)
    """
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    try:
        return np.random.default_rng(integer(rng, "seed", least=0))
    except SettingError:
        expected = "an integer of at least 0, a numpy.random.Generator or None"
        raise SettingError(f"{who} rng: expected {expected}, got {rng!r}") from None


def function(value: object, name: str, arguments: str) -> None:
    """Raise a SettingError unless ``value`` can be called; a class, of which somebody forgot the brackets, cannot.

    Examples
    --------
    >>> function(len, "Compose", "(x, rng)")
    """
    if isinstance(value, type) or not callable(value):
        raise SettingError(f"{name}: expected a function of {arguments}, got {value!r}")
