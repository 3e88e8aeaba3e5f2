"""``convnet train``."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnet.cli._options import set_threads
from convnet.cli._settings import Settings, add_settings, given, merged, read_settings

if TYPE_CHECKING:
    from convnet.cli._answers import Answers
    from convnet.cli._data import Data
    from convnet.cli._run_folder import RunFolder
    from convnet.layers import Graph

HELP = "train a model"
DESCRIPTION = """Train a model, and print its accuracy on images it has not seen as the last line.

Without --run the weights go to one file after every epoch: Ctrl-C, or a kill, keeps those of the last whole epoch.
With --run a folder gets all settings, a log, checkpoints to go on from, the best weights, and a report to look at in a
browser. The best weights are chosen by validation images: those of the folder val, or a part of the training images.

A folder of images has one subfolder a class, or subfolders train, val and test with these. By default images of data
sets are shifted, rotated, scaled and slanted a little at random, and the learning rate rises, then falls."""

EXAMPLES = """examples:
  convnet train
  convnet train --model simple_cnn --epochs 5 --output small.safetensors
  CONVNET_DATA=~/data convnet train --data mnist --seed 7
  convnet train --data photos/ --model resnet18 --image-size 96 --augment photo --run runs/photos
  convnet train --run runs/photos --resume --epochs 40
  convnet train --config runs/photos/config.toml --optimizer sgd --lr 0.05 --run runs/sgd
  convnet train --data flowers/ --model resnet18 --image-size 128 --pretrained resnet18.safetensors \\
      --freeze-until fc --run runs/flowers

a file for --config has the names of the options as keys, with _ for -, and a table [model_options]:
  model = "resnet20"
  data = "cifar10"
  batch_size = 128
  model_options = { width = 32 }

load the weights with
  model = convnet.load(convnet.models.lenet(), "lenet.safetensors")

exit codes: 0 done, 2 bad input or a file that cannot be written, 130 interrupted."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_settings(parser)
    places = parser.add_argument_group("files")
    places.add_argument("--config", metavar="FILE", help="read settings from a TOML file; options win over it")
    places.add_argument("--run", dest="folder", metavar="FOLDER", help="keep everything about the training there")
    places.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the folder of --run")
    places.add_argument(
        "--output", metavar="PATH", help="file for the weights, without --run (default: MODEL.safetensors)"
    )
    places.add_argument("--quiet", action="store_true", help="print nothing but the last line")


def run(options: argparse.Namespace) -> None:
    """Train."""
    from convnet.cli._data import load
    from convnet.cli._recipe import resolved
    from convnet.cli._run_folder import RunFolder

    folder = None if options.folder is None else RunFolder(options.folder)
    settings = _settings(options, folder)
    output = None if folder else Path(options.output or f"{settings.model}.safetensors")
    _check_places(options, folder, output)
    set_threads(settings.threads)
    data = load(settings)
    settings = resolved(settings, data, chooses=folder is not None)
    if data.validation is None and settings.validation:
        data = data.split(settings.validation, settings.seed)
    _Training(settings, data, folder, output, options).run()


def _settings(options: argparse.Namespace, folder: "RunFolder | None") -> Settings:
    from convnet.errors import SettingError

    sources: list[dict[str, Any]] = []
    if options.resume:
        if folder is None:
            raise SettingError("--resume: expected --run with the folder to go on in, got none")
        if folder.checkpoints():
            sources.append(folder.settings())
            _check_model(merged(*sources), given(options))
    if options.config is not None:
        sources.append(read_settings(Path(options.config)))
    settings = merged(*sources, given(options))
    if settings.freeze_until is not None and settings.pretrained is None:
        raise SettingError("--freeze-until: expected --pretrained with the weights to keep, got none")
    return settings


def _check_model(run: Settings, options: dict[str, Any]) -> None:
    """A run goes on with its own model."""
    from convnet.errors import SettingError

    for name, option in (("model", "--model"), ("model_options", "--model-option"), ("data", "--data")):
        there = getattr(run, name)
        if options.get(name, there) != there:
            raise SettingError(f"{option}: expected that of the run to go on with, {there}, got {options[name]}")


def _check_places(options: argparse.Namespace, folder: "RunFolder | None", output: Path | None) -> None:
    """Find out before the training what cannot be written after it."""
    from convnet.cli._run_folder import check_writable
    from convnet.errors import SettingError

    if folder is not None:
        if options.output is not None:
            raise SettingError("--output: expected no --run, whose folder has the weights, got both")
        folder.check(options.resume)
    elif output is not None:
        check_writable("--output", output, file=True)


