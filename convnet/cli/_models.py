"""Models by name: with settings, for some data, with weights from a file."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from convnet.cli._normalize import Normalization, normalization_in, normalized, without_normalization
from convnet.errors import SettingError, ShapeError, WeightsError
from convnet.layers import Graph, Sequential, freeze
from convnet.models import MODELS
from convnet.serialization import weights_in

__all__ = [
    "frozen_until",
    "head",
    "load_weights",
    "made",
    "made_for",
    "made_like",
    "normalization_in_file",
    "pretrained",
    "takes_channels",
]


def made(name: str, options: Mapping[str, Any], rng: int | np.random.Generator) -> Sequential:
    """A model with some settings.

    Raises
    ------
    SettingError
        If it has no such setting, or does not take its value.
    """
    factory = MODELS[name]
    known = [each for each in inspect.signature(factory).parameters if each != "rng"]
    for each in options:
        if each not in known:
            raise SettingError(f"--model-option: {name} has no setting {each!r}; it has {', '.join(known)}")
    try:
        return factory(**options, rng=rng)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise SettingError(f"--model-option: expected settings that {name} takes, got {given}: {error}") from error


def takes_channels(name: str) -> bool:
    """Whether a model is made for any number of channels; if not, it takes grey images."""
    return "in_channels" in inspect.signature(MODELS[name]).parameters


def made_for(
    name: str, options: Mapping[str, Any], image_shape: tuple[int, ...], classes: int, rng: int | np.random.Generator
) -> Sequential:
    """A model for images of this shape and so many classes.

    Raises
    ------
    SettingError
        If it does not take such images, or its settings do not fit.
    """
    fitting = {"in_channels": image_shape[0]} if takes_channels(name) else {}
    model = made(name, {"classes": classes, **fitting, **options}, rng)
    try:
        outputs = model.output_shape(image_shape)
    except ShapeError as error:
        made_at = "x".join(map(str, model.input_shape or ()))
        got = "x".join(map(str, image_shape))
        raise SettingError(
            f"{name}: expected images that it can take, such as {made_at}, got {got}; "
            f"see --image-size and --channels ({error})"
        ) from error
    if outputs != (classes,):
        raise SettingError(f"{name}: expected a model with {classes} outputs, one a class, got {outputs}")
    return model


def made_like(name: str, options: Mapping[str, Any], file: Path) -> Sequential:
    """A model of as many classes and channels as the weights in a file, with these weights.

    Raises
    ------
    WeightsError
        If the file is damaged, or of another architecture.
    """
    weights = _read(file)
    model = made(name, options, rng=0)
    names = dict(model.named_parameters())
    first, last = next(iter(names)), head(model)
    sizes = {}
    if last in weights and "classes" not in options:
        sizes["classes"] = len(weights[last])
    if first in weights and weights[first].ndim == 4 and takes_channels(name) and "in_channels" not in options:
        sizes["in_channels"] = weights[first].shape[1]
    fitting = normalized(made(name, {**sizes, **options}, rng=0), normalization_in(weights))
    _fill(fitting, weights, name, file)
    return fitting


def load_weights(model: Graph, name: str, file: Path) -> None:
    """Read the weights in a file into a model.

    Raises
    ------
    WeightsError
        If the file is damaged, or of another architecture.
    """
    _fill(model, _read(file), name, file)


def normalization_in_file(file: Path) -> Normalization | None:
    """What the weights in a file were trained with.

    Raises
    ------
    WeightsError
        If the file is damaged.
    """
    return normalization_in(_read(file))


def pretrained(model: Graph, name: str, file: Path) -> None:
    """Read weights from a file into a model, but for a last layer of another size.

    Raises
    ------
    WeightsError
        If the file is damaged, or of another architecture.
    """
    weights, fresh = without_normalization(_read(file)), model.state_dict()
    layer = head(model).rpartition(".")[0]
    for key in (f"{layer}.weight", f"{layer}.bias"):
        if key in weights and key in fresh and weights[key].shape != fresh[key].shape:
            weights[key] = fresh[key]
    _fill(model, weights, name, file)


def frozen_until(model: Sequential, layer: str) -> Sequential:
    """The model whose layers before one keep their weights.

    Raises
    ------
    SettingError
        If there is no such layer.
    """
    try:
        return cast("Sequential", freeze(model, layer))  # it keeps the kind
    except SettingError as error:
        raise SettingError(f"--freeze-until: {str(error).removeprefix('freeze until: ')}") from None


def head(model: Graph) -> str:
    """The name of the weights of the last layer that has any."""
    return [name for name, parameter in model.named_parameters() if parameter.value.ndim > 1][-1]


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        return weights_in(file)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from error


def _fill(model: Graph, weights: Mapping[str, np.ndarray], name: str, file: Path) -> None:
    known = model.state_dict()
    missing = [key for key in known if key not in weights and not key.endswith("num_batches_tracked")]
    other = [key for key in weights if key not in known]
    if missing or other:
        parts = [f"{len(missing)} are missing ({missing[0]}, ...)"] if missing else []
        parts += [f"{len(other)} are not of it ({other[0]}, ...)"] if other else []
        raise WeightsError(f"{file}: expected weights of {name}, got those of another model: {', '.join(parts)}")
    for key, array in known.items():
        if key in weights and weights[key].shape != array.shape:
            shapes = f"{key} of shape {array.shape}, got {weights[key].shape}"
            raise WeightsError(f"{file}: expected weights of {name} with the same settings, with {shapes}")
    try:
        model.load_state_dict(weights)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
