"""The choice between the direct convolution and Winograd's: from shapes and settings alone, in this one place."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, SupportsIndex, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DTypeError, SettingError, ShapeError, UnsupportedError
from convnet.functional._arrays import FLOATS, maps_shape
from convnet.settings import integer
from convnet.shapes import IntPair, Padding, conv2d_output_size, pair

Algorithm: TypeAlias = Literal["auto", "direct", "winograd"]

Item = TypeVar("Item")

_algorithm: Algorithm = "auto"


def set_algorithm(name: Algorithm) -> None:
    """Choose how convolutions are computed from now on, in the whole process.

    Parameters
    ----------
    name : {"auto", "direct", "winograd"}
        "auto", the initial one, takes the faster algorithm by shape; "direct" has the smaller rounding error, see
        `conv2d_algorithm`; "winograd" is taken wherever it applies.

    Raises
    ------
    SettingError
        If there is no such algorithm.
    """
    global _algorithm
    _algorithm = _checked(name, "set_algorithm")


def get_algorithm() -> Algorithm:
    """Return what `set_algorithm` chose."""
    return _algorithm


def _checked(name: Any, who: str) -> Algorithm:
    if not isinstance(name, str) or name not in get_args(Algorithm):
        raise SettingError(f"{who}: expected algorithm 'auto', 'direct' or 'winograd', got {name!r}")
    return name  # type: ignore[return-value]


class PerPass(NamedTuple, Generic[Item]):
    """Something for each pass of a convolution."""

    forward: Item
    data_gradient: Item
    weight_gradient: Item


# Channels and outputs of a group up to which vectors run over groups. With 8, 2 x 256 x 28 x 28, 3 x 3 taps, a product
# for each group takes 0.79 ms instead of 0.83 with AVX-512 and 0.84 instead of 1.23 with AVX2.
FEW = 4


class Problem(NamedTuple):
    """A pass of a convolution: all that the choice depends on."""

    images: int
    size: tuple[int, int]
    """Of the maps that are tiled: the output's, for the data gradient the input's."""
    w_shape: tuple[int, ...]
    window: tuple[int, int, int, int, int, int]
    """Stride, padding in front and dilation, each vertical and horizontal."""
    groups: int
    dtype: np.dtype[Any]
    pool: tuple[int, int] = (1, 1)
    """Windows of a fused max pool."""

    @property
    def direct(self) -> str:
        """Which kernels compute the direct sum: groups of few channels have some of their own; those cannot pool."""
        inputs, outputs = self.w_shape[1], self.w_shape[0] // self.groups
        if self.groups == 1 or self.pool != (1, 1) or not 1 <= min(inputs, outputs) <= max(inputs, outputs) <= FEW:
            return "direct"
        return "depthwise" if inputs == outputs == 1 else "grouped"

    @property
    def padding(self) -> tuple[int, int]:
        """In front, vertical and horizontal."""
        return self.window[2:4]


def problems(forward: Problem, input_size: tuple[int, int]) -> PerPass[Problem]:
    """What the passes of a convolution of maps of that size compute."""
    gradient = forward._replace(pool=(1, 1))
    return PerPass(forward, gradient._replace(size=input_size), gradient)


class Cost(NamedTuple):
    """What a pass costs, in multiply-adds of the direct forward pass."""

    direct: float
    """A multiply-add of the direct pass."""
    vector: int
    """The direct pass costs at least that of so many channels of x."""
    packing: float
    """The weights of the direct pass: so much times channels times outputs."""
    transforms: float
    """The transforms of a tile: so much times (channels + outputs)."""
    weights: float
    """The transform of the weights or of their gradient: so much times channels times outputs, beyond caches twice."""


# Fitted to the times of both algorithms in float32 on one thread, AVX-512 and AVX2: 1 to 32 images of 4 x 4 to 28 x 28
# pixels, 8 to 512 channels. The 36 products of a tile cost as much as 53 of the direct sum: the register tile runs
# shorter loops. Weights beyond the caches cost as much as 9 tiles to read, unless more tiles hide it. A pass that would
# gain less than a fifth stays direct, for the smaller error.
PRODUCTS = 53
READING = 480
CACHED_WEIGHTS = 16384
GAIN = 1.2
LEAST_CHANNELS = 8
COSTS = PerPass(
    forward=Cost(direct=1, vector=1, packing=100, transforms=300, weights=175),
    data_gradient=Cost(direct=1, vector=8, packing=100, transforms=300, weights=175),
    weight_gradient=Cost(direct=1.3, vector=1, packing=100, transforms=450, weights=50),
)

# A plan has its weights packed or transformed before.
PLANNED = Cost(direct=1, vector=1, packing=0, transforms=300, weights=0)


def _gains(problem: Problem, cost: Cost) -> bool:
    out, c = problem.w_shape[0], max(problem.w_shape[1], cost.vector)
    height, width = problem.size
    tiles = problem.images * -(-height // 4) * -(-width // 4)
    direct = c * out * (cost.direct * 9 * problem.images * height * width + cost.packing)
    beyond = min(1, c * out / CACHED_WEIGHTS)
    products = c * out * max(PRODUCTS * tiles, READING * beyond)
    winograd = products + cost.transforms * tiles * (c + out) + c * out * cost.weights * (1 + beyond)
    return min(c, out) >= LEAST_CHANNELS and direct > GAIN * winograd


def _obstacle(problem: Problem) -> str | None:
    """Why Winograd's algorithm does not apply: what it needs and what came."""
    stride, dilation = problem.window[:2], problem.window[4:]
    if problem.w_shape[2:] != (3, 3) or stride != (1, 1) or dilation != (1, 1) or problem.groups != 1:
        expected = "3 x 3 taps, stride 1, dilation 1, groups=1"
        got = f"w of shape {problem.w_shape}, stride {stride}, dilation {dilation}, groups={problem.groups}"
        return f"{expected} for algorithm='winograd', got {got}"
    if 0 in problem.w_shape:
        return f"channels for algorithm='winograd', got w of shape {problem.w_shape}"
    if 4 % problem.pool[0] or 4 % problem.pool[1]:
        return f"pool windows whose sides divide 4 for algorithm='winograd', got {problem.pool}"
    return None


