"""Convolutional networks on the CPU: train, run and understand them, on NumPy arrays.

>>> import convnet
>>> model = convnet.models.lenet(rng=0)
>>> (x, y), (x_test, y_test) = convnet.data.digits()
>>> trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(0.05, momentum=0.9))
>>> history = trainer.fit((x, y), epochs=1, progress=False)

Everything a training script needs stands here or in `functional`, `optim`, `models`, `data`, `metrics`; `plot` and
`explain` show what came out.
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
    from convnet import data, functional, initializers, models, optim
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
        ELU,
        GELU,
        AdaptiveAvgPool2d,
        AdaptiveMaxPool2d,
        Add,
        AuxiliaryHead,
        AvgPool2d,
        BatchNorm2d,
        Concat,
        Conv2d,
        ConvTranspose2d,
        Dense,
        Dropout,
        Flatten,
        Frozen,
        GlobalAvgPool2d,
        Graph,
        GroupNorm,
        HardSigmoid,
        HardSwish,
        Identity,
        Layer,
        LeakyReLU,
        LocalResponseNorm,
        MaxPool2d,
        Multiply,
        Pad2d,
        PadChannels,
        Parallel,
        PReLU,
        ReLU,
        ReLU6,
        Sequential,
        Sigmoid,
        SiLU,
        Softmax,
        Tanh,
        Upsample2d,
        freeze,
    )
    from convnet.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
    from convnet.parameter import Parameter
    from convnet.serialization import load, save
    from convnet.shapes import conv2d_output_size, pool2d_output_size
    from convnet.summary import summary
    from convnet.upsampling import conv_transpose2d_output_size
except ConvnetError as error:  # a bad CONVNET_CPU, say: told on first use, where the command line can catch it
    _unusable = error

if TYPE_CHECKING:
    from convnet import explain, metrics, plot
    from convnet.training import History, Trainer, WeightAverage
    from convnet.versions import __version__, show_versions

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AuxiliaryHead",
    "AvgPool2d",
    "BatchNorm2d",
    "BinaryCrossEntropy",
    "Concat",
    "Context",
    "Conv2d",
    "ConvTranspose2d",
    "ConvnetError",
    "DTypeError",
    "DataError",
    "Dense",
    "DivergedError",
    "Dropout",
    "Flatten",
    "Frozen",
    "GlobalAvgPool2d",
    "Graph",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "History",
    "Identity",
    "Layer",
    "LeakyReLU",
    "LocalResponseNorm",
    "MaxPool2d",
    "MeanSquaredError",
    "Multiply",
    "PReLU",
    "Pad2d",
    "PadChannels",
    "Parallel",
    "Parameter",
    "Predictor",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SettingError",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Trainer",
    "UnsupportedError",
    "Upsample2d",
    "WeightAverage",
    "WeightsError",
    "__version__",
    "conv2d_algorithm",
    "conv2d_output_size",
    "conv_transpose2d_output_size",
    "data",
    "empty_cache",
    "explain",
    "freeze",
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
    "plot",
    "pool2d_output_size",
    "save",
    "set_algorithm",
    "set_num_threads",
    "show_versions",
    "summary",
]

# Imported when first asked for: tqdm and importlib.metadata, which these need, took two fifths of the time to import
# convnet (48 ms over NumPy with them, 28 ms without; medians of 20 processes), and inference has no use for them.
# It has none for metrics and pictures either.
_LATER = {
    "History": "convnet.training",
    "Trainer": "convnet.training",
    "WeightAverage": "convnet.training",
    "__version__": "convnet.versions",
    "explain": "convnet.explain",
    "metrics": "convnet.metrics",
    "plot": "convnet.plot",
    "show_versions": "convnet.versions",
}

if not TYPE_CHECKING:  # a type checker would believe that any name is there

    def __getattr__(name):
        if _unusable is not None:
            raise _unusable
        if name not in _LATER:
            raise AttributeError(f"module 'convnet' has no attribute {name!r}")
        module = import_module(_LATER[name])
        globals()[name] = value = module if module.__name__ == f"convnet.{name}" else getattr(module, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
