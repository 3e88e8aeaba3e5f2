"""The MobileNets: a convolution split into a depthwise one and one of size 1x1."""

import numpy as np

from convnet.layers import (
    Add,
    BatchNorm2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    Layer,
    ReLU6,
    Sequential,
)
from convnet.models._convolution import convolution, normalized, round_channels
from convnet.models._settings import check, multiplier
from convnet.settings import Seed, generator

__all__ = ["mobilenet_v1", "mobilenet_v2"]

# Channels and stride of each depthwise separable convolution, table 1 of arXiv:1704.04861.
_SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip

# Expansion, channels, repetitions and first stride, table 2 of arXiv:1801.04381.
_INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v1(classes: int = 1000, *, in_channels: int = 3, width: float = 1.0, rng: Seed = None) -> Sequential:
    """MobileNet for 224x224 images: 4,231,976 parameters.

    Howard et al. 2017, MobileNets: efficient convolutional neural networks for mobile vision applications,
    arXiv:1704.04861. After a first convolution thirteen depthwise 3x3 convolutions, each followed by a 1x1 one that
    mixes the channels; batch normalisation and ReLU after all of them.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    width : float
        Factor of all numbers of channels, which are rounded to multiples of 8; the paper has 1, 0.75, 0.5 and 0.25.
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
    >>> sum(p.size for p in mobilenet_v1(width=0.25, rng=0).parameters())
    470072
    """
    check("mobilenet_v1", classes=classes, in_channels=in_channels)
    width, rng = multiplier(width, "mobilenet_v1"), generator(rng, "mobilenet_v1")
    channels = round_channels(32 * width)
    features = [normalized(in_channels, channels, 3, 2, rng=rng)]
    for plain, stride in _SEPARABLE:
        outputs = round_channels(plain * width)
        depthwise = normalized(channels, channels, 3, stride, groups=channels, rng=rng)
        features.append(Sequential(*depthwise, *normalized(channels, outputs, 1, rng=rng)))
        channels = outputs
    return _classified(features, Dense(channels, classes, rng=rng), in_channels)


def mobilenet_v2(
    classes: int = 1000, *, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2, rng: Seed = None
) -> Sequential:
    """MobileNetV2 for 224x224 images: 3,504,872 parameters.

    Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks, arXiv:1801.04381. Seventeen blocks: a
    1x1 convolution widens the map six times, a depthwise 3x3 one filters it, a 1x1 one narrows it again, without an
    activation; where shapes allow it the narrow maps are added. ReLU6 elsewhere. Weights have torchvision's names
    (``features.1.conv.0.0.weight``).

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    width : float
        Factor of the numbers of channels, which are rounded to multiples of 8; the last convolution keeps its 1280
        below 1, as in the paper.
    dropout : float
        Share of the numbers before the dense layer that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        As for `mobilenet_v1`, and the masks of dropout.

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
    >>> sum(p.size for p in mobilenet_v2(width=0.5, rng=0).parameters())
    1968680
    """
    check("mobilenet_v2", classes=classes, in_channels=in_channels, dropout=dropout)
    width, rng = multiplier(width, "mobilenet_v2"), generator(rng, "mobilenet_v2")
    channels = round_channels(32 * width)
    features: list[Layer] = [normalized(in_channels, channels, 3, 2, activation=ReLU6, rng=rng)]
    for expansion, plain, repetitions, first_stride in _INVERTED:
        outputs = round_channels(plain * width)
        for i in range(repetitions):
            features.append(_inverted_residual(channels, outputs, expansion, 1 if i else first_stride, rng))
            channels = outputs
    last = round_channels(1280 * max(1.0, width))
    features.append(normalized(channels, last, 1, activation=ReLU6, rng=rng))
    mask = int(rng.integers(2**63))
    return _classified(features, Sequential(Dropout(dropout, rng=mask), Dense(last, classes, rng=rng)), in_channels)


def _inverted_residual(inputs: int, outputs: int, expansion: int, stride: int, rng: np.random.Generator) -> Graph:
    """Widen, filter, narrow; and add what entered where that is possible."""
    wide = inputs * expansion
    layers: list[Layer] = [normalized(inputs, wide, 1, activation=ReLU6, rng=rng)] if expansion > 1 else []
    layers.append(normalized(wide, wide, 3, stride, groups=wide, activation=ReLU6, rng=rng))
    layers += [convolution(wide, outputs, 1, bias=False, rng=rng), BatchNorm2d(outputs)]
    if stride == 1 and inputs == outputs:
        return Graph({"conv": (Sequential(*layers), "x"), "add": (Add(), ("conv", "x"))})
    return Sequential({"conv": Sequential(*layers)})


def _classified(features: list[Layer] | list[Sequential], classifier: Layer, in_channels: int) -> Sequential:
    """Features, their mean, and a classifier."""
    named = {"features": Sequential(*features), "pool": GlobalAvgPool2d(), "flatten": Flatten()}
    return Sequential({**named, "classifier": classifier}, input_shape=(in_channels, 224, 224))