class _Training:
    """One training, from the model to the last line."""

    def __init__(
        self,
        settings: Settings,
        data: "Data",
        folder: "RunFolder | None",
        output: Path | None,
        options: argparse.Namespace,
    ) -> None:
        import numpy as np

        from convnet.cli import _recipe
        from convnet.cli._models import made_for, pretrained
        from convnet.training import Trainer, WeightAverage

        self.settings, self.data, self.folder, self.output = settings, data, folder, output
        self.quiet, self.resume = options.quiet, options.resume
        self.rng = np.random.default_rng(settings.seed)
        model: Graph = made_for(settings.model, settings.model_options, data.image_shape, len(data.classes), self.rng)
        if settings.pretrained is not None:
            model = pretrained(model, settings.model, Path(settings.pretrained), settings.freeze_until)
        optimizer = _recipe.optimizer(settings, _recipe.batches_an_epoch(data.train, settings.batch_size))
        average = WeightAverage(model, settings.average) if settings.average else None
        self.trainer = Trainer(model, _recipe.loss(settings, data), optimizer, average=average)
        self.changes = _recipe.augment(settings, data.image_shape)

    def run(self) -> None:
        """Train, tell, and report."""
        from convnet.cli._data import files_told

        begun = time.perf_counter()
        try:
            with files_told():
                self._fit()
        except BaseException:
            if self.folder is not None:
                self.folder.give_up()
            raise
        self._tell(time.perf_counter() - begun)

    def _fit(self) -> None:
        from convnet.serialization import load, save

        settings, trainer, kept = self.settings, self.trainer, "nothing is saved yet"
        try:
            epochs = trainer.iter_fit(
                self.data.train,
                self.data.validation,
                settings.epochs or 1,
                settings.batch_size,
                rng=self.rng,
                augment=self.changes,
                progress=not self.quiet and (sys.stderr.isatty() or "plain"),
                workers=settings.workers,
                accumulate=settings.accumulate,
                callbacks=self._callbacks(),
                checkpoint=self._checkpoint(),
                resume=self.resume,
            )
            if self.folder is not None:  # now that nothing speaks against it
                self.folder.begin(self.settings, self.data.image_shape, self.data.classes)
            for epoch in epochs:
                if self.output is not None:
                    save(trainer.measured, self.output)
                    kept = f"{self.output} has the weights of epoch {epoch.epoch} of {settings.epochs}"
        except KeyboardInterrupt:
            if self.folder is not None and self.folder.checkpoints():
                kept = f"go on with convnet train --run {self.folder.path} --resume"
            raise KeyboardInterrupt(f"interrupted, {kept}") from None
        if self.output is not None:
            save(trainer.measured, self.output)  # again: early stopping takes the best weights back at the end
        elif self.folder is not None:
            load(trainer.measured, self.folder.best)

    def _callbacks(self) -> list[Any]:
        from convnet.training import CSVLog, EarlyStopping

        settings = self.settings
        stopping = [EarlyStopping(settings.patience, settings.monitor)] if settings.patience else []
        return [*stopping, *([CSVLog(self.folder.log)] if self.folder is not None else [])]

    def _checkpoint(self) -> Any:
        from convnet.training import Checkpoint

        return None if self.folder is None else Checkpoint(self.folder.path, best=self.settings.monitor)

    def _tell(self, seconds: float) -> None:
        from convnet.cli._answers import answers
        from convnet.functional import get_num_threads

        n, noun = _number(self.data.train), self.data.noun
        if not self.quiet:
            print(f"trained {self.settings.model} on {n} {noun} in {seconds:.1f} s, {get_num_threads()} threads")
        images, name = self.data.held_out
        if images is None:
            images, name = self.data.train, f"training {noun}"
        told = answers(self.trainer.predict, images, self.data.classes, workers=self.settings.workers)
        self._write(told, name)
        if not self.quiet:
            print(f"saved {self.folder.path if self.folder else self.output}")
        print(f"accuracy on {told.images} {name}: {100 * told.accuracy:.2f} %")

    def _write(self, told: "Answers", name: str) -> None:
        if self.folder is None:
            return
        from convnet.cli._report import Report

        page = Report(self.settings, self.data, self.trainer, told, name)
        self.folder.write(self.folder.report, page.html())
        curves = page.curves_png()
        if curves is not None:
            self.folder.write(self.folder.curves, curves)


def _number(images: Any) -> int:
    return len(images[1]) if isinstance(images, tuple) else len(images)
