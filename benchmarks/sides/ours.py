"""convnet."""

from __future__ import annotations

import tempfile

import numpy as np
from networks import Network
from shapes import Shape

import convnet
import convnet.onnx
from convnet.functional import conv2d, conv2d_backward
from sides.base import LR, MOMENTUM, Side, UnavailableError, Work, channels_last


class Convnet(Side):
    """`convnet.Trainer`, `convnet.Predictor` and `convnet.functional`."""

    def __init__(self, threads: int) -> None:
        convnet.set_num_threads(threads)
        self.version = convnet.__version__

    def step(self, network: Network, x: np.ndarray, y: np.ndarray) -> Work:
        """One step of the trainer."""
        model, x = network.make(), channels_last(x)
        trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(LR, momentum=MOMENTUM))
        return Work(lambda: trainer.step(x, y), lambda: {name: p.value for name, p in model.named_parameters()})

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Apply the finished model."""
        predict = convnet.Predictor(network.make(), input_shape=network.input_shape, batch_size=len(x))
        x = channels_last(x)
        return Work(lambda: predict(x), lambda: {"outputs": predict(x)})

    def convolution(self, shape: Shape, arrays: tuple[np.ndarray, ...], which: str) -> Work:
        """Call the function under the layer."""
        x, dy = channels_last(arrays[0]), channels_last(arrays[2])
        w, settings = arrays[1], shape.settings
        run = {
            "forward": lambda: conv2d(x, w, **settings),
            "data gradient": lambda: conv2d_backward(dy, x, w, dw=False, db=False, **settings)[0],
            "weight gradient": lambda: conv2d_backward(dy, x, w, dx=False, db=False, **settings)[1],
        }[which]
        return Work(run, lambda: {which: run()})


class ThroughOnnx(Side):
    """`convnet.Predictor` with a network that was written into an ONNX file and read again."""

    def __init__(self, threads: int) -> None:
        convnet.set_num_threads(threads)
        self.version = convnet.__version__

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Apply what comes back."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                convnet.onnx.export(network.make(), f"{folder}/network.onnx", network.input_shape)
            except convnet.errors.UnsupportedError as error:
                raise UnavailableError(str(error)) from error
            model = convnet.onnx.load(f"{folder}/network.onnx")
        predict, x = convnet.Predictor(model, input_shape=network.input_shape, batch_size=len(x)), channels_last(x)
        return Work(lambda: predict(x), lambda: {"outputs": predict(x)})


def algorithm(shape: Shape, which: str) -> str:
    """What convnet chooses for a pass of a convolution."""
    input_shape = shape.batch, shape.channels, shape.side, shape.side
    weight_shape = shape.out, shape.channels // shape.groups, shape.kernel, shape.kernel
    chosen = convnet.conv2d_algorithm(input_shape, weight_shape, **shape.settings)
    return str(getattr(chosen, which.replace(" ", "_")))
