"""Settings of the networks: checked at once, under the network's name, before any weight is drawn."""

import math
from collections.abc import Callable
from functools import partial

from convnet.errors import SettingError
from convnet.settings import flag, integer, real

__all__ = ["check", "multiplier"]

_CHECKS: dict[str, Callable[[object, str], object]] = {
    "classes": integer,
    "in_channels": integer,
    "hidden": integer,
    "width": integer,
    "dropout": partial(real, below=1),
    "auxiliary_dropout": partial(real, below=1),
    "auxiliary": flag,
    "batch_norm": flag,
    "original": flag,
}


def check(model: str, **settings: object) -> None:
    """Demand of each setting what its name asks for; the error says "vgg16 classes: expected ..., got ..."."""
    for name, value in settings.items():
        _CHECKS[name](value, f"{model} {name}")


def multiplier(width: float, model: str) -> float:
    """Return the factor of all numbers of channels of a MobileNet, if it is a finite number above 0."""
    smallest = math.ulp(0.0)
    try:
        return real(width, f"{model} width", least=smallest)
    except SettingError:
        raise SettingError(f"{model} width: expected a finite number above 0, got {width!r}") from None
