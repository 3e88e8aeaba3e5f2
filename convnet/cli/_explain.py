"""``convnet explain``."""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnet.cli._options import add_json, print_json, set_threads
from convnet.cli._settings import add_settings

if TYPE_CHECKING:
    import numpy as np

    from convnet.cli._subject import Subject

HELP = "show where in an image a model looks"
DESCRIPTION = """Draw what in an image the answer of a model hangs on, laid over the image, into a PNG file.

RUN is the folder of a run, whose settings hold, a file in it, or any file of weights, whose model --model names.
Needs Pillow and matplotlib: pip install "convnet-cpu[images,plot]"."""
EXAMPLES = """examples:
  convnet explain runs/photos portrait.jpg
  convnet explain runs/photos portrait.jpg --method occlusion --class dog --output dog.png
  convnet explain lenet.safetensors digit.png --method saliency
  convnet explain runs/photos portrait.jpg --json | jq -r .output

exit codes: 0 done, 2 bad input or a file that cannot be written."""

METHODS = ("grad-cam", "saliency", "occlusion")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", metavar="RUN", help="folder of a run, or file of weights")
    parser.add_argument("image", metavar="IMAGE", help="image file")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="grad-cam",
        metavar="NAME",
        help=f"{', '.join(METHODS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--class", dest="name_of_class", metavar="NAME", help="class to explain (default: the most probable)"
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="layer for grad-cam, as convnet summary names it (default: the last map)"
    )
    parser.add_argument("--output", metavar="PATH", help="file to write (default: IMAGE-METHOD.png in this folder)")
    add_settings(parser, only=("model", "model_options", "image_size", "fit", "threads"))
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Draw, and tell the class that was explained."""
    import numpy as np

    from convnet import plot
    from convnet.cli._run_folder import check_writable
    from convnet.cli._subject import subject
    from convnet.data import as_floats, read_image
    from convnet.errors import SettingError
    from convnet.functional import softmax
    from convnet.serialization import replace

    output = Path(options.output or f"{Path(options.image).stem}-{options.method}.png")
    if output.exists() and output.samefile(options.image):
        raise SettingError(f"--output: expected another file than the image, got {output}")
    check_writable("--output", output, file=True)
    about = subject(options)
    set_threads(about.settings.threads)
    channels, height, width = about.image_shape
    fit: Any = about.settings.fit
    image = read_image(options.image, (height, width), channels=3 if channels == 3 else 1, fit=fit)
    x = as_floats(image[np.newaxis], about.model.parameters()[0].dtype)
    probabilities = softmax(about.model(x))[0]
    label = _label(options.name_of_class, about, probabilities)
    file = io.BytesIO()
    figure = plot.heatmap(image, _values(options, about, x, label))
    name = about.classes[label]
    figure.axes[0].set_title(f"{name} {100 * probabilities[label]:.1f} %, {options.method}", fontsize=9)
    figure.savefig(file, format="png")
    replace(output.resolve(), file.getvalue())
    if options.json:
        told = {"image": options.image, "class": name, "probability": float(probabilities[label])}
        print_json({**told, "method": options.method, "output": str(output)})
    else:
        print(f"{options.image}: {name} {100 * probabilities[label]:.2f} %, {options.method} in {output}")


def _label(name: str | None, about: "Subject", probabilities: "np.ndarray") -> int:
    from convnet.errors import SettingError

    if name is None:
        return int(probabilities.argmax())
    if name not in about.classes:
        raise SettingError(f"--class: expected one of {', '.join(about.classes)}, got {name!r}")
    return about.classes.index(name)


def _values(options: argparse.Namespace, about: "Subject", x: "np.ndarray", label: int) -> "np.ndarray":
    from convnet import explain
    from convnet.errors import SettingError

    if options.layer is not None and options.method != "grad-cam":
        raise SettingError(f"--layer: expected --method grad-cam, got {options.method}")
    window = max(3, min(x.shape[2:]) // 8)
    maps = {
        "grad-cam": lambda: explain.grad_cam(about.model, x, label, options.layer),
        "saliency": lambda: explain.saliency(about.model, x, label),
        "occlusion": lambda: explain.occlusion(about.model, x, window, max(1, window // 3), class_index=label),
    }
    values: np.ndarray = maps[options.method]()[0]
    return values
