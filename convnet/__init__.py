"""Convolutional networks on the CPU: train, run and understand them, on NumPy arrays.

>>> import convnet
>>> model = convnet.models.lenet(rng=0)
>>> (x, y), (x_test, y_test) = convnet.data.digits()
>>> trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(0.05, momentum=0.9))
>>> history = trainer.fit((x, y), epochs=1, progress=False)

Everything a training script needs stands here or in `functional`, `optim`, `models`, `data`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from convnet.errors import (
    ConvnetError,
    DataError,
    DivergedError,
    DTypeError,
    SettingError,
    ShapeError,
    UnsupportedError,
    WeightsError,
)

_unusable: ConvnetError | None = None
try:
    from convnet import data, functional, initializers, metrics, models, optim
    from convnet.context import Context
    from convnet.functional import (
        conv2d_algorithm,
        empty_cache,
        get_algorithm,
        get_num_threads,
        memory_stats,
        set_algorithm,
        set_num_threads,
    )
    from convnet.inference import Predictor, fuse
    from convnet.layers import (
        AdaptiveAvgPool2d,
        AdaptiveMaxPool2d,
        Add,
        AvgPool2d,
        BatchNorm2d,
        Concat,
        Conv2d,
        Dense,
        Dropout,
        Flatten,
        GlobalAvgPool2d,
        Graph,
        Identity,
        Layer,
        MaxPool2d,
        Multiply,
        Parallel,
        ReLU,
        Sequential,
    )
    from convnet.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
    from convnet.parameter import Parameter
    from convnet.serialization import load, save
    from convnet.shapes import conv2d_output_size, pool2d_output_size
    from convnet.summary import summary
except ConvnetError as error:  # a bad CONVNET_CPU, say: told on first use, where the command line can catch it
    _unusable = error

if TYPE_CHECKING:
    from convnet.training import History, Trainer, WeightAverage
    from convnet.versions import __version__, show_versions

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm2d",
    "BinaryCrossEntropy",
    "Concat",
    "Context",
    "Conv2d",
    "ConvnetError",
    "DTypeError",
    "DataError",
    "Dense",
    "DivergedError",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Graph",
    "History",
    "Identity",
    "Layer",
    "MaxPool2d",
    "MeanSquaredError",
    "Multiply",
    "Parallel",
    "Parameter",
    "Predictor",
    "ReLU",
    "Sequential",
    "SettingError",
    "ShapeError",
    "SoftmaxCrossEntropy",
    "Trainer",
    "UnsupportedError",
    "WeightAverage",
    "WeightsError",
    "__version__",
    "conv2d_algorithm",
    "conv2d_output_size",
    "data",
    "empty_cache",
    "functional",
    "fuse",
    "get_algorithm",
    "get_num_threads",
    "initializers",
    "load",
    "memory_stats",
    "metrics",
    "models",
    "optim",
    "pool2d_output_size",
    "save",
    "set_algorithm",
    "set_num_threads",
    "show_versions",
    "summary",
]

# Imported when first asked for: tqdm and importlib.metadata, which these need, took two fifths of the time to import
# convnet (48 ms over NumPy with them, 28 ms without; medians of 20 processes), and inference has no use for them.
_LATER = {
    "History": "convnet.training",
    "Trainer": "convnet.training",
    "WeightAverage": "convnet.training",
    "__version__": "convnet.versions",
    "show_versions": "convnet.versions",
}

if not TYPE_CHECKING:  # a type checker would believe that any name is there

    def __getattr__(name):
        if _unusable is not None:
            raise _unusable
        if name not in _LATER:
            raise AttributeError(f"module 'convnet' has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(_LATER[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
