"""What the commands share: the parser, and what turns words of a command line into values."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from convnet.models import MODELS

__all__ = [
    "BAD_INPUT",
    "PARTLY",
    "Parser",
    "add_json",
    "add_model",
    "add_model_options",
    "add_threads",
    "among",
    "count",
    "fraction",
    "natural",
    "number",
    "option",
    "print_json",
    "rate",
    "set_threads",
    "shape",
    "size",
    "warn",
]

PARTLY = 1
BAD_INPUT = 2

Check = Callable[[Any], Any]
"""From what was given, a text or what a file says, to the value; ArgumentTypeError says what is wrong with it."""


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and keeps the lines of its texts."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **settings}
        super().__init__(*arguments, **settings)

    def error(self, message: str) -> NoReturn:
        """End the program with one line."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def number(given: Any, least: float = 0.0, below: float = math.inf) -> float:
    """A number in [least, below)."""
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not least <= value < below:
        limit = f"of at least {least:g}" if below == math.inf else f"in [{least:g}, {below:g})"
        raise argparse.ArgumentTypeError(f"expected a number {limit}, got {given!r}")
    return value


def rate(given: Any) -> float:
    """A number above 0."""
    try:
        value = number(given)
    except argparse.ArgumentTypeError:
        value = 0.0
    if value == 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {given!r}")
    return value


def fraction(given: Any) -> float:
    """A number in [0, 1)."""
    return number(given, below=1)


def _integer(given: Any, least: int) -> int:
    try:
        value = least - 1 if isinstance(given, bool | float) else int(given)
    except (TypeError, ValueError):
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {given!r}")
    return value


def count(given: Any) -> int:
    """An integer above 0."""
    return _integer(given, 1)


def natural(given: Any) -> int:
    """An integer of at least 0."""
    return _integer(given, 0)


def shape(given: Any) -> tuple[int, ...]:
    """Positive integers, as in 1,28,28."""
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    try:
        return tuple(count(part) for part in parts)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected positive integers as in 1,28,28, got {given!r}") from None


def size(given: Any) -> tuple[int, int]:
    """Height and width, as in 32 or 24,32."""
    try:
        sides = shape(given)
    except argparse.ArgumentTypeError:
        sides = ()
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"expected a side as in 32, or height and width as in 24,32, got {given!r}")
    return sides[0], sides[-1]


def among(*names: str) -> Check:
    """One of some texts."""

    def check(given: Any) -> str:
        if given not in names:
            raise argparse.ArgumentTypeError(f"invalid choice: {given!r} (choose from {', '.join(names)})")
        return str(given)

    return check


def option(given: Any) -> tuple[str, Any]:
    """A name and a value, as in width=0.5: numbers, true and false as TOML has them, all else is text."""
    import tomllib

    name, equals, text = str(given).partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE as in width=0.5, got {given!r}")
    try:
        return name, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name, text


def add_model_options(parser: Any, name: str = "model_option", default: Any = ()) -> None:
    """The option ``--model-option``, whose pairs go to ``name``."""
    parser.add_argument(
        "--model-option",
        dest=name,
        type=option,
        action="append",
        default=default if isinstance(default, str) else list(default),
        metavar="NAME=VALUE",
        help="a setting of the model, such as width=0.5; may be given several times",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The name of a model and what belongs to it."""
    names = sorted(MODELS)
    parser.add_argument("model", choices=names, metavar="MODEL", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--input-shape", type=shape, metavar="C,H,W", help="shape of one image (default: what the model is made for)"
    )
    add_model_options(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """The option ``--threads``."""
    parser.add_argument("--threads", type=count, metavar="N", help="threads (default: the CPUs this process may use)")


def set_threads(threads: int | None) -> None:
    """Use so many threads, if a number is given."""
    from convnet.functional import set_num_threads

    if threads is not None:
        set_num_threads(threads)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead, for scripts")


def print_json(content: Any) -> None:
    """Print for programs to read; numbers that are not finite, which JSON does not know, become null."""
    print(json.dumps(_finite(content), indent=2))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def warn(command: str, text: str) -> None:
    """Tell on standard error what does not end the command."""
    print(f"convnet {command}: {' '.join(text.split())}", file=sys.stderr)
