"""LeNet-5."""

from convnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential
from convnet.models._settings import check
from convnet.settings import Seed, generator

__all__ = ["lenet"]


def lenet(classes: int = 10, *, in_channels: int = 1, rng: Seed = None) -> Sequential:
    """LeNet-5 for 28x28 grey images, with ReLU and max pooling: 44,426 parameters.

    LeCun et al. 1998, Gradient-based learning applied to document recognition, doi:10.1109/5.726791. The original has
    trained subsampling, a partly connected second convolution and radial basis outputs.

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
    >>> sum(p.size for p in lenet().parameters())
    44426
    """
    check("lenet", classes=classes, in_channels=in_channels)
    rng = generator(rng, "lenet")
    return Sequential(
        Conv2d(in_channels, 6, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(6, 16, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dense(256, 120, rng=rng),
        ReLU(),
        Dense(120, 84, rng=rng),
        ReLU(),
        Dense(84, classes, rng=rng),
        input_shape=(in_channels, 28, 28),
    )
