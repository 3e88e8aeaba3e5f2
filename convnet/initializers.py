"""First values of weights: functions of a shape and a random generator.

Weights are ``(out, in)`` or ``(out, in / groups, kh, kw)``; hence ``fan_in = in / groups * kh * kw`` numbers feed one
output and ``fan_out = out * kh * kw`` outputs are fed by one input.

Each rule keeps the variance of activations from layer to layer: He et al. 2015 (arXiv:1502.01852) through ReLU, Glorot
and Bengio 2010 (PMLR 9:249-256) through linear layers in both directions, LeCun et al. 1998
(doi:10.1007/3-540-49430-8_2) through linear layers forwards. Each has a normal and a uniform form of the same variance.
"""

import math

import numpy as np
import numpy.typing as npt

from convnet.errors import ShapeError
from convnet.settings import Seed, generator

__all__ = [
    "constant",
    "fans",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "zeros",
]

Shape = tuple[int, ...]


def fans(shape: Shape) -> tuple[int, int]:
    """Number of inputs of one output, and of outputs of one input, for weights of ``shape``.

    Raises
    ------
    ShapeError
        If ``shape`` is neither (out, in) nor (out, in, kh, kw).

    Examples
    --------
    >>> fans((8, 3, 5, 5)), fans((10, 64))
    ((75, 200), (64, 10))
    """
    if len(shape) not in (2, 4):
        raise ShapeError(f"initializers: expected weights of shape (out, in) or (out, in, kh, kw), got {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _normal(shape: Shape, variance: float, rng: Seed, dtype: npt.DTypeLike) -> np.ndarray:
    values: np.ndarray = generator(rng, "initializers").standard_normal(shape, dtype)  # type: ignore[arg-type]
    values *= math.sqrt(variance)
    return values


def _uniform(shape: Shape, variance: float, rng: Seed, dtype: npt.DTypeLike) -> np.ndarray:
    """Draw from ``[-a, a)``, whose variance is ``a**2 / 3``."""
    values: np.ndarray = generator(rng, "initializers").random(shape, dtype)  # type: ignore[arg-type]
    values -= 0.5
    values *= 2 * math.sqrt(3 * variance)
    return values


def he_normal(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Normal values of variance ``2 / fan_in`` (He et al. 2015, arXiv:1502.01852): the default of `Conv2d`.

    Parameters
    ----------
    shape : tuple of int
        (out, in) or (out, in / groups, kh, kw).
    rng : int or numpy.random.Generator, optional
        Seed, or the generator to draw from; None draws a new seed.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    ndarray of the given shape and dtype

    Examples
    --------
    >>> w = he_normal((64, 32, 3, 3), rng=0)
    >>> bool(abs(w.std() - (2 / 288) ** 0.5) < 1e-3)
    True
    """
    return _normal(shape, 2 / fans(shape)[0], rng, dtype)


def he_uniform(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Uniform values of variance ``2 / fan_in`` (arXiv:1502.01852); arguments as `he_normal`."""
    return _uniform(shape, 2 / fans(shape)[0], rng, dtype)


def glorot_normal(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Normal values of variance ``2 / (fan_in + fan_out)`` (PMLR 9:249-256); arguments as `he_normal`."""
    return _normal(shape, 2 / sum(fans(shape)), rng, dtype)


def glorot_uniform(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Uniform values of variance ``2 / (fan_in + fan_out)`` (PMLR 9:249-256); arguments as `he_normal`."""
    return _uniform(shape, 2 / sum(fans(shape)), rng, dtype)


def lecun_normal(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Normal values of variance ``1 / fan_in`` (LeCun 1998): the default of `Dense`; arguments as `he_normal`."""
    return _normal(shape, 1 / fans(shape)[0], rng, dtype)


def lecun_uniform(shape: Shape, rng: Seed = None, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Uniform values of variance ``1 / fan_in`` (doi:10.1007/3-540-49430-8_2); arguments as `he_normal`."""
    return _uniform(shape, 1 / fans(shape)[0], rng, dtype)


def constant(shape: Shape, value: float, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """``value`` everywhere; any shape."""
    return np.full(shape, value, dtype)


def zeros(shape: Shape, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """0 everywhere; any shape: what biases start from."""
    return np.zeros(shape, dtype)