def takes_winograd(problem: Problem, cost: Cost, algorithm: Algorithm | None, who: str) -> bool:
    """Tell whether a pass runs Winograd's algorithm; ``algorithm`` overrides what `set_algorithm` chose.

    Raises
    ------
    SettingError
        If there is no such algorithm.
    UnsupportedError
        If ``algorithm`` is "winograd", which does not apply.
    """
    if algorithm is not None:
        _checked(algorithm, who)
    return _takes_winograd(problem, cost, algorithm or _algorithm, algorithm == "winograd", who)


@lru_cache(maxsize=512)  # saves 4 us a pass
def _takes_winograd(problem: Problem, cost: Cost, chosen: Algorithm, demanded: bool, who: str) -> bool:
    if chosen == "direct" or (chosen == "auto" and problem.w_shape[2:] != (3, 3)):
        return False
    obstacle = _obstacle(problem)
    if obstacle is not None and demanded:
        raise UnsupportedError(f"{who}: expected {obstacle}")
    if obstacle is not None or chosen == "winograd":
        return obstacle is None
    return problem.dtype.itemsize == 4 and _gains(problem, cost)


def conv2d_algorithm(
    input_shape: Sequence[SupportsIndex],
    weight_shape: Sequence[SupportsIndex],
    *,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    pool: IntPair | None = None,
    dtype: DTypeLike = np.float32,
) -> PerPass[str]:
    """Say which algorithm `conv2d` and its gradients run for these shapes and settings.

    Winograd's convolution computes 4 x 4 outputs of a 3 x 3 filter with 36 multiplications instead of 144, at the
    points 0, +-5/8, +-3/2 and infinity. It is 2 to 3 times as fast from 16 channels on. Its rounding errors are about 5
    times those of the direct sum (root mean square, random data), and a NaN spreads in its tile. float64 stays direct
    unless "winograd" is chosen.

    Parameters
    ----------
    input_shape : (n, c, h, w)
    weight_shape : (out, c / groups, kh, kw)
    stride, padding, dilation, groups
        As given to `conv2d`.
    pool : int or pair of int, optional
        As given to `conv2d_relu`: windows whose sides do not divide 4 are computed directly.
    dtype : float32 or float64

    Returns
    -------
    PerPass
        A named tuple (forward, data_gradient, weight_gradient) of "direct", "winograd" or, for the direct sum of a
        depthwise convolution, "depthwise", of one with at most 4 channels and 4 outputs a group "grouped".

    Raises
    ------
    ShapeError, SettingError, DTypeError
        As `conv2d`.

    Notes
    -----
    Depends on shapes, settings and `set_algorithm` alone, never on the number of threads. Lavin and Gray, "Fast
    algorithms for convolutional neural networks" (arXiv:1509.09308); the points: Barabasz et al., "Error analysis and
    improving the accuracy of Winograd convolution for deep neural networks" (arXiv:1803.10986).

    Examples
    --------
    >>> conv2d_algorithm((4, 64, 56, 56), (64, 64, 3, 3), padding=1).forward
    'winograd'
    >>> conv2d_algorithm((4, 64, 56, 56), (64, 64, 3, 3), padding=1, stride=2).forward
    'direct'
    """
    who = "conv2d_algorithm"
    n, c, h, w = maps_shape(input_shape, who, "input_shape")
    w_shape = maps_shape(weight_shape, who, "weight_shape")
    groups = integer(groups, f"{who} groups")
    if w_shape[1] * groups != c:
        raise ShapeError(
            f"{who}: expected input_shape (n, {w_shape[1] * groups}, h, w) for weight_shape {w_shape} and "
            f"groups={groups}, got {(n, c, h, w)}"
        )
    element = np.dtype(dtype)
    if element not in FLOATS:
        raise DTypeError(f"{who}: expected dtype float32 or float64, got {element}")
    out = conv2d_output_size((h, w), w_shape[2:], stride, padding, dilation)
    window = (*pair(stride, "stride"), 0, 0, *pair(dilation, "dilation"))
    windows = (1, 1) if pool is None else pair(pool, f"{who} pool")
    passes = problems(Problem(n, out, w_shape, window, groups, element, windows), (h, w))
    taken = (takes_winograd(*step, None, who) for step in zip(passes, COSTS, strict=True))
    return PerPass(*("winograd" if winograd else passes.forward.direct for winograd in taken))
