"""Derivatives by central differences in float64: what every backward pass is measured against.

The fourth-order formula is exact for polynomials up to degree 4, hence for every layer that is piecewise linear in its
input and its parameters; the caller keeps kinks farther away than 2 * STEP. What remains is rounding: each of the four
values is a sum of terms, known to within a few roundings of S = sum of |terms|, and the weights of the formula add up
to 18 / (12 STEP). For smooth functions the next term, STEP**4 / 30 times the fifth derivative, is 3e-14 of it.
"""

import copy

import numpy as np

from convnet.layers import Context

STEP = 1e-3
ROUNDINGS = 64


def directional_derivative(f, values, directions):
    """Derivative of f(*values) along directions."""

    def along(t):
        return f(*(v + t * d for v, d in zip(values, directions, strict=True)))

    return (8 * (along(STEP) - along(-STEP)) - (along(2 * STEP) - along(-2 * STEP))) / (12 * STEP)


def tolerance(terms):
    """What rounding may do to the directional derivative of a function whose absolute terms add up to ``terms``."""
    return 18 / (12 * STEP) * ROUNDINGS * np.finfo(np.float64).eps * terms


def unit(rng, shape):
    """A random direction of length one."""
    direction = rng.standard_normal(shape)
    return direction / max(np.linalg.norm(direction), 1e-300)


def away_from_kinks(rng, shape):
    """Distinct numbers, none within 0.05 of another or of zero: no rectifier or maximum changes side in 2 * STEP."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) - size // 2 + 0.5) * 0.1).reshape(shape)


def check_layer(layer, x, rng):
    """Compare layer.backward with differences of layer.forward, along one direction in x and in all parameters."""
    parameters = layer.parameters()
    ctx, before = Context(), copy.deepcopy(layer)
    y = layer.forward(x, ctx)
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy, ctx)
    values = [x, *(p.value.copy() for p in parameters)]
    directions = [unit(rng, v.shape) for v in values]

    def loss(x, *weights):
        trial = copy.deepcopy(before)  # a layer that draws random numbers draws the same ones again
        for parameter, weight in zip(trial.parameters(), weights, strict=True):
            parameter.value[...] = weight
        return float(np.sum(trial.forward(x, Context()) * dy))

    gradients = [dx, *(p.grad for p in parameters)]
    analytic = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    numeric = directional_derivative(loss, values, directions)
    assert abs(analytic - numeric) <= tolerance(np.sum(np.abs(y * dy)) + 1), (analytic, numeric)


def check_loss(loss, logits, targets, rng):
    """Compare loss.backward with differences of loss.forward, along one direction in the logits."""
    ctx = Context()
    value = loss.forward(logits, targets, ctx)
    direction = unit(rng, logits.shape)
    analytic = float(np.sum(loss.backward(ctx) * direction))
    numeric = directional_derivative(lambda z: loss.forward(z, targets), [logits], [direction])
    assert abs(analytic - numeric) <= tolerance(abs(value) + 1), (analytic, numeric)
