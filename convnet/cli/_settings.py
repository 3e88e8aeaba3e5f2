"""The settings of a training: options of the command line, keys of a TOML file, and the file that a run leaves."""

import argparse
import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from convnet.cli._normalize import check_normalization
from convnet.cli._options import Check, add_model_options, among, count, fraction, natural, number, rate, size
from convnet.errors import SettingError
from convnet.models import MODELS

__all__ = [
    "DATA_SETS",
    "EPOCHS",
    "RATES",
    "Settings",
    "add_settings",
    "given",
    "merged",
    "option_name",
    "read_settings",
    "toml",
    "write_settings",
]

DATA_SETS = ("digits", "mnist", "fashion_mnist", "cifar10")
AUGMENTS = ("none", "affine", "shift", "flip", "flip-crop", "photo")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
SCHEDULES = ("onecycle", "cosine", "step", "constant")
EPOCHS = {"digits": 20, "mnist": 8, "fashion_mnist": 12, "cifar10": 20, "folders": 20}
RATES = {"adam": 0.006, "adamw": 0.006, "sgd": 0.1, "rmsprop": 0.001}
"""Highest learning rates that do for most purposes."""

FIGURES = ("val_accuracy", "val_loss", "accuracy", "loss")


def data_name(text: Any) -> str:
    """A data set that convnet knows, or a folder."""
    if not isinstance(text, str) or (text not in DATA_SETS and not os.path.isdir(text)):
        names = ", ".join(DATA_SETS)
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {names}, or give a folder of images)")
    return str(text)


