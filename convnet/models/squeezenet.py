"""SqueezeNet."""

import numpy as np

from convnet.layers import (
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    MaxPool2d,
    ReLU,
    Sequential,
)
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["squeezenet"]


def squeezenet(classes: int = 1000, *, in_channels: int = 3, dropout: float = 0.5, rng: Seed = None) -> Sequential:
    """SqueezeNet 1.0 for 224x224 images: 1,248,424 parameters.

    Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, arXiv:1602.07360. Eight fire
    modules: a 1x1 convolution squeezes the map to few channels, then a 1x1 and a 3x3 convolution side by side expand it
    eightfold. A 1x1 convolution gives one map a class, whose mean is the logit. Weights have torchvision's names
    (``features.3.squeeze.weight``).

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    dropout : float
        Share of the numbers before the last convolution that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 21x21 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> sum(p.size for p in squeezenet(rng=0).parameters())
    1248424
    """
    check("squeezenet", classes=classes, in_channels=in_channels, dropout=dropout)
    rng = generator(rng, "squeezenet")
    features = Sequential(
        Conv2d(in_channels, 96, 7, stride=2, rng=rng),
        ReLU(),
        MaxPool2d(3, 2, ceil_mode=True),
        _fire(96, 16, 64, rng),
        _fire(128, 16, 64, rng),
        _fire(128, 32, 128, rng),
        MaxPool2d(3, 2, ceil_mode=True),
        _fire(256, 32, 128, rng),
        _fire(256, 48, 192, rng),
        _fire(384, 48, 192, rng),
        _fire(384, 64, 256, rng),
        MaxPool2d(3, 2, ceil_mode=True),
        _fire(512, 64, 256, rng),
    )
    classifier = Sequential(
        Dropout(dropout, rng=int(rng.integers(2**63))), Conv2d(512, classes, 1, rng=rng), ReLU(), GlobalAvgPool2d()
    )
    return Sequential(
        {"features": features, "classifier": classifier, "flatten": Flatten()}, input_shape=(in_channels, 224, 224)
    )


def _fire(inputs: int, squeezed: int, expanded: int, rng: np.random.Generator) -> Graph:
    """Squeeze the channels, expand them by two kinds of filters, ``expanded`` of each."""
    return Graph(
        {
            "squeeze": (Conv2d(inputs, squeezed, 1, rng=rng), "x"),
            "squeeze_activation": (ReLU(), "squeeze"),
            "expand1x1": (Conv2d(squeezed, expanded, 1, rng=rng), "squeeze_activation"),
            "expand1x1_activation": (ReLU(), "expand1x1"),
            "expand3x3": (Conv2d(squeezed, expanded, 3, padding=1, rng=rng), "squeeze_activation"),
            "expand3x3_activation": (ReLU(), "expand3x3"),
            "concat": (Concat(), ("expand1x1_activation", "expand3x3_activation")),
        }
    )
