"""Dropout."""

import numpy as np

from convnet.context import Context
from convnet.functional import dropout
from convnet.layers._checks import as_array, check_dtype
from convnet.layers._layer import Layer, Shape
from convnet.settings import Seed, generator, real

__all__ = ["Dropout"]


class Dropout(Layer):
    """Zero each number with probability ``rate`` in training, and scale the rest by ``1 / (1 - rate)``.

    Inference is the identity: the scaling (inverted dropout) keeps the expected value. Srivastava et al. 2014
    (JMLR 15, 1929-1958), first described in arXiv:1207.0580.

    Parameters
    ----------
    rate : float
        Probability of a zero, in [0, 1).
    rng : int or numpy.random.Generator, optional
        Source of the masks. It advances in every training pass: together with the running statistics of a batch
        normalisation this is the only state that a training pass changes. A copy of the layer draws the same masks.

    Raises
    ------
    SettingError
        If ``rate`` is not a number in [0, 1).

    Notes
    -----
    Saved for backward: the seed of the mask, which `convnet.functional.dropout` draws again from it: no array. Cost: as
    an activation.

    Examples
    --------
    >>> layer = Dropout(0.5, rng=2)
    >>> layer(np.ones((1, 4)))
    array([[1., 1., 1., 1.]])
    >>> layer.forward(np.ones((1, 4)), Context())
    array([[0., 2., 2., 0.]])
    """

    def __init__(self, rate: float = 0.5, *, rng: Seed = None) -> None:
        self.rate = real(rate, "Dropout rate", below=1)
        self.rng = generator(rng, "Dropout")

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return ``x`` itself in inference; in training ``x * mask / (1 - rate)``. Any shape."""
        x = as_array(x)
        check_dtype(x, "Dropout")
        if ctx is None:
            return x
        draws = self.rate > 0 and x.size > 0  # a batch without images, as `summary` takes, moves nothing
        ctx.seed = int(self.rng.integers(2**64, dtype=np.uint64)) if draws else 0
        return self._apply(x, ctx.seed)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``dy * mask / (1 - rate)``."""
        return self._apply(dy, ctx.seed) if ctx.wants_dx else None

    def _apply(self, x: np.ndarray, seed: int) -> np.ndarray:
        return dropout(x, self.rate, seed) if self.rate else x

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)

    def _settings(self) -> str:
        return f"{self.rate:g}"
