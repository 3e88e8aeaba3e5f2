"""``convnet train``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnet.cli._options import add_json, set_threads, warn
from convnet.cli._settings import Settings, add_settings, given, merged, read_settings

if TYPE_CHECKING:
    from convnet.cli._run_folder import RunFolder
    from convnet.cli._source import Source
    from convnet.cli._training import Training

HELP = "train a model"
DESCRIPTION = """Train a model, and print its accuracy on images it has not seen as the last line.

Without --run the weights go to one file after every epoch: Ctrl-C, or a kill, keeps those of the last whole epoch.
With --run a folder gets all settings, a log, checkpoints to go on from, the best weights, and a report to look at in a
browser. The best weights are chosen by validation images: those of the folder val, or a part of the training images.

A folder of images has one subfolder a class, or subfolders train, val and test with these. By default images of data
sets are shifted, rotated, scaled and slanted a little at random, and the learning rate rises, then falls.

--resume goes on with the settings of the run: they need not be repeated, and only --epochs, --workers, --threads and
--tensorboard may be others. With more epochs the learning rate follows the schedule of the longer training."""

EXAMPLES = """examples:
  convnet train
  convnet train --model simple_cnn --epochs 5 --output small.safetensors
  CONVNET_DATA=~/data convnet train --data mnist --seed 7
  convnet train --data photos/ --model resnet18 --image-size 96 --augment photo --run runs/photos
  convnet train --run runs/photos --resume --epochs 40
  convnet train --config runs/photos/config.toml --optimizer sgd --lr 0.05 --run runs/sgd
  convnet train --data flowers/ --model resnet18 --image-size 128 --pretrained resnet18.safetensors \\
      --freeze-until fc --normalize imagenet --run runs/flowers
  convnet train --data cifar10 --model resnet20 --normalize dataset --mixup 0.2 --tensorboard --run runs/cifar10
  convnet train --data cifar10 --model resnet20 --optimizer sgd --find-learning-rate
  convnet train --quiet --json | jq .accuracy

a file for --config has the names of the options as keys, with _ for -, and a table [model_options]:
  model = "resnet20"
  data = "cifar10"
  batch_size = 128
  model_options = { width = 32 }

load the weights with
  model = convnet.load(convnet.models.lenet(), "lenet.safetensors")
and those that were trained with --normalize into a model with its layer in front:
  normalize = convnet.BatchNorm2d(3, eps=0, affine=False)
  model = convnet.Sequential({"normalize": normalize, **dict(convnet.models.resnet18(5).named_children())})
  convnet.load(model, "runs/flowers/best.safetensors")

exit codes: 0 done, 2 bad input or a file that cannot be written, 130 interrupted."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_settings(parser)
    places = parser.add_argument_group("files")
    places.add_argument("--config", metavar="FILE", help="read settings from a TOML file; options win over it")
    places.add_argument("--run", dest="folder", metavar="FOLDER", help="keep everything about the training there")
    places.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint of the run in --run, with its settings"
    )
    places.add_argument(
        "--output", metavar="PATH", help="file for the weights, without --run (default: MODEL.safetensors)"
    )
    places.add_argument("--quiet", action="store_true", help="print nothing but the last line")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Train."""
    from convnet.cli._run_folder import RunFolder
    from convnet.cli._source import told_as_given

    folder = None if options.folder is None else RunFolder(options.folder)
    sources = _sources(options)
    with told_as_given(sources):
        settings = _settings(options, folder, sources)
        output = None if folder else Path(options.output or f"{settings.model}.safetensors")
        _check_places(options, settings, folder, output)
        set_threads(settings.threads)
        training = _training(options, settings, folder, output)
        if settings.find_learning_rate:
            training.find_learning_rate()
        else:
            _tell_beginning(options, folder)
            training.run()


def _sources(options: argparse.Namespace) -> "list[Source]":
    """Where settings come from, the later ones win."""
    from convnet.cli._source import Source

    files = [] if options.config is None else [Path(options.config)]
    return [*(Source(read_settings(file), file) for file in files), Source(given(options))]


def _settings(options: argparse.Namespace, folder: "RunFolder | None", sources: "Sequence[Source]") -> Settings:
    from convnet.cli._source import check_same
    from convnet.errors import SettingError

    kept: dict[str, Any] = {}
    if options.resume:
        if folder is None:
            raise SettingError("--resume: expected --run with the folder to go on in, got none")
        if any(source.values.get("find_learning_rate") for source in sources):
            raise SettingError("--find-learning-rate: expected no --resume, which trains, got both")
        if folder.config.is_file():
            kept = folder.settings()
            check_same(merged(kept), sources, folder.path)
    settings = merged(kept, *(source.values for source in sources))
    if settings.freeze_until is not None and settings.pretrained is None:
        raise SettingError("--freeze-until: expected --pretrained with the weights to keep, got none")
    return settings


def _tell_beginning(options: argparse.Namespace, folder: "RunFolder | None") -> None:
    """A wrong name of a folder must not go unseen."""
    if options.resume and folder is not None and not folder.config.is_file() and not options.quiet:
        warn("train", f"--resume: there is no run in {folder.path} yet, it begins now")


def _check_places(
    options: argparse.Namespace, settings: Settings, folder: "RunFolder | None", output: Path | None
) -> None:
    """Find out before the training what cannot be written after it."""
    from convnet.cli._run_folder import check_writable
    from convnet.errors import SettingError

    if folder is not None:
        if options.output is not None:
            raise SettingError("--output: expected no --run, whose folder has the weights, got both")
        folder.check(options.resume)
    elif settings.tensorboard:
        raise SettingError("--tensorboard: expected --run with the folder for its files, got none")
    elif output is not None:
        check_writable("--output", output, file=True)


def _training(
    options: argparse.Namespace, settings: Settings, folder: "RunFolder | None", output: Path | None
) -> "Training":
    """All that is needed, the data among it."""
    from convnet.cli._data import load
    from convnet.cli._recipe import resolved
    from convnet.cli._training import Training

    goes_on = folder is not None and options.resume and folder.model.is_file()
    data = load(settings, folder.described().classes if folder is not None and goes_on else None)
    settings = resolved(settings, data, chooses=folder is not None)
    if data.validation is None and settings.validation:
        data = data.split(settings.validation, settings.seed)
    return Training(settings, data, folder, output, options)
