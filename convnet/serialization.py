"""Weights in files: safetensors, a format that most deep-learning libraries read and that cannot carry code."""

import logging
import os
from pathlib import Path
from typing import TypeVar

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


def load(model: AnyLayer, path: str | os.PathLike[str], strict: bool = True) -> AnyLayer:
    """Read weights from a safetensors file into ``model``; nothing in the file is executed.

    Parameters
    ----------
    model : Layer
        A layer of the architecture the weights belong to. It keeps its own weights if anything is wrong.
    path : str or path
        The file, also a checkpoint of a `Trainer`.
    strict : bool
        Whether file and model must have exactly the same names; if not, differences are logged.

    Returns
    -------
    Layer
        ``model``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If the file is truncated, corrupt, no safetensors file at all or does not fit the model.
    """
    try:
        report = model.load_state_dict(weights_in(Path(path)), strict=strict)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from error
    if any(report):
        logger.info("%s: missing keys %s, unexpected keys %s", path, *report)
    return model


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
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - it is no mapping
    except (SafetensorError, TypeError, KeyError, AttributeError) as error:  # the last three: dtypes unknown to NumPy
        raise WeightsError(f"expected a whole safetensors file of arrays, got {error}{_hint(path)}") from error


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
