"""Checkpoints: all that a training needs to go on bit for bit, in one file that carries no code."""

import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as to_bytes

from convnet.errors import SettingError, WeightsError
from convnet.layers import Layer
from convnet.serialization import read, replace, save
from convnet.settings import integer
from convnet.training._history import History, check_figure

__all__ = ["Checkpoint", "checked_checkpoint", "read_checkpoint", "write_checkpoint"]

KEY = "convnet_checkpoint"
FORMAT = 1
ARRAY = "array:"
"""What the text that stands for an array in the JSON part begins with; its name in the file follows."""

BEST = "best.safetensors"


class Checkpoint:
    """A folder in which `Trainer.fit` keeps its last checkpoints, and the best weights so far.

    A checkpoint ``step-000001234.safetensors`` holds weights, averaged weights, running averages and step of the
    optimizer, the state of its schedule and of all random generators, the place in the data, callbacks and history.
    ``fit(..., resume=True)`` goes on from the last one, and comes to the same weights, bit for bit, as without a break.

    Files are written under another name and renamed when they are whole, so that a kill at any moment leaves the one
    before; nothing in them is ever executed. A file that is damaged nevertheless is set aside with a warning, and the
    one before it used.

    Parameters
    ----------
    folder : str or path
        Made if it does not exist.
    every : int, optional
        Steps between two checkpoints. There is one at the end of each epoch in any case, and one after Ctrl-C.
    keep : int
        Checkpoints that are kept, the latest ones.
    best : str, optional
        A figure of `Epoch`, such as "val_accuracy": when an epoch has the best so far, the weights that were measured
        go to ``best.safetensors``, which `convnet.load` reads. By default "val_loss", without validation data "loss".
        Losses are better when smaller, as are metrics with ``smaller_is_better``, all others when larger.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> from convnet import SoftmaxCrossEntropy, Trainer, models, optim
    >>> from convnet.data import digits
    >>> train, _ = digits()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epochs in 1, 2:  # the second time it goes on
    ...         trainer = Trainer(models.simple_cnn(rng=0), SoftmaxCrossEntropy(), optim.Adam())
    ...         history = trainer.fit(train, epochs=epochs, checkpoint=folder, resume=True, progress=False)
    ...     sorted(os.listdir(folder))
    ['best.safetensors', 'step-000000063.safetensors', 'step-000000126.safetensors']
    >>> len(history)
    2
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: int | None = None, keep: int = 2, best: str | None = None
    ) -> None:
        self.folder = Path(folder)
        self.every = None if every is None else integer(every, "Checkpoint every")
        self.keep = integer(keep, "Checkpoint keep")
        self.best = best

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Make the folder, and return what is to be resumed: the last whole checkpoint, if there is any.

        Raises
        ------
        SettingError
            If the folder cannot be written, or has checkpoints although ``resume`` is False.
        WeightsError
            If there are checkpoints, but none is whole.
        """
        self._make_folder()
        files = self._files()
        if files and not resume:
            raise SettingError(
                f"Checkpoint: expected a folder without checkpoints, or resume=True, got {self.folder} "
                f"with {files[-1].name}"
            )
        damaged: list[tuple[Path, WeightsError]] = []
        for path in reversed(files):
            try:
                state = read_checkpoint(path)
            except WeightsError as error:
                damaged.append((path, error))
                continue
            for other, reason in damaged:
                aside = other.replace(other.with_suffix(".damaged"))
                warnings.warn(f"Checkpoint: {reason}; set aside as {aside.name}", stacklevel=4)
            return state
        if damaged:
            expected = f"a whole checkpoint in {self.folder}"
            raise WeightsError(f"Checkpoint: expected {expected}, got damaged ones only: {damaged[0][1]}")
        return None

    def save(self, state: Mapping[str, Any], step: int) -> None:
        """Write the state after ``step``, then remove what is older than the last ones."""
        write_checkpoint(self.folder / f"step-{step:09d}.safetensors", state)
        for path in self._files()[: -self.keep]:
            path.unlink()

    def save_best(self, model: Layer, history: History) -> None:
        """Write the weights of ``model`` if the last epoch is the best one."""
        if history.best(self.best or history.monitored) == len(history) - 1:
            save(model, self.folder / BEST)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise SettingError(
                f"Checkpoint: expected a folder that can be written, got {self.folder}: {error.strerror}"
            ) from None
        for path in self.folder.glob(".step-*.part"):  # of a training that was killed while it wrote
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if re.fullmatch(r"step-\d{9,}\.safetensors", path.name))

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.folder)!r}, every={self.every}, keep={self.keep}, best={self.best!r})"


def checked_checkpoint(given: Any, figures: Collection[str]) -> Checkpoint | None:
    """The checkpoint, or that of a folder, for a training whose epochs have these figures.

    Raises
    ------
    SettingError
        If it is neither, or the figure for the best weights is none of them.
    """
    checkpoint = Checkpoint(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(checkpoint, Checkpoint | None):
        raise SettingError(f"Trainer.fit checkpoint: expected a Checkpoint or a folder, got {given!r}")
    if checkpoint is not None and checkpoint.best is not None:
        check_figure("Checkpoint best", checkpoint.best, figures)
    return checkpoint


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, dicts and lists of numbers, texts, None and arrays, into a safetensors file.

    The arrays are its tensors, all else stands as JSON in its metadata, with a digest of everything.

    Raises
    ------
    OSError
        If the file cannot be written; no partial file is left.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _without_arrays(state, "", arrays)
    content = {"format": FORMAT, "digest": _digest(tree, arrays), "state": tree}
    replace(path.resolve(), to_bytes(arrays, {KEY: json.dumps(content)}))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state that `write_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If it is damaged, or no checkpoint; the text has the reason.
    """
    try:
        arrays, metadata = read(path)
        if KEY not in metadata:
            raise WeightsError("expected a checkpoint, got a file without the state of a training")
        content = json.loads(metadata[KEY])
        if content["format"] != FORMAT:
            raise WeightsError(f"expected checkpoints of format {FORMAT}, got {content['format']} from a newer convnet")
        if content["digest"] != _digest(content["state"], arrays):
            raise WeightsError("expected the content that was written, got other bytes: the file is damaged")
        state: dict[str, Any] = _with_arrays(content["state"], arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return state


def _digest(tree: Any, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(json.dumps(tree).encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _without_arrays(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """Move the arrays of a tree into ``arrays``, by the path to their place, and leave their names."""
    if isinstance(value, np.ndarray):
        arrays[place] = np.ascontiguousarray(value).reshape(value.shape)  # which makes one axis of none
        return ARRAY + place
    if isinstance(value, Mapping):
        inner = f"{place}/" if place else ""
        return {key: _without_arrays(part, f"{inner}{key}", arrays) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(part, f"{place}/{i}", arrays) for i, part in enumerate(value)]
    return value


def _with_arrays(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(tree, str) and tree.startswith(ARRAY):
        return arrays[tree.removeprefix(ARRAY)]
    if isinstance(tree, dict):
        return {key: _with_arrays(part, arrays) for key, part in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(part, arrays) for part in tree]
    return tree
