"""Settings of window layers: made canonical once, and written briefly in reprs."""

from collections.abc import Mapping
from typing import Literal

from convnet.shapes import Padding, Sides, conv2d_padding


def canonical_padding(padding: Padding, who: str) -> Literal["same"] | Sides:
    """``((top, bottom), (left, right))``, or "same", which depends on the size of the map."""
    sides = conv2d_padding(padding, (1, 1), kernel_size=1, who=who)
    return "same" if padding == "same" else sides


def shortest(setting: object) -> object:
    """Undo the canonical form for printing: ``(3, 3)`` becomes 3, ``((1, 1), (1, 1))`` becomes 1."""
    while isinstance(setting, tuple) and setting[0] == setting[1]:
        setting = setting[0]
    if isinstance(setting, tuple) and all(isinstance(side, tuple) and side[0] == side[1] for side in setting):
        return tuple(side[0] for side in setting)
    return setting


def brief(positional: str, settings: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """Join the arguments of a repr, leaving out the keywords that have their default value."""
    named = [f"{name}={shortest(value)!r}" for name, value in settings.items() if value != defaults.get(name)]
    return ", ".join([positional, *named] if positional else named)
