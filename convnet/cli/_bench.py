"""``convnet bench``."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from convnet.cli._options import add_json, add_model, add_threads, count, print_json, rate, set_threads

HELP = "time a training step and inference of a model"
DESCRIPTION = """Time a training step (forward, loss, backward, SGD with momentum) and inference (Predictor) of a model.

Images are random numbers; the times are medians, the speed is images a second."""
EXAMPLES = """examples:
  convnet bench lenet
  convnet bench resnet18 --batch-size 8 --seconds 10
  convnet bench mobilenet_v2 --input-shape 3,96,96 --model-option width=0.5 --threads 1 --json"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(parser)
    parser.add_argument(
        "--batch-size", type=count, default=64, metavar="N", help="images a step (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=rate, default=2.0, metavar="S", help="how long to time each of the two (default: %(default)s)"
    )
    add_threads(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Time both, and print the figures."""
    import numpy as np

    from convnet.cli._models import made
    from convnet.errors import SettingError
    from convnet.functional import get_num_threads
    from convnet.inference import Predictor
    from convnet.losses import SoftmaxCrossEntropy
    from convnet.optim import SGD
    from convnet.training import Trainer

    set_threads(options.threads)
    model = made(options.model, dict(options.model_option), rng=0)
    image = options.input_shape or model.input_shape
    if image is None:
        raise SettingError(f"{options.model} states no shape of its images: expected --input-shape, got none")
    (classes,) = model.output_shape(image)
    rng = np.random.default_rng(0)
    x = rng.random((options.batch_size, *image), np.float32)
    y = rng.integers(classes, size=options.batch_size)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(1e-6, momentum=0.9))  # so slow that nothing diverges
    training = _timed(lambda: trainer.step(x, y), options.seconds)
    predictor = Predictor(model, input_shape=image)
    inference = _timed(lambda: predictor(x), options.seconds)
    single = _timed(lambda: predictor(x[:1]), min(options.seconds, 0.5))
    figures = {
        "model": options.model,
        "input_shape": image,
        "batch_size": options.batch_size,
        "threads": get_num_threads(),
        "training_step_ms": 1e3 * training,
        "training_images_per_second": options.batch_size / training,
        "inference_ms": 1e3 * inference,
        "inference_images_per_second": options.batch_size / inference,
        "one_image_ms": 1e3 * single,
    }
    print_json(figures) if options.json else _print(figures)


def _timed(call: Callable[[], object], seconds: float) -> float:
    """Median seconds a call, after one that does not count."""
    import statistics
    import time

    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _print(figures: dict[str, Any]) -> None:
    sides = "x".join(map(str, figures["input_shape"]))
    print(f"{figures['model']}, images of {sides}, batches of {figures['batch_size']}, {figures['threads']} threads")
    for name, key in (("training step", "training"), ("inference", "inference")):
        time = figures.get(f"{key}_step_ms") or figures[f"{key}_ms"]
        print(f"{name:<13}  {_digits(time)} ms  {figures[f'{key}_images_per_second']:>10,.0f} images/s")
    print(f"{'one image':<13}  {_digits(figures['one_image_ms'])} ms")


def _digits(time: float) -> str:
    """Four digits that count, aligned."""
    places = max(0, 3 - math.floor(math.log10(max(time, 1e-6))))
    return f"{time:>10.{min(places, 4)}f}"
