"""Weights in files: safetensors, a format that most deep-learning libraries read and that cannot carry code."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from convnet.errors import WeightsError
from convnet.layers import Layer

__all__ = ["load", "save"]

logger = logging.getLogger("convnet")

FORMAT = "1"
"""Version of what a file means; one that cannot be read as before gets the next number."""

CHECKPOINTED = ("trainer/average/model/", "trainer/model/")
"""Where the weights are in a checkpoint."""

AnyLayer = TypeVar("AnyLayer", bound=Layer)

Names: TypeAlias = Mapping[str, str | None] | Callable[[str], str | None]
"""From names in a file to names in a model."""


def save(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write the weights of ``model`` into a safetensors file, under PyTorch's names.

    The file is written beside ``path`` and renamed when it is whole: whatever happens, ``path`` is either the old file
    or the new one.

    Parameters
    ----------
    model : Layer
        Any layer; its ``state_dict`` is written.
    path : str or path
        By custom, ``something.safetensors``.

    Raises
    ------
    OSError
        If the file cannot be written, for instance on a full disk; no partial file is left.

    Examples
    --------
    >>> import tempfile
    >>> from convnet.layers import Dense
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Dense(4, 2), f"{folder}/dense.safetensors")
    ...     load(Dense(4, 2), f"{folder}/dense.safetensors")
    Dense(4, 2)
    """
    # One key only: safetensors writes several in random order, and equal models shall give equal files.
    replace(Path(path).resolve(), to_bytes(model.state_dict(), {"convnet_format": FORMAT}))


def load(model: AnyLayer, path: str | os.PathLike[str], strict: bool = True, names: Names | None = None) -> AnyLayer:
    """Read weights from a safetensors file into ``model``; nothing in the file is executed.

    Parameters
    ----------
    model : Layer
        A layer of the architecture the weights belong to. It keeps its own weights if anything is wrong.
    path : str or path
        The file, also a checkpoint of a `Trainer`.
    strict : bool
        Whether file and model must have exactly the same names; if not, differences are logged.
    names : mapping or function, optional
        What the weights of the file are called in the model, where that is something else. A mapping has whole names of
        the file, or their beginnings up to a dot, and what to write instead; of several that fit the longest counts.
        A function gets each name. None instead of a name leaves a weight out.

    Returns
    -------
    Layer
        ``model``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If the file is truncated, corrupt, no safetensors file at all or does not fit the model; if something in
        ``names`` is not in the file, or gives two weights one name.

    Examples
    --------
    Weights that another program calls ``net.fc.weight`` and ``net.fc.bias``:

    >>> import tempfile
    >>> from convnet.layers import Dense, Sequential
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Sequential({"net": Sequential({"fc": Dense(4, 2)})}), f"{folder}/other.safetensors")
    ...     load(Sequential({"head": Dense(4, 2)}), f"{folder}/other.safetensors", names={"net.fc": "head"})
    Sequential(
      (head): Dense(4, 2)
    )
    """
    try:
        weights = weights_in(Path(path))
        report = model.load_state_dict(weights if names is None else _renamed(weights, names), strict=strict)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from error
    if any(report):
        logger.info("%s: missing keys %s, unexpected keys %s", path, *report)
    return model


def _renamed(weights: Mapping[str, np.ndarray], names: Names) -> dict[str, np.ndarray]:
    """Weights under the names that they have in the model."""
    translate = names if callable(names) else _by_beginning(weights, names)
    renamed: dict[str, np.ndarray] = {}
    for name, value in weights.items():
        new = translate(name)
        if new in renamed:
            raise WeightsError(f"names: expected a name for each weight, got {new!r} for two, {name!r} the second")
        if new is not None:
            renamed[new] = value
    return renamed


def _by_beginning(weights: Iterable[str], names: Mapping[str, str | None]) -> Callable[[str], str | None]:
    """What to make of a name by a mapping of whole names and beginnings."""

    def fits(name: str, beginning: str) -> bool:
        return f"{name}.".startswith(f"{beginning.removesuffix('.')}." if beginning else "")

    for beginning in names:
        if not any(fits(name, beginning) for name in weights):
            raise WeightsError(f"names: expected what weights of the file are called, got {beginning!r}")

    def translate(name: str) -> str | None:
        beginning = max((each for each in names if fits(name, each)), key=len, default=None)
        if beginning is None:
            return name
        new = names[beginning]
        rest = name[len(beginning.removesuffix(".")) :].removeprefix(".")
        return None if new is None else ".".join(filter(None, (new.removesuffix("."), rest)))

    return translate


def weights_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; of a checkpoint of a `Trainer` those that it measures, the averaged ones if there are."""
    arrays, _ = read(path)
    for place in CHECKPOINTED:
        weights = {name.removeprefix(place): array for name, array in arrays.items() if name.startswith(place)}
        if weights:
            return weights
    return arrays


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If it is truncated, corrupt, or no safetensors file.
    """
    path.open("rb").close()  # a missing file, a folder or a lack of rights is the operating system's to explain
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(metadata)
            return {name: _numbers(name, file.get_tensor(name)) for name in file.keys()}, metadata  # noqa: SIM118 - it is no mapping
    except (SafetensorError, TypeError, KeyError, AttributeError) as error:  # the last three: dtypes unknown to NumPy
        raise WeightsError(f"expected a whole safetensors file of arrays, got {error}{_hint(path)}") from error


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    """An array of numbers that NumPy has by itself, not by another package that happens to be imported."""
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} of type {array.dtype}")
    return array


def _hint(path: Path) -> str:
    """Return how to convert a file that begins as PyTorch's do: a zip archive, or in older versions a pickle."""
    with path.open("rb") as file:
        start = file.read(2)
    if start != b"PK" and start[:1] != b"\x80":
        return ""
    return "; this looks like a file of PyTorch, for which docs/networks.md tells how to make a safetensors file of it"


def _check_format(metadata: dict[str, str]) -> None:
    if metadata.get("convnet_format", FORMAT) != FORMAT:
        raise WeightsError(f"expected format {FORMAT}, got {metadata['convnet_format']} from a newer convnet")


def replace(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, then give it that name."""
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)
