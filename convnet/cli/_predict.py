"""``convnet predict``."""

import argparse
import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnet.cli._options import PARTLY, add_json, count, print_json, set_threads, warn
from convnet.cli._settings import add_settings

if TYPE_CHECKING:
    import numpy as np

    from convnet.cli._subject import Subject

HELP = "tell the classes of image files"
DESCRIPTION = """Tell the class of each image file, and how probable it is.

RUN is the folder of a run, whose settings hold, a file in it, or any file of weights, whose model --model names.
Images are scaled to the size that the model was trained with. A file that cannot be read is named and passed over.
Needs Pillow: pip install "convnet-cpu[images]"."""
EXAMPLES = """examples:
  convnet predict runs/photos holiday/ portrait.jpg
  convnet predict runs/photos holiday/ --top 3 --csv holiday.csv
  convnet predict runs/photos portrait.jpg --json | jq -r '.images[0].predictions[0].class'
  convnet predict lenet.safetensors digit.png

exit codes: 0 done, 1 some files could not be read, 2 bad input or a file that cannot be written."""

BATCH = 64


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", metavar="RUN", help="folder of a run, or file of weights")
    parser.add_argument(
        "paths", metavar="IMAGE", nargs="+", help="image file, or folder with such, also in folders of it"
    )
    parser.add_argument("--top", type=count, default=1, metavar="K", help="classes to tell (default: %(default)s)")
    parser.add_argument("--csv", metavar="FILE", help="write a table: file, rank, class, probability")
    add_settings(parser, only=("model", "model_options", "image_size", "fit", "workers", "threads"))
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Tell."""
    from convnet.cli._run_folder import check_writable
    from convnet.cli._subject import subject
    from convnet.serialization import replace

    if options.csv is not None:
        check_writable("--csv", Path(options.csv), file=True)
    about = subject(options)
    set_threads(about.settings.threads)
    broken: dict[str, str] = {}
    told = []
    for file, probabilities in _answers(about, options.paths, broken):
        told.append({"file": file, "predictions": _best(probabilities, about.classes, options.top)})
        if not options.json and options.csv is None:
            print(_line(told[-1]))
    for file, reason in broken.items():
        warn("predict", f"{file}: {reason}")
    if options.csv is not None:
        replace(Path(options.csv).resolve(), _table(told).encode())
    if options.json:
        print_json({"images": told, "broken": [{"file": file, "reason": reason} for file, reason in broken.items()]})
    return PARTLY if broken else 0


def _answers(about: "Subject", paths: Sequence[str], broken: dict[str, str]) -> "Iterator[tuple[str, np.ndarray]]":
    """Each file that can be read, and the probabilities of the classes; the others go to ``broken``."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from convnet.data import as_floats
    from convnet.functional import softmax
    from convnet.inference import Predictor

    predictor = Predictor(about.model, input_shape=about.image_shape)
    files = list(_files(paths, broken))
    with ThreadPoolExecutor(max(about.settings.workers, 1), "convnet-data") as pool:
        for start in range(0, len(files), BATCH):
            part = files[start : start + BATCH]
            read = [
                (file, image)
                for file, image in zip(part, pool.map(lambda file: _read(file, about, broken), part), strict=True)
                if image is not None
            ]
            if read:
                x = as_floats(np.stack([image for _, image in read]))
                yield from zip((file for file, _ in read), softmax(predictor(x)), strict=True)


def _files(paths: Sequence[str], broken: dict[str, str]) -> Iterator[str]:
    """The image files among the paths and below them."""
    from convnet.data import image_files
    from convnet.errors import DataError

    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            found = image_files(path)
        except DataError as error:
            broken[path] = str(error).removeprefix("image_files: ")
            continue
        if not found:
            broken[path] = "expected images in this folder, got none"
        yield from map(str, found)


def _read(file: str, about: "Subject", broken: dict[str, str]) -> Any:
    from convnet.data import read_image
    from convnet.errors import DataError

    channels, height, width = about.image_shape
    fit: Any = about.settings.fit
    try:
        return read_image(file, (height, width), channels=3 if channels == 3 else 1, fit=fit)
    except DataError as error:
        broken[file] = str(error).partition(f"{file}: ")[2] or str(error)
        return None


def _best(probabilities: "np.ndarray", classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    order = (-probabilities).argsort(kind="stable")[:top]
    return [{"class": classes[i], "probability": float(probabilities[i])} for i in order]


def _line(told: dict[str, Any]) -> str:
    best = ", ".join(f"{each['class']} {100 * each['probability']:.2f} %" for each in told["predictions"])
    return f"{told['file']}: {best}"


def _table(told: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "rank", "class", "probability"))
    for image in told:
        for rank, each in enumerate(image["predictions"], start=1):
            writer.writerow((image["file"], rank, each["class"], f"{each['probability']:.6f}"))
    return text.getvalue()
