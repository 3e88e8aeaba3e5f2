"""``convnet export``."""

import argparse
from pathlib import Path

from convnet.cli._options import add_json, count, print_json
from convnet.cli._settings import add_settings

HELP = "write a trained model into an ONNX file"
DESCRIPTION = """Write a trained model into an ONNX file, which other runtimes and languages read.

RUN is the folder of a run, a file in it, or any file of weights, whose model --model names. The file takes batches of
any size, of images whose pixels are scaled to 0-1 as in the training, and has the names of the classes.
Needs onnx: pip install "convnet-cpu[onnx]"."""
EXAMPLES = """examples:
  convnet export runs/photos                        writes photos.onnx
  convnet export runs/photos --output model.onnx --opset 13 --fold-batch-norm
  convnet export lenet.safetensors --probabilities --json

exit codes: 0 done, 2 bad input or a file that cannot be written."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", metavar="RUN", help="folder of a run, or file of weights")
    parser.add_argument("--output", metavar="FILE", help="what to write (default: the name of RUN with .onnx)")
    parser.add_argument(
        "--opset", type=count, default=17, metavar="N", help="version of the operators, 13 to 22 (default: %(default)s)"
    )
    parser.add_argument("--probabilities", action="store_true", help="give probabilities instead of logits")
    parser.add_argument(
        "--fold-batch-norm", action="store_true", help="multiply batch normalisations into the convolutions before them"
    )
    add_settings(parser, only=("model", "model_options", "image_size"))
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Write the file, and tell what is in it."""
    from convnet.cli._run_folder import check_writable
    from convnet.cli._subject import subject
    from convnet.errors import SettingError
    from convnet.layers import Node, Softmax
    from convnet.onnx import export

    path = Path(options.output or f"{Path(options.what).resolve().stem}.onnx")
    check_writable("--output", path, file=True)
    if path.resolve() == Path(options.what).resolve():
        raise SettingError(f"--output: expected another file than that of the weights, got {path}")
    about = subject(options)
    model = about.model
    if options.probabilities:  # as one more layer of the model, so that the weights keep their names
        model = model.rewired({**model.nodes, "softmax": Node(Softmax(), model.output)}, "softmax")
    settings = {"opset": options.opset, "fold_batch_norm": options.fold_batch_norm}
    export(model, path, about.image_shape, classes=about.classes, **settings)
    outputs = model.output_shape(about.image_shape)
    if options.json:
        ends = {"input": ["batch", *about.image_shape], "output": ["batch", *outputs]}
        print_json({"file": str(path), "bytes": path.stat().st_size, **ends, "classes": about.classes, **settings})
        return
    sizes = " -> ".join(f"(batch, {', '.join(map(str, shape))})" for shape in (about.image_shape, outputs))
    print(f"{path}: {path.stat().st_size:,} bytes, opset {options.opset}, {sizes}")
