"""The folder of a training run."""

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convnet.cli._normalize import Normalization
from convnet.cli._settings import Settings, read_settings, write_settings
from convnet.errors import DataError, SettingError
from convnet.serialization import replace

__all__ = ["Described", "RunFolder", "check_writable"]


@dataclass(frozen=True)
class Described:
    """What it takes to make a trained model again, and to show it images."""

    model: str
    options: dict[str, Any]
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    fit: str
    normalization: Normalization | None


class RunFolder:
    """Where the files of a run are.

    ``config.toml`` has all settings, ``model.json`` what it takes to use the model, ``log.csv`` a line an epoch,
    ``best.safetensors`` the best weights, ``step-*.safetensors`` the last checkpoints, ``tensorboard`` the events for
    TensorBoard, if wanted; at the end come ``report.html`` and, with matplotlib, ``curves.png``. Before a run there may
    be ``learning_rates.json`` and ``learning_rates.png``: how the loss took rising rates.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config, self.model, self.log = (self.path / name for name in ("config.toml", "model.json", "log.csv"))
        self.best, self.report, self.curves = (
            self.path / name for name in ("best.safetensors", "report.html", "curves.png")
        )
        self.rates, self.rates_picture = (self.path / f"learning_rates.{kind}" for kind in ("json", "png"))
        self.events = self.path / "tensorboard"
        self._new = self._begun_here = not self.path.exists()

    def check(self, resume: bool) -> None:
        """Find out before any work whether the run can go here; nothing is written.

        Raises
        ------
        SettingError
            If it cannot be written, is no run folder, or has a run that ``resume`` does not ask for.
        """
        if not self._new and not self.path.is_dir():
            raise SettingError(f"--run: expected a folder, got the file {self.path}")
        check_writable("--run", self.path)
        self._begun_here = self._new or set(self.path.iterdir()) <= {self.rates, self.rates_picture}
        if self._begun_here:
            return
        if not self.config.is_file():
            raise SettingError(f"--run: expected a new folder, or one of a run, got {self.path} with other files")
        if (self.checkpoints() or self.log.is_file() or self.best.is_file()) and not resume:
            raise SettingError(f"--run: expected a new folder, or --resume, got {self.path}, which has a run")

    def checkpoints(self) -> list[Path]:
        """The checkpoints, the last one last."""
        return sorted(self.path.glob("step-*.safetensors"))

    def begin(
        self,
        settings: Settings,
        image_shape: tuple[int, ...],
        classes: tuple[str, ...],
        normalization: Normalization | None,
    ) -> None:
        """Write the files that are there from the beginning."""
        described = {
            "model": settings.model,
            "options": dict(settings.model_options),
            "image_shape": list(image_shape),
            "classes": list(classes),
            "fit": settings.fit,
            "normalization": None if normalization is None else asdict(normalization),
        }
        self.write(self.config, write_settings(settings))
        self.write(self.model, json.dumps(described, ensure_ascii=False) + "\n")

    @staticmethod
    def write(file: Path, content: str | bytes) -> None:
        """Write a file of the folder, which is made if need be, as a whole."""
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file.resolve(), content.encode() if isinstance(content, str) else content)

    def give_up(self) -> None:
        """Take back what was begun, if it came to nothing; what was there before stays."""
        if not self._begun_here or self.checkpoints():
            return
        for file in (self.config, self.model, self.log):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.events, ignore_errors=True)
        if self._new and self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def settings(self) -> dict[str, Any]:
        """The settings of the run.

        Raises
        ------
        DataError
            If there is no run.
        """
        if not self.config.is_file():
            raise DataError(f"{self.path}: expected the folder of a run, got one without {self.config.name}")
        return read_settings(self.config)

    def described(self) -> Described:
        """What it takes to use the model.

        Raises
        ------
        DataError
            If there is no run, or its description is damaged.
        """
        if not self.model.is_file():
            raise DataError(f"{self.path}: expected the folder of a run, got one without {self.model.name}")
        try:
            content = json.loads(self.model.read_text("utf-8"))
            shape = tuple(map(int, content["image_shape"]))
            channels, height, width = shape
            classes = tuple(map(str, content["classes"]))
            given = content["normalization"]
            normalization = given and Normalization(*(tuple(map(float, given[key])) for key in ("mean", "std")))
            image = channels, height, width
            return Described(content["model"], content["options"], image, classes, content["fit"], normalization)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.model}: expected what a run has written, got a damaged file: {error!r}") from error


def check_writable(option: str, path: Path, file: bool = False) -> None:
    """Find out before any work that a folder, which is made if need be, or a file cannot be written after it.

    Raises
    ------
    SettingError
        If so.
    """
    if file and path.exists() and not path.is_file():
        raise SettingError(f"{option}: expected the path of a file, got {path}, which is something else")
    there = path.resolve().parent if file else path.resolve()
    while not file and not there.exists() and there != there.parent:
        there = there.parent
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise SettingError(f"{option}: expected a folder that can be written, got {path}: {error.strerror}") from None
