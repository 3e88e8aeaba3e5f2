"""One training from the command line, from the model to the last line."""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convnet import plot
from convnet.cli import _recipe
from convnet.cli._answers import Answers, answers
from convnet.cli._data import Data, files_told
from convnet.cli._options import print_json
from convnet.cli._report import Report
from convnet.cli._run_folder import RunFolder
from convnet.cli._settings import Settings
from convnet.errors import DivergedError, UnsupportedError
from convnet.functional import get_num_threads
from convnet.serialization import load, save
from convnet.training import Checkpoint, CSVLog, EarlyStopping, TensorBoard, Trainer, WeightAverage

__all__ = ["Training"]


class Training:
    """What settings and data make.

    Parameters
    ----------
    settings : Settings
        All of them, with a value for what the data decide.
    data : Data
    folder : RunFolder, optional
    output : path, optional
        For the weights, without a folder.
    options : namespace
        What is no setting: ``quiet``, ``json``, ``resume``.
    """

    def __init__(
        self,
        settings: Settings,
        data: Data,
        folder: RunFolder | None,
        output: Path | None,
        options: argparse.Namespace,
    ) -> None:
        self.settings, self.data, self.folder, self.output, self.options = settings, data, folder, output, options
        self.silent = options.quiet or options.json
        self.rng = np.random.default_rng(settings.seed)
        with files_told():
            self.normalization = self._normalization()
        goes_on = options.resume and folder is not None and bool(folder.checkpoints())
        model = _recipe.model(settings, data, self.normalization, self.rng, goes_on)
        optimizer = _recipe.optimizer(settings, _recipe.batches_an_epoch(data.train, settings.batch_size))
        average = WeightAverage(model, settings.average) if settings.average else None
        self.trainer = Trainer(model, _recipe.loss(settings, data), optimizer, average=average)

    def _normalization(self) -> Any:
        """Of a run that goes on, what it has measured."""
        if self.options.resume and self.folder is not None and self.folder.model.is_file():
            return self.folder.described().normalization
        return _recipe.normalization(self.settings, self.data)

    def run(self) -> None:
        """Train, tell, and report."""
        begun = time.perf_counter()
        try:
            with files_told():
                self._fit()
        except DivergedError as error:
            self._give_up()
            lower = f"a --lr below {self.settings.lr:g}"
            raise DivergedError(str(error).replace("a lower learning rate", lower)) from error
        except BaseException:
            self._give_up()
            raise
        self._tell(time.perf_counter() - begun)

    def _give_up(self) -> None:
        if self.folder is not None:
            self.folder.give_up()

    def _fit(self) -> None:
        trainer, kept = self.trainer, "nothing is saved yet"
        try:
            epochs = self._epochs()
            if self.folder is not None:  # now that nothing speaks against it
                self.folder.begin(self.settings, self.data.image_shape, self.data.classes, self.normalization)
            for epoch in epochs:
                if self.output is not None:
                    save(trainer.measured, self.output)
                    kept = f"{self.output} has the weights of epoch {epoch.epoch} of {self.settings.epochs}"
        except KeyboardInterrupt:
            if self.folder is not None and self.folder.checkpoints():
                kept = f"go on with convnet train --run {self.folder.path} --resume"
            raise KeyboardInterrupt(f"interrupted, {kept}") from None
        if self.output is not None:
            save(trainer.measured, self.output)  # again: early stopping takes the best weights back at the end
        elif self.folder is not None:
            load(trainer.measured, self.folder.best)

    def _epochs(self) -> Any:
        settings = self.settings
        return self.trainer.iter_fit(
            _recipe.mixed(settings, self.data, self.rng),
            self.data.validation,
            settings.epochs or 1,
            settings.batch_size,
            rng=self.rng,
            augment=_recipe.augment(settings, self.data.image_shape),
            progress=not self.options.quiet and (sys.stderr.isatty() or "plain"),
            workers=settings.workers,
            accumulate=settings.accumulate,
            callbacks=self._callbacks(),
            checkpoint=None if self.folder is None else Checkpoint(self.folder.path, best=settings.monitor),
            resume=self.options.resume,
        )

    def _callbacks(self) -> list[Any]:
        settings = self.settings
        found: list[Any] = [EarlyStopping(settings.patience, settings.monitor)] if settings.patience else []
        if self.folder is not None:
            found.append(CSVLog(self.folder.log))
            found += [TensorBoard(self.folder.events)] if settings.tensorboard else []
        return found

    def _tell(self, seconds: float) -> None:
        n, noun = _recipe.number(self.data.train), self.data.noun
        if not self.silent:
            print(f"trained {self.settings.model} on {n} {noun} in {seconds:.1f} s, {get_num_threads()} threads")
        images, name = self.data.held_out
        if images is None:
            images, name = self.data.train, f"training {noun}"
        told = answers(self.trainer.predict, images, self.data.classes, workers=self.settings.workers)
        self._write(told, name)
        if self.options.json:
            print_json({**self._about(seconds), **told.as_dict()})
            return
        if not self.silent:
            print(f"saved {self.folder.path if self.folder else self.output}")
        print(f"accuracy on {told.images} {name}: {100 * told.accuracy:.2f} %")

    def _about(self, seconds: float) -> dict[str, Any]:
        """The training in words and numbers."""
        history, data = self.trainer.history, self.data
        best = history.best(self.settings.monitor or history.monitored) if history else None
        return {
            "model": self.settings.model,
            "data": self.settings.data,
            "run": str(self.folder.path) if self.folder else None,
            "weights": str(self.folder.best if self.folder else self.output),
            "seconds": seconds,
            "epochs": len(history),
            "best_epoch": None if best is None else history[best].epoch,
            "history": [epoch.figures() for epoch in history],
            "part": "test" if data.test is not None else "validation" if data.validation is not None else "train",
        }

    def _write(self, told: Answers, name: str) -> None:
        if self.folder is None:
            return
        page = Report(self.settings, self.data, self.trainer, told, name)
        self.folder.write(self.folder.report, page.html())
        self._draw(self.folder.curves, lambda: plot.history(self.trainer.history))

    def find_learning_rate(self) -> None:
        """Try learning rates instead, and suggest one."""
        settings, changes = self.settings, _recipe.augment(self.settings, self.data.image_shape)
        images = _recipe.mixed(settings, self.data, self.rng)
        with files_told():
            found = self.trainer.find_learning_rate(
                images, batch_size=settings.batch_size, rng=self.rng, augment=changes
            )
        figures = {"suggestion": found.suggestion, "rates": found.rates.tolist(), "losses": found.losses.tolist()}
        if self.folder is not None:
            self.folder.write(self.folder.rates, json.dumps(figures) + "\n")
            self._draw(self.folder.rates_picture, lambda: plot.learning_rates(found))
        if self.options.json:
            print_json({"run": str(self.folder.path) if self.folder else None, **figures})
            return
        if not self.silent and self.folder is not None:
            print(f"saved {self.folder.rates}")
        print(f"suggested for {settings.optimizer}: --lr {found.suggestion:.2g}")

    def _draw(self, file: Path, draw: Callable[[], Any]) -> None:
        """Write a picture of the folder, if there is what draws it."""
        try:
            figure, picture = draw(), io.BytesIO()
        except UnsupportedError:
            return
        figure.savefig(picture, format="png")
        RunFolder.write(file, picture.getvalue())
