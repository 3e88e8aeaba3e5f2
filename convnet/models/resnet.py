"""Residual networks, for large images and for those of CIFAR."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from convnet.errors import SettingError
from convnet.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    Layer,
    MaxPool2d,
    PadChannels,
    ReLU,
    Sequential,
)
from convnet.models._convolution import convolution
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["resnet18", "resnet20", "resnet34", "resnet50", "resnet56"]

Nodes = dict[str, tuple[Layer, str]]


def resnet18(classes: int = 1000, *, in_channels: int = 3, width: int = 64, rng: Seed = None) -> Sequential:
    """ResNet-18 for 224x224 images: 11,689,512 parameters.

    He, Zhang, Ren and Sun 2015, Deep residual learning for image recognition, arXiv:1512.03385. Eight blocks of two 3x3
    convolutions with batch normalisation, each added to what entered it. Weights have torchvision's names
    (``layer2.0.downsample.0.weight``).

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    width : int
        Channels of the first blocks; the others have 2, 4 and 8 times as many.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from: convolutions of variance ``2 / fan_out`` (arXiv:1502.01852), the dense layer
        of ``1 / fan_in``.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> model = resnet18(classes=10, width=8, rng=0)
    >>> model.output_shape((3, 224, 224))
    (10,)
    >>> [name for name in model.state_dict() if name.startswith("layer2.0.downsample.0")]
    ['layer2.0.downsample.0.weight']
    """
    return _resnet("resnet18", _basic_block, (2, 2, 2, 2), classes, in_channels, width, rng)


def resnet34(classes: int = 1000, *, in_channels: int = 3, width: int = 64, rng: Seed = None) -> Sequential:
    """ResNet-34 for 224x224 images, `resnet18` with sixteen blocks: 21,797,672 parameters.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    width : int
        Channels of the first blocks; the others have 2, 4 and 8 times as many.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """
    return _resnet("resnet34", _basic_block, (3, 4, 6, 3), classes, in_channels, width, rng)


def resnet50(classes: int = 1000, *, in_channels: int = 3, width: int = 64, rng: Seed = None) -> Sequential:
    """ResNet-50 for 224x224 images: 25,557,032 parameters.

    As `resnet18`, with sixteen blocks of a 1x1, a 3x3 and a 1x1 convolution, the last of four times the channels. The
    stride lies in the 3x3 convolution, as in torchvision; the paper has it in the 1x1 before.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    width : int
        Channels of the first blocks; the others have 2, 4 and 8 times as many.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """
    return _resnet("resnet50", _bottleneck, (3, 4, 6, 3), classes, in_channels, width, rng)


def resnet20(
    classes: int = 10,
    *,
    in_channels: int = 3,
    width: int = 16,
    shortcut: Literal["A", "B"] = "A",
    rng: Seed = None,
) -> Sequential:
    """ResNet-20 for the 32x32 images of CIFAR: 269,722 parameters, or 272,474 with shortcut B.

    He, Zhang, Ren and Sun 2015, arXiv:1512.03385, section 4.2. A 3x3 convolution and nine blocks of two, in three
    groups: of ``width`` channels at full size, then each time of twice the channels at half the size. Names of weights
    as in `resnet18`, but ``linear`` for the dense layer and ``shortcut`` for the shortcuts that have weights.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    width : int
        Channels of the first group.
    shortcut : {"A", "B"}
        What is added where a block halves the map: its every second pixel, with channels of zeros on both sides (A, the
        paper's choice for CIFAR), or a 1x1 convolution of stride 2 with batch normalisation (B).
    rng : int or numpy.random.Generator, optional
        As for `resnet18`.

    Returns
    -------
    Sequential
        From images (n, in_channels, 32, 32) to logits (n, classes); other sizes are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range, or there is no such shortcut.

    Examples
    --------
    >>> [sum(p.size for p in resnet20(shortcut=kind, rng=0).parameters()) for kind in "AB"]
    [269722, 272474]
    """
    return _resnet_for_cifar("resnet20", 3, classes, in_channels, width, shortcut, rng)


def resnet56(
    classes: int = 10,
    *,
    in_channels: int = 3,
    width: int = 16,
    shortcut: Literal["A", "B"] = "A",
    rng: Seed = None,
) -> Sequential:
    """ResNet-56 for 32x32 images, `resnet20` with 27 blocks: 853,018 parameters, or 855,770 with shortcut B.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    width : int
        Channels of the first group.
    shortcut : {"A", "B"}
        What is added where a block halves the map: its every second pixel (A) or a 1x1 convolution of stride 2 (B).
    rng : int or numpy.random.Generator, optional
        Where the first weights come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 32, 32) to logits (n, classes); other sizes are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range, or there is no such shortcut.
    """
    return _resnet_for_cifar("resnet56", 9, classes, in_channels, width, shortcut, rng)


def _resnet(
    name: str,
    block: Callable[..., tuple[Graph, int]],
    depths: tuple[int, ...],
    classes: int,
    in_channels: int,
    width: int,
    seed: Seed,
) -> Sequential:
    check(name, classes=classes, in_channels=in_channels, width=width)
    rng = generator(seed, name)
    layers: dict[str, Layer] = {
        "conv1": convolution(in_channels, width, 7, 2, bias=False, rng=rng),
        "bn1": BatchNorm2d(width),
        "relu": ReLU(),
        "maxpool": MaxPool2d(3, 2, 1),
    }
    channels = width
    for i, depth in enumerate(depths):
        blocks = []
        for j in range(depth):
            made, channels = block(channels, width << i, 2 if i > 0 and j == 0 else 1, rng)
            blocks.append(made)
        layers[f"layer{i + 1}"] = Sequential(*blocks)
    layers |= {"avgpool": GlobalAvgPool2d(), "flatten": Flatten(), "fc": Dense(channels, classes, rng=rng)}
    return Sequential(layers, input_shape=(in_channels, 224, 224))


def _resnet_for_cifar(
    name: str, depth: int, classes: int, in_channels: int, width: int, shortcut: str, seed: Seed
) -> Sequential:
    check(name, classes=classes, in_channels=in_channels, width=width)
    if shortcut not in ("A", "B"):
        raise SettingError(f"{name} shortcut: expected 'A' or 'B', got {shortcut!r}")
    rng = generator(seed, name)
    layers: dict[str, Layer] = {
        "conv1": convolution(in_channels, width, 3, bias=False, rng=rng),
        "bn1": BatchNorm2d(width),
        "relu": ReLU(),
    }
    channels = width
    for i in range(3):
        blocks = []
        for j in range(depth):
            outputs, stride = width << i, 2 if i > 0 and j == 0 else 1
            nodes = _two_convolutions(channels, outputs, stride, rng)
            if stride > 1 and shortcut == "A":
                beside = (outputs - channels) // 2
                # a window of one pixel, moved by two: every second one
                nodes["shortcut"] = (Sequential(AvgPool2d(1, 2), PadChannels(beside, outputs - channels - beside)), "x")
            elif stride > 1:
                nodes["shortcut"] = (_projection(channels, outputs, stride, rng), "x")
            blocks.append(_added(nodes, "bn2", "shortcut" if stride > 1 else "x"))
            channels = outputs
        layers[f"layer{i + 1}"] = Sequential(*blocks)
    layers |= {"avgpool": GlobalAvgPool2d(), "flatten": Flatten(), "linear": Dense(channels, classes, rng=rng)}
    return Sequential(layers, input_shape=(in_channels, 32, 32))


def _basic_block(inputs: int, width: int, stride: int, rng: np.random.Generator) -> tuple[Graph, int]:
    """Two 3x3 convolutions; the block and its number of channels."""
    return _residual(_two_convolutions(inputs, width, stride, rng), "bn2", inputs, width, stride, rng), width


def _two_convolutions(inputs: int, width: int, stride: int, rng: np.random.Generator) -> Nodes:
    return {
        "conv1": (convolution(inputs, width, 3, stride, bias=False, rng=rng), "x"),
        "bn1": (BatchNorm2d(width), "conv1"),
        "relu1": (ReLU(), "bn1"),
        "conv2": (convolution(width, width, 3, bias=False, rng=rng), "relu1"),
        "bn2": (BatchNorm2d(width), "conv2"),
    }


def _bottleneck(inputs: int, width: int, stride: int, rng: np.random.Generator) -> tuple[Graph, int]:
    """1x1, 3x3 and 1x1 convolutions; the block and its number of channels."""
    outputs = 4 * width
    nodes: Nodes = {
        "conv1": (convolution(inputs, width, 1, bias=False, rng=rng), "x"),
        "bn1": (BatchNorm2d(width), "conv1"),
        "relu1": (ReLU(), "bn1"),
        "conv2": (convolution(width, width, 3, stride, bias=False, rng=rng), "relu1"),
        "bn2": (BatchNorm2d(width), "conv2"),
        "relu2": (ReLU(), "bn2"),
        "conv3": (convolution(width, outputs, 1, bias=False, rng=rng), "relu2"),
        "bn3": (BatchNorm2d(outputs), "conv3"),
    }
    return _residual(nodes, "bn3", inputs, outputs, stride, rng), outputs


def _residual(nodes: Nodes, last: str, inputs: int, outputs: int, stride: int, rng: np.random.Generator) -> Graph:
    """Add what enters the block, projected where its shape differs from that of the last node, and rectify."""
    if stride == 1 and inputs == outputs:
        return _added(nodes, last, "x")
    return _added({**nodes, "downsample": (_projection(inputs, outputs, stride, rng), "x")}, last, "downsample")


def _projection(inputs: int, outputs: int, stride: int, rng: np.random.Generator) -> Sequential:
    return Sequential(convolution(inputs, outputs, 1, stride, bias=False, rng=rng), BatchNorm2d(outputs))


def _added(nodes: Nodes, last: str, shortcut: str) -> Graph:
    return Graph({**nodes, "add": (Add(), (last, shortcut)), "relu": (ReLU(), "add")})
