"""GoogLeNet."""

from functools import partial

import numpy as np

from convnet.layers import (
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    Concat,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
    Parallel,
    ReLU,
    Sequential,
)
from convnet.models._convolution import normalized
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["googlenet"]

# Channels of the Inception modules, table 1 of arXiv:1409.4842: the 1x1 branch; reduction and convolution of the 3x3
# branch and of the 5x5 branch; the pooling branch.
_MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
# Size of the max pool of stride 2 behind a module.
_POOLS = {"3b": ("maxpool3", 3), "4e": ("maxpool4", 2)}
_HEADS = {"4a": "aux1", "4d": "aux2"}

_normalized = partial(normalized, eps=0.001, names=("conv", "bn", "relu"))


def googlenet(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    auxiliary: bool = False,
    dropout: float = 0.2,
    auxiliary_dropout: float = 0.7,
    rng: Seed = None,
) -> Sequential:
    """GoogLeNet for 224x224 images: 6,624,904 parameters, and 13,004,888 with its two auxiliary heads.

    Szegedy et al. 2014, Going deeper with convolutions, arXiv:1409.4842. Nine Inception modules: four branches of
    different filters side by side, whose maps are stacked; 1x1 convolutions reduce the channels before the larger
    filters. As in torchvision, whose names the weights have (``inception3a.branch2.0.conv.weight``), batch
    normalisation follows each convolution, and the branch of the 5x5 filters has 3x3 ones.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    auxiliary : bool
        Whether two heads in the middle train with a loss of weight 0.3 each, see `AuxiliaryHead`. They need images from
        63x63 on; inference does without them, from 15x15 on.
    dropout, auxiliary_dropout : float
        Share of the numbers before the last dense layer, of the network and of the heads, that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from: convolutions of variance ``2 / fan_out``
        (arXiv:1502.01852), dense layers of ``1 / fan_in``.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 15x15 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> [sum(p.size for p in googlenet(auxiliary=heads, rng=0).parameters()) for heads in (False, True)]
    [6624904, 13004888]
    """
    check("googlenet", classes=classes, in_channels=in_channels, auxiliary=auxiliary)
    check("googlenet", dropout=dropout, auxiliary_dropout=auxiliary_dropout)
    rng = generator(rng, "googlenet")
    layers: dict[str, Layer] = {
        "conv1": _normalized(in_channels, 64, 7, 2, rng=rng),
        "maxpool1": MaxPool2d(3, 2, ceil_mode=True),
        "conv2": _normalized(64, 64, 1, rng=rng),
        "conv3": _normalized(64, 192, 3, rng=rng),
        "maxpool2": MaxPool2d(3, 2, ceil_mode=True),
    }
    channels = 192
    for name, widths in _MODULES.items():
        layers[f"inception{name}"] = _inception(channels, *widths, rng)
        channels = widths[0] + widths[1][1] + widths[2][1] + widths[3]
        if auxiliary and name in _HEADS:
            layers[_HEADS[name]] = AuxiliaryHead(_head(channels, classes, auxiliary_dropout, rng), 0.3, least_size=4)
        if name in _POOLS:
            pool, size = _POOLS[name]
            layers[pool] = MaxPool2d(size, 2, ceil_mode=True)
    layers |= {"avgpool": GlobalAvgPool2d(), "flatten": Flatten()}
    layers["dropout"] = Dropout(dropout, rng=int(rng.integers(2**63)))
    layers["fc"] = Dense(channels, classes, rng=rng)
    return Sequential(layers, input_shape=(in_channels, 224, 224))


def _inception(
    inputs: int, plain: int, three: tuple[int, int], five: tuple[int, int], pooled: int, rng: np.random.Generator
) -> Parallel:
    """Four kinds of filters side by side."""
    branches = {
        "branch1": _normalized(inputs, plain, 1, rng=rng),
        "branch2": Sequential(_normalized(inputs, three[0], 1, rng=rng), _normalized(*three, 3, rng=rng)),
        "branch3": Sequential(_normalized(inputs, five[0], 1, rng=rng), _normalized(*five, 3, rng=rng)),
        "branch4": Sequential(MaxPool2d(3, 1, 1), _normalized(inputs, pooled, 1, rng=rng)),
    }
    return Parallel(branches, merge=Concat())


def _head(inputs: int, classes: int, dropout: float, rng: np.random.Generator) -> Sequential:
    """A classifier of maps from 4x4 on."""
    return Sequential(
        {
            "avgpool": AdaptiveAvgPool2d(4),
            "conv": _normalized(inputs, 128, 1, rng=rng),
            "flatten": Flatten(),
            "fc1": Dense(128 * 4 * 4, 1024, rng=rng),
            "relu": ReLU(),
            "dropout": Dropout(dropout, rng=int(rng.integers(2**63))),
            "fc2": Dense(1024, classes, rng=rng),
        }
    )
