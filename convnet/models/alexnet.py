"""AlexNet."""

import numpy as np

from convnet.layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["alexnet"]


def alexnet(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    hidden: int = 4096,
    dropout: float = 0.5,
    original: bool = False,
    rng: Seed = None,
) -> Sequential:
    """AlexNet for 224x224 images, in the form for one processor: 61,100,840 parameters.

    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks (NIPS 25);
    the widths are those of Krizhevsky 2014, arXiv:1404.5997, section 5. Weights have torchvision's names
    (``features.0.weight``, ``classifier.6.bias``). Without the local response normalisation of the first paper, unless
    ``original``: then the widths are its, the channels of three convolutions are in the two groups that it had on two
    processors, and there are 60,965,224 parameters.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    hidden : int
        Width of the two dense layers before the last.
    dropout : float
        Share of the numbers before the first two dense layers that a training pass zeroes.
    original : bool
        Whether to build the network of 2012. (Weights start by `he_normal` in both, where the paper takes a standard
        deviation of 0.01 and some biases of 1.)
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 63x63 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> alexnet(classes=10, hidden=64, rng=0).output_shape((3, 224, 224))
    (10,)
    """
    check("alexnet", classes=classes, in_channels=in_channels, hidden=hidden, dropout=dropout, original=original)
    rng = generator(rng, "alexnet")
    features = _original_features(in_channels, rng) if original else _features(in_channels, rng)
    classifier = Sequential(
        Dropout(dropout, rng=int(rng.integers(2**63))),
        Dense(256 * 6 * 6, hidden, rng=rng),
        ReLU(),
        Dropout(dropout, rng=int(rng.integers(2**63))),
        Dense(hidden, hidden, rng=rng),
        ReLU(),
        Dense(hidden, classes, rng=rng),
    )
    return Sequential(
        {"features": features, "avgpool": AdaptiveAvgPool2d(6), "flatten": Flatten(), "classifier": classifier},
        input_shape=(in_channels, 224, 224),
    )


def _features(in_channels: int, rng: np.random.Generator) -> Sequential:
    return Sequential(
        Conv2d(in_channels, 64, 11, stride=4, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(64, 192, 5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(192, 384, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(384, 256, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(256, 256, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(3, 2),
    )


def _original_features(in_channels: int, rng: np.random.Generator) -> Sequential:
    """Sections 3.3 to 3.5 of the first paper, whose alpha of 1e-4 is not divided by the size of the window."""
    response = 5, 5e-4, 0.75, 2.0  # size, alpha, beta, k
    return Sequential(
        Conv2d(in_channels, 96, 11, stride=4, padding=2, rng=rng),
        ReLU(),
        LocalResponseNorm(*response),
        MaxPool2d(3, 2),
        Conv2d(96, 256, 5, padding=2, groups=2, rng=rng),
        ReLU(),
        LocalResponseNorm(*response),
        MaxPool2d(3, 2),
        Conv2d(256, 384, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(384, 384, 3, padding=1, groups=2, rng=rng),
        ReLU(),
        Conv2d(384, 256, 3, padding=1, groups=2, rng=rng),
        ReLU(),
        MaxPool2d(3, 2),
    )
