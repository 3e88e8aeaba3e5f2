"""The VGG networks."""

from collections.abc import Iterator

import numpy as np

from convnet.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    ReLU,
    Sequential,
)
from convnet.models._convolution import convolution
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["vgg11", "vgg13", "vgg16", "vgg19"]

_CHANNELS = (64, 128, 256, 512, 512)


def vgg16(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    hidden: int = 4096,
    dropout: float = 0.5,
    rng: Seed = None,
) -> Sequential:
    """VGG-16 for 224x224 images, configuration D of the paper: 138,357,544 parameters.

    Simonyan and Zisserman 2014, Very deep convolutional networks for large-scale image recognition, arXiv:1409.1556.
    Five groups of 3x3 convolutions, each followed by a max pool that halves the map, and three dense layers. Weights
    have torchvision's names (``features.0.weight``, ``classifier.6.bias``).

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    batch_norm : bool
        Whether batch normalisation follows each convolution, as in torchvision's ``vgg16_bn``; 8,448 parameters more.
        Without it, training from random weights is slow to start.
    hidden : int
        Width of the two dense layers before the last, which hold most of the parameters.
    dropout : float
        Share of the numbers between the dense layers that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from: `Conv2d` weights of variance ``2 / fan_out``
        (arXiv:1502.01852), dense ones of ``1 / fan_in``.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 32x32 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> vgg16(classes=10, hidden=64, rng=0).output_shape((3, 224, 224))
    (10,)
    """
    return _vgg("vgg16", (2, 2, 3, 3, 3), classes, in_channels, batch_norm, hidden, dropout, rng)


def vgg11(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    hidden: int = 4096,
    dropout: float = 0.5,
    rng: Seed = None,
) -> Sequential:
    """VGG-11 for 224x224 images, configuration A of the paper of `vgg16`: 132,863,336 parameters.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    batch_norm : bool
        Whether batch normalisation follows each convolution.
    hidden : int
        Width of the two dense layers before the last.
    dropout : float
        Share of the numbers between the dense layers that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 32x32 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """
    return _vgg("vgg11", (1, 1, 2, 2, 2), classes, in_channels, batch_norm, hidden, dropout, rng)


def vgg13(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    hidden: int = 4096,
    dropout: float = 0.5,
    rng: Seed = None,
) -> Sequential:
    """VGG-13 for 224x224 images, configuration B of the paper of `vgg16`: 133,047,848 parameters.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    batch_norm : bool
        Whether batch normalisation follows each convolution.
    hidden : int
        Width of the two dense layers before the last.
    dropout : float
        Share of the numbers between the dense layers that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 32x32 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """
    return _vgg("vgg13", (2, 2, 2, 2, 2), classes, in_channels, batch_norm, hidden, dropout, rng)


def vgg19(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    hidden: int = 4096,
    dropout: float = 0.5,
    rng: Seed = None,
) -> Sequential:
    """VGG-19 for 224x224 images, configuration E of the paper of `vgg16`: 143,667,240 parameters.

    Parameters
    ----------
    classes, in_channels : int
        Outputs, and channels of the images.
    batch_norm : bool
        Whether batch normalisation follows each convolution.
    hidden : int
        Width of the two dense layers before the last.
    dropout : float
        Share of the numbers between the dense layers that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 32x32 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """
    return _vgg("vgg19", (2, 2, 4, 4, 4), classes, in_channels, batch_norm, hidden, dropout, rng)


def _vgg(
    name: str,
    depths: tuple[int, ...],
    classes: int,
    in_channels: int,
    batch_norm: bool,
    hidden: int,
    dropout: float,
    seed: Seed,
) -> Sequential:
    check(name, classes=classes, in_channels=in_channels, batch_norm=batch_norm, hidden=hidden, dropout=dropout)
    rng = generator(seed, name)
    features = Sequential(*_features(depths, in_channels, batch_norm, rng))
    classifier = Sequential(
        Dense(512 * 7 * 7, hidden, rng=rng),
        ReLU(),
        Dropout(dropout, rng=int(rng.integers(2**63))),
        Dense(hidden, hidden, rng=rng),
        ReLU(),
        Dropout(dropout, rng=int(rng.integers(2**63))),
        Dense(hidden, classes, rng=rng),
    )
    return Sequential(
        {"features": features, "avgpool": AdaptiveAvgPool2d(7), "flatten": Flatten(), "classifier": classifier},
        input_shape=(in_channels, 224, 224),
    )


def _features(depths: tuple[int, ...], inputs: int, batch_norm: bool, rng: np.random.Generator) -> Iterator[Layer]:
    for depth, outputs in zip(depths, _CHANNELS, strict=True):
        for _ in range(depth):
            yield convolution(inputs, outputs, 3, bias=True, rng=rng)
            if batch_norm:
                yield BatchNorm2d(outputs)
            yield ReLU()
            inputs = outputs
        yield MaxPool2d(2)
