"""Where settings come from, so that errors name what the user wrote."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnet.cli._settings import Settings, option_name, toml
from convnet.errors import ConvnetError, SettingError

__all__ = ["Source", "check_same", "told_as_given"]

FREE = ("epochs", "workers", "threads", "tensorboard")
"""What may change when a run goes on: the rest would make it another training."""

_CALLED = {
    "Trainer.fit resume: ": "--resume: ",
    "Trainer.find_learning_rate: ": "--find-learning-rate: ",
    "Checkpoint best: ": "--monitor: ",
    "EarlyStopping monitor: ": "--monitor: ",
    "stratified_split: ": "--validation: ",
    "set_num_threads: ": "--threads: ",
    "Trainer.fit: ": "",
    "Trainer.step: ": "",
}
"""What the user of a library calls, and what to say on the command line."""


@dataclass(frozen=True)
class Source:
    """Settings of a TOML file, or, without one, of the command line."""

    values: Mapping[str, Any]
    file: Path | None = None

    def named(self, name: str) -> str:
        """What a setting is called there."""
        return option_name(name) if self.file is None else f"{self.file}: {name}"

    def written(self, name: str) -> str:
        """A setting as it stands there."""
        value = self.values[name]
        if self.file is not None:
            return f"{name} = {toml(value)} in {self.file}"
        return " ".join(option_name(name) + word for word in _words(value))


def _words(value: Any) -> list[str]:
    """What follows an option, each time that it is given."""
    if isinstance(value, Mapping):
        return [f" {name}={each}" for name, each in value.items()]
    if value is True:
        return [""]
    return [f" {','.join(map(str, value)) if isinstance(value, tuple) else value}"]


def check_same(run: Settings, sources: Sequence[Source], folder: Path) -> None:
    """Demand that a run goes on as it began.

    Raises
    ------
    SettingError
        If settings that are given now are others than those of the run; the text names all of them.
    """
    others = [
        f"{source.written(name)} (the run has {_kept(name, getattr(run, name))})"
        for name, source in _last(sources).items()
        if name not in FREE and not _same(source.values[name], getattr(run, name))
    ]
    if others:
        *names, end = map(option_name, FREE)
        free = f"only {', '.join(names)} and {end} may change"
        raise SettingError(f"--resume: expected the settings of {folder}, got {', '.join(others)}; {free}")


def _last(sources: Sequence[Source]) -> dict[str, Source]:
    """Which source each setting is taken from."""
    return {name: source for source in sources for name in source.values}


def _same(value: Any, kept: Any) -> bool:
    paths = isinstance(value, str) and isinstance(kept, str) and os.path.exists(value)
    return bool(value == kept) or (paths and os.path.realpath(value) == os.path.realpath(kept))


def _kept(name: str, value: Any) -> str:
    return f"no {name}" if value is None or value == {} else f"{name} = {toml(value)}"


@contextmanager
def told_as_given(sources: Sequence[Source]) -> Iterator[None]:
    """Tell errors in the words of the command line, or of the file that a setting stands in."""
    try:
        yield
    except ConvnetError as error:
        text = str(error)
        for called, option in _CALLED.items():
            text = text.replace(called, option)
        for name, source in _last(sources).items():
            if text.startswith(f"{option_name(name)}: "):
                text = source.named(name) + text.removeprefix(option_name(name))
        raise type(error)(text) from error
