"""AlexNet."""

import numpy as np

from convnet.layers import AdaptiveAvgPool2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU, Sequential

__all__ = ["alexnet"]


def alexnet(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    hidden: int = 4096,
    dropout: float = 0.5,
    rng: int | np.random.Generator | None = None,
) -> Sequential:
    """AlexNet for 224x224 images, in the form for one processor: 61,100,840 parameters.

    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks (NIPS 25);
    the widths are those of Krizhevsky 2014, arXiv:1404.5997, section 5. Weights have torchvision's names
    (``features.0.weight``, ``classifier.6.bias``). Without the local response normalisation of the first paper.

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
    rng : int or numpy.random.Generator, optional
        Where the first weights and the masks of dropout come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 224, 224) to logits (n, classes); other sizes from 63x63 on are taken too.

    Examples
    --------
    >>> alexnet(classes=10, hidden=64, rng=0).output_shape((3, 224, 224))
    (10,)
    """
    rng = np.random.default_rng(rng)
    features = Sequential(
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
