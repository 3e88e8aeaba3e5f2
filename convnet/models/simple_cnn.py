"""The smallest useful network."""

import numpy as np

from convnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential

__all__ = ["simple_cnn"]


def simple_cnn(classes: int = 10, *, rng: int | np.random.Generator | None = None) -> Sequential:
    """One convolution and two dense layers for 28x28 grey images: 101,146 parameters.

    Parameters
    ----------
    classes : int
        Outputs.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from.

    Returns
    -------
    Sequential
        From images (n, 1, 28, 28) in 0..1 to logits (n, classes).

    Examples
    --------
    >>> sum(p.size for p in simple_cnn().parameters())
    101146
    """
    rng = np.random.default_rng(rng)
    return Sequential(
        Conv2d(1, 8, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dense(1568, 64, rng=rng),
        ReLU(),
        Dense(64, classes, rng=rng),
        input_shape=(1, 28, 28),
    )
