"""The three passes of a convolution, each by the algorithm chosen for it; arguments are checked, maps channels-last."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convnet.functional._algorithm import COSTS, Algorithm, PerPass, Problem, takes_winograd
from convnet.functional._arrays import FloatArray, empty
from convnet.kernels import conv, conv_weights, depthwise, elementwise, winograd, winograd_weights


class Upstream(NamedTuple):
    """The gradient with respect to the output, and what a fused ReLU or ReLU and max pool left to expand it through."""

    dy: FloatArray
    relu_output: FloatArray | None
    codes: NDArray[np.uint8] | None


def through_relu(upstream: Upstream) -> Upstream:
    """Return the gradient in front of a fused ReLU: written once, for passes that cannot expand it."""
    dy, output, _ = upstream
    if output is None:
        return upstream
    gradient = empty(dy.shape, dy.dtype)
    elementwise.relu_gradient(dy.reshape(-1), output.reshape(-1), gradient.reshape(-1), math.nan)
    return Upstream(gradient, None, None)


def forward(
    problem: Problem,
    algorithm: Algorithm | None,
    who: str,
    arrays: tuple[FloatArray, FloatArray, FloatArray | None, FloatArray, NDArray[np.uint8] | None],
    relu: bool,
) -> None:
    """Fill y, and codes, of the arrays (x, w, b, y, codes)."""
    if takes_winograd(problem, COSTS.forward, algorithm, who):
        winograd.winograd_forward(*arrays, *problem.padding, relu, *problem.pool)
    elif problem.direct != "direct":
        depthwise.depthwise_forward(*arrays[:4], *problem.window, relu)
    else:
        conv.conv2d_forward(*arrays, *problem.window, problem.groups, relu, *problem.pool)


def data_gradient(
    passes: PerPass[Problem],
    algorithm: Algorithm | None,
    who: str,
    upstream: Upstream,
    arrays: tuple[FloatArray, FloatArray | None, FloatArray],
) -> None:
    """Fill dx, of the arrays (w, b, dx): the gradient plus b."""
    problem = passes.forward
    if takes_winograd(passes.data_gradient, COSTS.data_gradient, algorithm, who):
        winograd.winograd_data_gradient(*upstream, *arrays, *problem.padding, *problem.pool)
    elif problem.direct != "direct":
        depthwise.depthwise_data_gradient(upstream.dy, *arrays, *problem.window)
    else:
        conv.conv2d_data_gradient(*upstream, *arrays, *problem.window, problem.groups, *problem.pool)


def weight_gradient(
    passes: PerPass[Problem],
    algorithm: Algorithm | None,
    who: str,
    upstream: Upstream,
    x: FloatArray,
    dw: FloatArray | None,
    db: FloatArray | None,
) -> None:
    """Add to dw and db, either of which may be None: the sums of dy alone need no algorithm."""
    problem = passes.forward
    if dw is not None and takes_winograd(passes.weight_gradient, COSTS.weight_gradient, algorithm, who):
        winograd_weights.winograd_weight_gradient(*upstream, x, dw, db, *problem.padding, *problem.pool)
    elif problem.direct != "direct":
        kh, kw = problem.w_shape[2:]
        depthwise.depthwise_weight_gradient(upstream.dy, x, dw, db, kh, kw, *problem.window, problem.groups)
    else:
        settings = *problem.w_shape[2:], *problem.window, problem.groups, *problem.pool
        conv_weights.conv2d_weight_gradient(*upstream, x, dw, db, *settings)
