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


NETWORKS = [
    Network("simple_cnn", 100, lambda: convnet.models.simple_cnn(rng=0), (1, 28, 28), 10),
    Network("lenet", 100, lambda: convnet.models.lenet(rng=0), (1, 28, 28), 10),
]


def batch_of(network: Network, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images in [0, 1) and labels."""
    rng = np.random.default_rng(seed)
    x = rng.random((network.batch, *network.input_shape), np.float32)
    return x, rng.integers(0, network.classes, network.batch)


def torch_twin(model: convnet.Sequential) -> object:
    """Build the same model in PyTorch and copy the weights."""
    import torch
    from torch import nn

    twins = {
        convnet.Conv2d: lambda m: nn.Conv2d(
            m.in_channels, m.out_channels, m.kernel_size, m.stride, tuple(side[0] for side in m.padding), bias=True
        ),
        convnet.ReLU: lambda m: nn.ReLU(),
        convnet.MaxPool2d: lambda m: nn.MaxPool2d(m.kernel_size, m.stride),
        convnet.Flatten: lambda m: nn.Flatten(),
        convnet.Dense: lambda m: nn.Linear(m.in_features, m.out_features),
    }
    twin = nn.Sequential(*(twins[type(layer)](layer) for layer in model))
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    return twin
