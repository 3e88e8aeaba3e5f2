"""Loss and gradients of one batch, whole or in parts."""

import itertools
import math
from typing import Any

import numpy as np

from convnet.context import Context
from convnet.data import as_floats
from convnet.errors import DivergedError
from convnet.layers import Layer
from convnet.losses import Loss, auxiliary_loss, weighted_loss

__all__ = ["add_gradients"]


def add_gradients(
    model: Layer,
    loss: Loss,
    x: np.ndarray,
    y: np.ndarray,
    dtype: np.dtype[Any],
    parts: int,
    weights: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Add the gradients of the mean loss into the parameters; returns that loss and the outputs.

    Raises
    ------
    DivergedError
        If the loss is not finite; the gradients are then zero.
    """
    if parts == 1:
        return _add_share(model, loss, as_floats(x, dtype), y, weights, 1.0)
    cuts = np.linspace(0, len(x), max(min(parts, len(x)), 1) + 1).astype(int)
    total, outputs = 0.0, []
    for first, last in itertools.pairwise(cuts):
        share = (last - first) / max(len(x), 1)
        each = None if weights is None else weights[first:last]
        part, output = _add_share(model, loss, as_floats(x[first:last], dtype), y[first:last], each, share)
        total += share * part
        outputs.append(output)
    return total, np.concatenate(outputs)


def _add_share(
    model: Layer, loss: Loss, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, share: float
) -> tuple[float, np.ndarray]:
    """The same of a part of a batch, whose gradients count by its share of the images."""
    ctx, loss_ctx = Context(wants_dx=False), Context()
    outputs = model.forward(x, ctx)
    value = weighted_loss(loss, outputs, y, loss_ctx, weights) + auxiliary_loss(loss, y, ctx, weights)
    if not math.isfinite(value):
        for parameter in model.parameters():  # of the parts before
            parameter.grad.fill(0)
        raise DivergedError(f"Trainer.step: expected a finite loss, got {value}; try a lower learning rate")
    dy = loss.backward(loss_ctx)
    if share != 1:
        dy = dy * dy.dtype.type(share)
        for head in ctx.auxiliaries():
            head.dlogits = head.dlogits * dy.dtype.type(share)
    model.backward(dy, ctx)
    return value, outputs
