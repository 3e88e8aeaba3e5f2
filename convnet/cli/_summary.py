"""``convnet summary``."""

import argparse

from convnet.cli._options import add_json, add_model, print_json

HELP = "show the layers of a model"
DESCRIPTION = "Show output shape, receptive field, parameters, multiply-adds and memory of each layer, for one image."
EXAMPLES = """examples:
  convnet summary lenet
  convnet summary resnet18 --input-shape 3,64,64
  convnet summary mobilenet_v2 --model-option width=0.5 --model-option classes=5 --json"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print the table, or its numbers."""
    from convnet.cli._models import made
    from convnet.summary import summary

    table = summary(made(options.model, dict(options.model_option), rng=0), options.input_shape)
    if not options.json:
        print(table)
        return
    rows = [
        {
            "name": row.name,
            "layer": repr(row.layer),
            "output_shape": row.output_shape,
            "receptive_field": row.receptive_field,
            "parameters": row.parameters,
            "multiply_adds": row.multiply_adds,
            "kept_bytes": row.kept_bytes,
        }
        for row in table.rows
    ]
    totals = {name: getattr(table, name) for name in ("parameters", "multiply_adds", "kept_bytes", "weight_bytes")}
    print_json({"model": options.model, "layers": rows, **totals})
