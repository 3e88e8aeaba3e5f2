"""``convnet evaluate``."""

import argparse
from typing import TYPE_CHECKING

from convnet.cli._options import add_json, print_json, set_threads
from convnet.cli._settings import add_settings, given

if TYPE_CHECKING:
    from convnet.cli._data import Images
    from convnet.layers import Layer

HELP = "measure a trained model on images whose classes are known"
DESCRIPTION = """Tell loss, accuracy, and precision, recall and F1 of each class.

RUN is the folder of a run, whose settings hold, a file in it, or any file of weights, whose model --model names.
Without --data a run is measured on what it held out: test images, or else those it took for validation."""
EXAMPLES = """examples:
  convnet evaluate runs/photos
  convnet evaluate runs/photos --data more_photos/ --json
  convnet evaluate runs/photos/step-000000640.safetensors --part validation
  convnet evaluate lenet.safetensors --data mnist
  convnet evaluate small.safetensors --model simple_cnn --data digits

exit codes: 0 done, 2 bad input."""

PARTS = ("test", "validation", "train")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", metavar="RUN", help="folder of a run, or file of weights")
    parser.add_argument(
        "--part", choices=PARTS, metavar="NAME", help=f"{', '.join(PARTS)} (default: the first there is)"
    )
    names = ("model", "model_options", "data", "image_size", "fit", "channels", "broken", "workers", "threads")
    add_settings(parser, only=names)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    from dataclasses import replace

    from convnet.cli._answers import answers
    from convnet.cli._data import files_told, load
    from convnet.cli._subject import subject
    from convnet.data import as_floats
    from convnet.inference import fuse

    about = subject(options)
    set_threads(about.settings.threads)
    named = not all(name.isdigit() for name in about.classes)
    data = load(about.settings, about.classes if named else None)
    if data.validation is None and about.settings.validation:
        data = data.split(about.settings.validation, about.settings.seed)
    parts = {"test": data.test, "validation": data.validation, "train": data.train}
    name, images = _part(options.part, parts)
    if name == "train" and "data" in given(options) and options.part is None:
        name = "all"  # of a folder that the model was not trained on
    about = replace(about, classes=_names(about.classes, data.classes, about.settings.data))
    _check_shape(about.settings.model, about.model, data.image_shape)
    model, dtype = fuse(about.model), about.model.parameters()[0].dtype
    with files_told():
        told = answers(lambda x: model(as_floats(x, dtype)), images, about.classes, workers=about.settings.workers)
    if options.json:
        print_json({"part": name, **told.as_dict()})
        return
    print(told.table)
    print(
        f"loss {told.loss:.4f}" + ("" if told.top_5 is None else f", right class among the first five {told.top_5:.2%}")
    )
    print(f"accuracy on {told.images} {data.noun} ({name}): {100 * told.accuracy:.2f} %")


def _part(wanted: str | None, parts: "dict[str, Images | None]") -> "tuple[str, Images]":
    from convnet.errors import DataError

    if wanted is None:
        wanted = next(name for name, images in parts.items() if images is not None)
    images = parts[wanted]
    if images is None:
        there = ", ".join(name for name, images in parts.items() if images is not None)
        raise DataError(f"--part: expected {there}, which the data have, got {wanted}")
    return wanted, images


def _names(model: tuple[str, ...], data: tuple[str, ...], name: str) -> tuple[str, ...]:
    from convnet.errors import DataError

    if len(model) != len(data):
        raise DataError(f"{name}: expected images of the {len(model)} classes of the model, got {len(data)} classes")
    if model != data and not all(each.isdigit() for each in model):
        other = next(each for each, own in zip(data, model, strict=True) if each != own)
        raise DataError(f"{name}: expected the classes of the model, {', '.join(model)}, got also {other}")
    return data


def _check_shape(name: str, model: "Layer", image_shape: tuple[int, ...]) -> None:
    from convnet.errors import DataError, ShapeError

    try:
        model.output_shape(image_shape)
    except ShapeError as error:
        got = "x".join(map(str, image_shape))
        raise DataError(
            f"{name}: expected images that the model takes, got {got}; see --image-size ({error})"
        ) from error