def _table(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise argparse.ArgumentTypeError(f"expected a table of names and values, got {given!r}")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise argparse.ArgumentTypeError(f"expected a text, got {given!r}")
    return given


def _channels(given: Any) -> int:
    if str(given) not in ("1", "3"):
        raise argparse.ArgumentTypeError(f"expected 1 (grey) or 3 (colour), got {given!r}")
    return int(given)


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise argparse.ArgumentTypeError(f"expected true or false, got {given!r}")
    return given


def _listed(defaults: Mapping[str, float]) -> str:
    return ", ".join(f"{value:g} for {name}" for name, value in defaults.items())


def _setting(default: Any, check: Check, metavar: str, help: str) -> Any:
    return field(default=default, metadata={"check": check, "metavar": metavar, "help": help})


@dataclass(frozen=True)
class Settings:
    """What a training depends on; None where the data or something else decides. The help texts say what each is."""

    model: str = _setting("lenet", among(*MODELS), "NAME", f"one of {', '.join(MODELS)}")
    model_options: Mapping[str, Any] = field(default_factory=dict, metadata={"check": _table})
    data: str = _setting("digits", data_name, "NAME", f"{', '.join(DATA_SETS)}, or a folder of images")
    image_size: tuple[int, int] | None = _setting(
        None, size, "H,W", "scale the images to this size; a folder of images of one size does without"
    )
    fit: str = _setting(
        "crop", among("crop", "stretch"), "HOW", "to reach the size: crop what is too much, or stretch; of a folder"
    )
    channels: int | None = _setting(None, _channels, "N", "1 for grey, 3 for colour; of a folder")
    broken: str = _setting(
        "refuse", among("refuse", "skip"), "HOW", "files that are no images: refuse them, or skip and name them"
    )
    validation: float | None = _setting(
        None,
        fraction,
        "PART",
        "part of the training images to choose the best weights by (default: the folder val, else 0.2 of a folder, "
        "0.1 where there is a choice to make, 0 where not)",
    )
    augment: str | None = _setting(
        None,
        among(*AUGMENTS),
        "NAME",
        f"random changes of training images: {', '.join(AUGMENTS)} (default: flip-crop for cifar10, flip for folders, "
        "affine for the rest)",
    )
    mixup: float = _setting(
        0.0, number, "ALPHA", "mix training images, and their labels, with others: 0.2 a little, 1 much; 0 does not"
    )
    normalize: str | None = _setting(
        None,
        check_normalization,
        "NAME",
        "mean and deviation that images are normalised by, in a first layer that is saved with the weights: none, "
        "imagenet, cifar10, dataset (those of the training images), or numbers a channel, as in 0.5/0.25 (default: as "
        "the file of --pretrained, else none)",
    )
    epochs: int | None = _setting(None, count, "N", f"passes over the training images (default: {_listed(EPOCHS)})")
    batch_size: int = _setting(64, count, "N", "images a step")
    accumulate: int = _setting(1, count, "N", "parts that a batch is computed in, to need less memory")
    optimizer: str = _setting("adam", among(*OPTIMIZERS), "NAME", ", ".join(OPTIMIZERS))
    lr: float | None = _setting(None, rate, "RATE", f"highest learning rate (default: {_listed(RATES)})")
    momentum: float = _setting(0.9, fraction, "M", "of sgd and rmsprop")
    weight_decay: float | None = _setting(
        None, number, "D", "of the weights, not of biases and scales (default: 0.01 for adamw, else 0)"
    )
    schedule: str = _setting("onecycle", among(*SCHEDULES), "NAME", f"of the learning rate: {', '.join(SCHEDULES)}")
    step_epochs: int = _setting(10, count, "N", "epochs between two falls of the schedule step")
    step_factor: float = _setting(0.1, fraction, "F", "what the schedule step multiplies the rate by")
    warmup: float = _setting(0.0, number, "EPOCHS", "epochs in which the rate rises first")
    label_smoothing: float = _setting(0.0, fraction, "S", "part of each label that is spread over all classes")
    balance: bool = _setting(False, _flag, "", "let each class count as much as any other, however rare it is")
    clip_norm: float = _setting(0.0, number, "NORM", "clip the gradients to this norm; 0 does not")
    average: float = _setting(0.0, fraction, "DECAY", "average the weights with this decay, as 0.99; 0 does not")
    patience: int = _setting(0, natural, "N", "stop after so many epochs without a better figure; 0 does not")
    monitor: str | None = _setting(
        None,
        among(*FIGURES),
        "FIGURE",
        "what the best weights, and patience, go by (default: val_accuracy, without validation loss)",
    )
    pretrained: str | None = _setting(
        None, _text, "FILE", "weights to start from; the last layer starts anew if there are other classes"
    )
    freeze_until: str | None = _setting(
        None, _text, "LAYER", "keep the layers before this one as they are; see convnet summary for names"
    )
    seed: int = _setting(0, natural, "N", "of weights, order, changes and parts")
    workers: int = _setting(1, natural, "N", "threads that read and change images")
    tensorboard: bool = _setting(
        False,
        _flag,
        "",
        "write figures for TensorBoard too, which tensorboard --logdir shows, into the folder of --run",
    )
    find_learning_rate: bool = _setting(
        False, _flag, "", "do not train, but try rising learning rates for some steps, and suggest one for --lr"
    )
    threads: int | None = _setting(None, count, "N", "threads that compute (default: the CPUs this process may use)")


_GROUPS = {
    "model": ("model", "model_options", "pretrained", "freeze_until"),
    "data": (
        *("data", "image_size", "fit", "channels", "broken", "validation"),
        *("normalize", "augment", "mixup", "workers"),
    ),
    "training": (
        *("epochs", "batch_size", "accumulate", "label_smoothing", "balance", "patience", "monitor", "seed"),
        "tensorboard",
    ),
    "optimizer": (
        *("optimizer", "lr", "find_learning_rate", "momentum", "weight_decay"),
        *("schedule", "step_epochs", "step_factor", "warmup", "clip_norm", "average"),
    ),
    "machine": ("threads",),
}
"""The headings of the options."""


def add_settings(parser: argparse.ArgumentParser, only: tuple[str, ...] = ()) -> None:
    """An option for each setting, or for some of a run; what is not given does not appear in the result."""
    known = {each.name: each for each in fields(Settings)}
    for title, names in _GROUPS.items():
        chosen = [name for name in names if not only or name in only]
        group = parser.add_argument_group(title) if chosen else parser
        for name in chosen:
            _add_option(group, known[name], tell_default=not only)


def _add_option(group: Any, setting: Field[Any], tell_default: bool) -> None:
    name, absent = option_name(setting.name), argparse.SUPPRESS
    if setting.name == "model_options":
        add_model_options(group, setting.name, absent)
        return
    check, text = setting.metadata["check"], setting.metadata["help"]
    if tell_default and setting.default not in (None, 0, False):
        text += f" (default: {setting.default})"
    if check is _flag:
        group.add_argument(name, action="store_true", default=absent, help=text)
    else:
        group.add_argument(name, type=check, metavar=setting.metadata["metavar"], default=absent, help=text)


def option_name(setting: str) -> str:
    """The option of a setting."""
    return "--model-option" if setting == "model_options" else f"--{setting.replace('_', '-')}"


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line."""
    values = {each.name: getattr(options, each.name) for each in fields(Settings) if hasattr(options, each.name)}
    if "model_options" in values:
        values["model_options"] = dict(values["model_options"])
    return values


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises
    ------
    SettingError
        If it is no TOML file, or has an unknown key or a wrong value.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: expected a TOML file, got one that is not: {error}") from None
    checks = {each.name: each.metadata["check"] for each in fields(Settings)}
    for name, value in content.items():
        if name not in checks:
            like = ["lr"] if name == "learning_rate" else difflib.get_close_matches(name, checks, 1)
            meant = f"did you mean {like[0]!r}? known" if like else "known"
            raise SettingError(f"{path}: unknown key {name!r}; {meant} are {', '.join(checks)}")
        try:
            content[name] = checks[name](value)
        except argparse.ArgumentTypeError as error:
            raise SettingError(f"{path}: {name}: {error}") from None
    return content


def write_settings(settings: Settings) -> str:
    """A TOML file of all settings, with which ``--config`` repeats the training."""
    table = [f"{_key(name)} = {toml(value)}" for name, value in settings.model_options.items()]
    values = [(each.name, getattr(settings, each.name)) for each in fields(Settings) if each.name != "model_options"]
    lines = [f"# {name}: not set" if value is None else f"{name} = {toml(value)}" for name, value in values]
    return "\n".join(
        ["# convnet train --config THIS_FILE repeats the training.", *lines, "", "[model_options]", *table, ""]
    )


def toml(value: Any) -> str:
    """Texts, numbers, true, false, lists and tables of them: JSON writes these as TOML reads them."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {toml(each)}' for name, each in value.items())} }}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else toml(name)


def merged(*sources: Mapping[str, Any]) -> Settings:
    """Settings from some sources, the later ones win."""
    settings = Settings()
    for source in sources:
        settings = replace(settings, **source)
    return settings
