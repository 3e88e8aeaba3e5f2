"""The smallest useful network."""

from convnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["simple_cnn"]


def simple_cnn(classes: int = 10, *, in_channels: int = 1, rng: Seed = None) -> Sequential:
    """One convolution and two dense layers for 28x28 grey images: 101,146 parameters.

    Parameters
    ----------
    classes : int
        Outputs.
    in_channels : int
        Channels of the images.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from.

    Returns
    -------
    Sequential
        From images (n, in_channels, 28, 28) in 0..1 to logits (n, classes).

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> sum(p.size for p in simple_cnn().parameters())
    101146
    """
    check("simple_cnn", classes=classes, in_channels=in_channels)
    rng = generator(rng, "simple_cnn")
    return Sequential(
        Conv2d(in_channels, 8, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dense(1568, 64, rng=rng),
        ReLU(),
        Dense(64, classes, rng=rng),
        input_shape=(in_channels, 28, 28),
    )
