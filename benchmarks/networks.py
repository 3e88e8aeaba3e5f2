"""The networks that the benchmarks train, each built twice: in convnet and, with the same weights, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import convnet


class Network(NamedTuple):
    """One row of the comparison."""

    name: str
    batch: int
    make: Callable[[], convnet.Sequential]
    input_shape: tuple[int, int, int]
    classes: int


def cifar_cnn(classes: int = 10, *, rng: int | np.random.Generator | None = None) -> convnet.Sequential:
    """Five 3x3 convolutions with batch normalisation and a dense layer, for 32x32 colour images as of CIFAR-10."""
    rng = np.random.default_rng(rng)
    layers: list[convnet.Layer] = []
    channels = 3
    for width, last in [(32, False), (32, True), (64, False), (64, True), (128, True)]:
        convolution = convnet.Conv2d(channels, width, 3, padding=1, bias=False, rng=rng)
        layers += [convolution, convnet.BatchNorm2d(width), convnet.ReLU(), *[convnet.MaxPool2d(2)] * last]
        channels = width
    layers += [convnet.Flatten(), convnet.Dense(128 * 4 * 4, classes, rng=rng)]
    return convnet.Sequential(*layers, input_shape=(3, 32, 32))


# Without dropout: no two libraries draw the same masks.
NETWORKS = [
    Network("simple_cnn", 100, lambda: convnet.models.simple_cnn(rng=0), (1, 28, 28), 10),
    Network("lenet", 100, lambda: convnet.models.lenet(rng=0), (1, 28, 28), 10),
    Network("cifar_cnn", 64, lambda: cifar_cnn(rng=0), (3, 32, 32), 10),
    Network("alexnet", 16, lambda: convnet.models.alexnet(dropout=0, rng=0), (3, 224, 224), 1000),
    Network("vgg16", 4, lambda: convnet.models.vgg16(dropout=0, rng=0), (3, 224, 224), 1000),
    Network("resnet18", 8, lambda: convnet.models.resnet18(rng=0), (3, 224, 224), 1000),
]


def batch_of(network: Network, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images in [0, 1) and labels."""
    rng = np.random.default_rng(seed)
    x = rng.random((network.batch, *network.input_shape), np.float32)
    return x, rng.integers(0, network.classes, network.batch)


def torch_twin(model: convnet.Layer) -> object:
    """Build the same model in PyTorch and copy the weights."""
    import torch
    from twins import twin

    module = twin(model)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    return module
