"""Normalisation."""

import numpy as np
import numpy.typing as npt

from convnet.context import Context
from convnet.errors import SettingError, ShapeError
from convnet.functional import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    batch_norm_relu_pool,
    batch_norm_relu_pool_backward,
    group_norm,
    group_norm_backward,
    local_response_norm,
    local_response_norm_backward,
)
from convnet.layers._checks import check_image_shape, check_images, float_dtype
from convnet.layers._geometry import brief
from convnet.layers._layer import Layer, Shape
from convnet.parameter import Parameter
from convnet.settings import integer, real

__all__ = ["BatchNorm2d", "GroupNorm", "LocalResponseNorm"]


class BatchNorm2d(Layer):
    """Each channel with mean 0 and variance 1 over the batch and the map, then scaled and shifted.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``. Training takes the mean and the (biased) variance of the batch
    and moves the running averages: ``running_mean += momentum * (mean - running_mean)``, and so ``running_var`` with
    the unbiased variance. Inference takes the running averages. Ioffe and Szegedy, arXiv:1502.03167.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float
        Added to the variance.
    momentum : float, optional
        Share of the newest batch in the running averages, from 0 to 1; with None all batches count the same.
    affine : bool
        Whether there are a ``weight`` and a ``bias``, one number a channel each; they start as 1 and 0.
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter or None
    running_mean, running_var : ndarray of shape (num_features,)
        Buffers; they start as 0 and 1.
    num_batches_tracked : ndarray of shape (), int64
        Buffer: how many batches the averages have seen.

    Raises
    ------
    SettingError, DTypeError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: ``x``, and mean and variance of each channel. A training pass changes the buffers, also when
    `backward` is never called; an empty batch changes none, nor does one whose statistics are not finite. Cost: as much
    as three to four copies of ``x`` forward, and five backward.

    Examples
    --------
    >>> layer = BatchNorm2d(2)
    >>> x = np.float32([0, 1, 2, 3]).reshape(1, 2, 1, 2)
    >>> layer.forward(x, Context()).round(2).tolist()
    [[[[-1.0, 1.0]], [[-1.0, 1.0]]]]
    >>> layer.running_mean
    array([0.05, 0.25], dtype=float32)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.num_features = integer(num_features, "BatchNorm2d num_features")
        self.eps = real(eps, "BatchNorm2d eps")
        self.momentum = None if momentum is None else real(momentum, "BatchNorm2d momentum", most=1)
        kind = float_dtype(dtype, "BatchNorm2d")
        self.weight = Parameter(np.ones(self.num_features, kind)) if affine else None
        self.bias = Parameter(np.zeros(self.num_features, kind)) if affine else None
        self.running_mean = np.zeros(self.num_features, kind)
        self.running_var = np.ones(self.num_features, kind)
        self.num_batches_tracked = np.zeros((), np.int64)

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Normalise ``x`` (n, c, h, w); returns (n, c, h, w), in memory channels-last.

        Raises
        ------
        ShapeError, DTypeError
            If ``x`` does not fit, or in training has a single value a channel.
        """
        return self._normalize(x, ctx, relu=False)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of weight and bias; return dx (n, c, h, w), or None if nobody wants it."""
        dx, _ = self._normalize_backward(dy, ctx, relu=False)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return check_image_shape(input_shape, "BatchNorm2d", self.num_features)

    def check_training(self, images: int, input_shape: Shape) -> None:
        """Demand more than one value a channel, or none."""
        _, h, w = input_shape
        if images * h * w == 1:
            raise ShapeError(
                "BatchNorm2d: expected more than one value a channel in training, "
                f"got x of shape {(images, *input_shape)}; take larger batches or images"
            )

    def _normalize(
        self,
        x: np.ndarray,
        ctx: Context | None,
        relu: bool,
        ceiling: float | None = None,
        add: np.ndarray | None = None,
    ) -> np.ndarray:
        x, (w, b) = self._checked(x, ctx), self._values()
        if ctx is None:
            given = self.running_mean, self.running_var
            return batch_norm_inference(x, *given, w, b, eps=self.eps, relu=relu, ceiling=ceiling, add=add)
        y, mean, var = batch_norm(x, w, b, eps=self.eps, relu=relu, ceiling=ceiling, add=add)
        self._keep(ctx, x, mean, var)
        return y

    def _normalize_pool(self, x: np.ndarray, ctx: Context | None, pool: tuple[int, int]) -> np.ndarray:
        x, (w, b) = self._checked(x, ctx), self._values()
        given = {"mean": self.running_mean, "var": self.running_var} if ctx is None else {}
        y, codes, mean, var = batch_norm_relu_pool(x, w, b, pool=pool, eps=self.eps, **given)
        if ctx is not None:
            self._keep(ctx, x, mean, var)
            ctx.codes = codes
        return y

    def _checked(self, x: np.ndarray, ctx: Context | None) -> np.ndarray:
        x = check_images(x, "BatchNorm2d", self.num_features, self.running_mean.dtype)
        if ctx is not None:
            self.check_training(len(x), x.shape[1:])
        return x

    def _normalize_backward(
        self,
        dy: np.ndarray,
        ctx: Context,
        relu: bool,
        ceiling: float | None = None,
        output: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the gradients with respect to ``x`` and, given the output, to what was added."""
        dx, _, _, dadd = batch_norm_backward(
            dy,
            ctx.x,
            ctx.mean,
            ctx.var,
            *self._values(),
            eps=self.eps,
            relu=relu,
            ceiling=ceiling,
            output=output,
            dx=ctx.wants_dx,
            dweight=False if self.weight is None else self.weight.grad,
            dbias=False if self.bias is None else self.bias.grad,
        )
        return dx, dadd

    def _pool_backward(self, dy: np.ndarray, ctx: Context, pool: tuple[int, int]) -> np.ndarray | None:
        dx, _, _ = batch_norm_relu_pool_backward(
            dy,
            ctx.codes,
            ctx.x,
            ctx.mean,
            ctx.var,
            self._values()[0],
            pool=pool,
            eps=self.eps,
            dx=ctx.wants_dx,
            dweight=False if self.weight is None else self.weight.grad,
            dbias=False if self.bias is None else self.bias.grad,
        )
        return dx

    def _values(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        return None if self.weight is None else self.weight.value, None if self.bias is None else self.bias.value

    def _keep(self, ctx: Context, x: np.ndarray, mean: np.ndarray, var: np.ndarray) -> None:
        """Save what backward needs, and move the running averages."""
        ctx.x, ctx.mean, ctx.var = x, mean, var
        count = x.size // self.num_features
        if count:
            self._track(mean, var * (count / (count - 1)))

    def _track(self, mean: np.ndarray, var: np.ndarray) -> None:
        """Move the running averages towards the statistics of a batch, unless they are too large or no numbers.

        Averages with a NaN in them would keep it for ever, while the step that brought it is refused.
        """
        if not var.max() <= np.finfo(self.running_var.dtype).max:
            return
        self.num_batches_tracked += 1
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean += share * (mean - self.running_mean)
        self.running_var += share * (var - self.running_var)

    def _settings(self) -> str:
        settings = {"eps": self.eps, "momentum": self.momentum, "affine": self.weight is not None}
        return brief(f"{self.num_features}", settings, {"eps": 1e-5, "momentum": 0.1, "affine": True})


class GroupNorm(Layer):
    """Each group of an image's channels with mean 0 and variance 1 over the map, then scaled and shifted by channel.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, whatever the batch: training and inference are the same, and
    small batches cost no accuracy. Wu and He, arXiv:1803.08494.

    Parameters
    ----------
    num_groups : int
        Number of groups, a divisor of ``num_channels``: 1 normalises whole images (layer normalisation), as many as
        channels each by itself (instance normalisation); the paper takes 32.
    num_channels : int
    eps : float
        Added to the (biased) variance.
    affine : bool
        Whether there are a ``weight`` and a ``bias``, one number a channel each; they start as 1 and 0.
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter or None

    Raises
    ------
    SettingError, DTypeError
        If a setting is out of range or ``num_groups`` does not divide ``num_channels``.

    Notes
    -----
    Saved for backward: ``x``, and mean and variance of each group of each image. Cost: as much as three to four copies
    of ``x`` forward, and five backward.

    Examples
    --------
    >>> x = np.float32([0, 2, 10, 14]).reshape(1, 4, 1, 1)
    >>> GroupNorm(2, 4)(x).round(2).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    >>> GroupNorm(4, 16, affine=False)
    GroupNorm(4, 16, affine=False)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.num_groups = integer(num_groups, "GroupNorm num_groups")
        self.num_channels = integer(num_channels, "GroupNorm num_channels")
        if self.num_channels % self.num_groups:
            raise SettingError(
                f"GroupNorm num_groups: expected a divisor of num_channels={num_channels}, got {num_groups}"
            )
        self.eps = real(eps, "GroupNorm eps")
        self._dtype = float_dtype(dtype, "GroupNorm")
        self.weight = Parameter(np.ones(self.num_channels, self._dtype)) if affine else None
        self.bias = Parameter(np.zeros(self.num_channels, self._dtype)) if affine else None

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Normalise ``x`` (n, c, h, w); returns (n, c, h, w), in memory channels-last."""
        x = check_images(x, "GroupNorm", self.num_channels, self._dtype)
        w = None if self.weight is None else self.weight.value
        b = None if self.bias is None else self.bias.value
        y, mean, var = group_norm(x, self.num_groups, w, b, eps=self.eps)
        if ctx is not None:
            ctx.x, ctx.mean, ctx.var = x, mean, var
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Add into the gradients of weight and bias; return dx (n, c, h, w), or None if nobody wants it."""
        dx, _, _ = group_norm_backward(
            dy,
            ctx.x,
            ctx.mean,
            ctx.var,
            None if self.weight is None else self.weight.value,
            eps=self.eps,
            dx=ctx.wants_dx,
            dweight=False if self.weight is None else self.weight.grad,
            dbias=False if self.bias is None else self.bias.grad,
        )
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return check_image_shape(input_shape, "GroupNorm", self.num_channels)

    def _settings(self) -> str:
        settings = {"eps": self.eps, "affine": self.weight is not None}
        return brief(f"{self.num_groups}, {self.num_channels}", settings, {"eps": 1e-5, "affine": True})


class LocalResponseNorm(Layer):
    """Each number divided by what the channels around it have at the same pixel.

    ``y[n, c] = x[n, c] / (k + alpha / size * sum of x[n, j] ** 2) ** beta``, the sum over the ``size`` channels j from
    ``c - size // 2`` on, as far as there are such. Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with
    deep convolutional neural networks (NIPS 25), section 3.3, with size 5, alpha 5e-4 (1e-4 there, where it is not
    divided by size), beta 0.75 and k 2.

    Parameters
    ----------
    size : int
        Channels of a window.
    alpha, beta, k : float
        At least 0.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Saved for backward: ``x``. The powers 0.75, 0.5 and 1 cost two roots a number at most; any other calls libm for each
    number, which takes several times as long.

    Examples
    --------
    >>> LocalResponseNorm(3, alpha=3, beta=1)(np.array([1.0, 2, 3]).reshape(1, 3, 1, 1))[0, :, 0, 0]
    array([0.16666667, 0.13333333, 0.21428571])
    >>> LocalResponseNorm(5, k=2)
    LocalResponseNorm(5, k=2.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = integer(size, "LocalResponseNorm size")
        self.alpha = real(alpha, "LocalResponseNorm alpha")
        self.beta = real(beta, "LocalResponseNorm beta")
        self.k = real(k, "LocalResponseNorm k")

    @property
    def _constants(self) -> dict[str, float]:
        return {"alpha": self.alpha, "beta": self.beta, "k": self.k}

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Normalise ``x`` (n, c, h, w); returns (n, c, h, w), in memory channels-last."""
        x = check_images(x, "LocalResponseNorm")
        if ctx is not None:
            ctx.x = x
        return local_response_norm(x, self.size, **self._constants)

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return dx (n, c, h, w), or None if nobody wants it."""
        return local_response_norm_backward(dy, ctx.x, self.size, **self._constants) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return check_image_shape(input_shape, "LocalResponseNorm")

    def _settings(self) -> str:
        return brief(f"{self.size}", self._constants, {"alpha": 1e-4, "beta": 0.75, "k": 1.0})
