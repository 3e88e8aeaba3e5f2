"""Fully connected layer."""

import numpy as np
import numpy.typing as npt

from convnet.context import Context
from convnet.errors import ShapeError
from convnet.functional import dense, dense_backward
from convnet.initializers import lecun_normal, zeros
from convnet.layers._checks import check_features, float_dtype
from convnet.layers._layer import Layer, Shape
from convnet.parameter import Parameter
from convnet.settings import Seed, generator, integer

__all__ = ["Dense"]


class Dense(Layer):
    """Affine map of each row: ``y = x @ weight.T + bias``.

    Several with activations between them: Rumelhart, Hinton and Williams 1986, Learning representations by
    back-propagating errors (Nature 323, 533-536).

    Parameters
    ----------
    in_features, out_features : int
        Length of a row of ``x`` and of ``y``.
    bias : bool
        Whether to add one number an output.
    rng : int or numpy.random.Generator, optional
        Where the first weights come from: `lecun_normal`, which gives logits the variance of their inputs, as no
        rectifier follows the last dense layer; biases start at zero.
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,), or None

    Raises
    ------
    SettingError
        If a number of features is not a positive integer.

    Notes
    -----
    Saved for backward: ``x`` itself, no copy. Cost: ``in_features * out_features`` multiply-adds a row forwards, twice
    that backwards.

    Examples
    --------
    >>> layer = Dense(3, 2, rng=0)
    >>> layer(np.zeros((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_features = integer(in_features, "Dense in_features")
        self.out_features = integer(out_features, "Dense out_features")
        kind = float_dtype(dtype, "Dense")
        self.weight = Parameter(lecun_normal((self.out_features, self.in_features), generator(rng, "Dense"), kind))
        self.bias = Parameter(zeros((self.out_features,), kind)) if bias else None

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Map ``x`` (n, in_features) to (n, out_features)."""
        x = check_features(x, "Dense", self.in_features, self.weight.dtype)
        if ctx is not None:
            ctx.x = x
        return dense(x, self.weight.value, None if self.bias is None else self.bias.value)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into ``weight.grad`` and ``bias.grad``; return dx (n, in_features), or None if nobody wants it."""
        db = False if self.bias is None else self.bias.grad
        dx, _, _ = dense_backward(dy, ctx.x, self.weight.value, dx=ctx.wants_dx, dw=self.weight.grad, db=db)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_features,) -> (out_features,)."""
        if tuple(input_shape) != (self.in_features,):
            raise ShapeError(f"Dense: expected an input of shape ({self.in_features},), got {tuple(input_shape)}")
        return (self.out_features,)

    def multiply_adds(self, input_shape: Shape) -> int:
        """The number of weights."""
        return self.weight.size

    def _settings(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias else ", bias=False")
