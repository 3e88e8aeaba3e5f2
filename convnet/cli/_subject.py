"""The trained model that a command is about: a run, a file of one, or any file of weights."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convnet.cli._models import load_weights, made_for, made_like
from convnet.cli._normalize import normalized
from convnet.cli._run_folder import RunFolder
from convnet.cli._settings import Settings, given, merged
from convnet.errors import DataError, SettingError
from convnet.layers import Sequential
from convnet.models import MODELS

__all__ = ["Subject", "subject"]


@dataclass(frozen=True)
class Subject:
    """A model with weights, and what is known about its images.

    Attributes
    ----------
    model : Sequential
    image_shape : (c, h, w)
    classes : tuple of str
        Names; numbers where nobody knows more.
    settings : Settings
        Of the training, where they are known, with those of the command line.
    """

    model: Sequential
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    settings: Settings


def subject(options: argparse.Namespace) -> Subject:
    """The model that the options name.

    Raises
    ------
    DataError, SettingError, WeightsError, OSError
        If there is none.
    """
    path = Path(options.what)
    if path.is_dir():
        return _of_run(RunFolder(path), RunFolder(path).best, options)
    path.open("rb").close()  # what is wrong with it is the operating system's to tell
    folder = RunFolder(path.parent)
    if folder.model.is_file() and "model" not in given(options):
        return _of_run(folder, path, options)
    return _of_file(path, options)


def _of_run(folder: RunFolder, weights: Path, options: argparse.Namespace) -> Subject:
    about = folder.described()
    if not weights.is_file():
        raise DataError(f"{folder.path}: expected a run with weights, got one without {weights.name}")
    for name in ("model", "model_options"):
        if name in given(options):
            raise SettingError(
                f"--{name.rstrip('s').replace('_', '-')}: expected a file of weights, got a run that has it"
            )
    of_run = merged(folder.settings())
    settings = merged(folder.settings(), given(options))
    if settings.data != of_run.data:  # all of it is new to the model, of whatever size
        settings = replace(settings, validation=0.0, image_size=settings.image_size or about.image_shape[1:])
    model = made_for(about.model, about.options, about.image_shape, len(about.classes), rng=0)
    model = normalized(model, about.normalization)
    load_weights(model, about.model, weights)
    height, width = settings.image_size or about.image_shape[1:]
    return Subject(model, (about.image_shape[0], height, width), about.classes, settings)


def _of_file(path: Path, options: argparse.Namespace) -> Subject:
    settings: dict[str, Any] = given(options)
    if "model" not in settings:
        if path.stem not in MODELS:
            raise SettingError(f"--model: expected the name of the model that {path} has weights of, got none")
        settings["model"] = path.stem
    told = merged(settings)
    model = made_like(told.model, told.model_options, path)
    made_at = model.input_shape or (3, 224, 224)
    height, width = told.image_size or made_at[1:]
    (count,) = model.output_shape(made_at)
    return Subject(model, (made_at[0], height, width), tuple(map(str, range(count))), told)
