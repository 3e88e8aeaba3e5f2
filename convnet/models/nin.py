"""Network in network."""

import numpy as np

from convnet.layers import AvgPool2d, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Layer, MaxPool2d, ReLU, Sequential
from convnet.models._settings import check
from convnet.settings import Seed, generator, integer

__all__ = ["nin"]


def nin(
    classes: int = 10, *, in_channels: int = 3, width: int = 192, dropout: float = 0.5, rng: Seed = None
) -> Sequential:
    """Network in network for 32x32 images: 966,986 parameters.

    Lin, Chen and Yan 2013, Network in network, arXiv:1312.4400. Three blocks, each a convolution followed by two of
    size 1x1: a small dense network that slides over the map. The last block gives one map a class, whose mean is the
    logit. The paper shows the blocks; their widths are those that the authors published for CIFAR-10.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    width : int
        Channels of the larger layers; the 1x1 convolutions of the first block have 5/6 and 1/2 of it.
    dropout : float
        Share of the numbers between the blocks that a training pass zeroes.
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 32, 32) to logits (n, classes); other sizes from 4x4 on are taken too.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> sum(p.size for p in nin(rng=0).parameters())
    966986
    """
    check("nin", classes=classes, in_channels=in_channels, dropout=dropout)
    width, rng = integer(width, "nin width", least=2), generator(rng, "nin")
    return Sequential(
        *_mlpconv(5, (in_channels, width, width * 5 // 6, width // 2), rng),
        MaxPool2d(3, 2, ceil_mode=True),
        Dropout(dropout, rng=int(rng.integers(2**63))),
        *_mlpconv(5, (width // 2, width, width, width), rng),
        AvgPool2d(3, 2, ceil_mode=True),
        Dropout(dropout, rng=int(rng.integers(2**63))),
        *_mlpconv(3, (width, width, width, classes), rng),
        GlobalAvgPool2d(),
        Flatten(),
        input_shape=(in_channels, 32, 32),
    )


def _mlpconv(size: int, channels: tuple[int, int, int, int], rng: np.random.Generator) -> list[Layer]:
    """A convolution and two of size 1x1, each rectified; the four numbers of channels are those between them."""
    layers: list[Layer] = []
    for kernel_size, inputs, outputs in zip((size, 1, 1), channels, channels[1:], strict=False):
        layers += [Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, rng=rng), ReLU()]
    return layers
