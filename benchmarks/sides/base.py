"""What a side of the comparison can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from networks import Network
from shapes import Shape

LR, MOMENTUM = 1e-4, 0.9
"""So low a rate that the second step finds the gradient of the first, where a larger one magnifies its rounding, and
that the thousands of steps that are timed lead nowhere."""


class UnavailableError(Exception):
    """Why a side takes no part."""


class NotOfferedError(Exception):
    """The library has no such thing, here or anywhere."""


class Work(NamedTuple):
    """Something that is timed."""

    run: Callable[[], object]
    """Do it once."""
    results: Callable[[], dict[str, np.ndarray]]
    """What came out: the weights after the steps done so far, or the outputs."""


class Side:
    """A library in one of its modes. The constructor imports it; what it cannot do stays as it is here."""

    version: str

    def step(self, network: Network, x: np.ndarray, y: np.ndarray) -> Work:
        """Zero the gradients, forward, softmax and cross-entropy, backward, update by SGD with momentum."""
        raise NotOfferedError

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Apply a network that is finished: weights may be rearranged and layers fused before the clock starts."""
        raise NotOfferedError

    def convolution(self, shape: Shape, arrays: tuple[np.ndarray, ...], which: str) -> Work:
        """Do one pass of a convolution with weights as a training step has them: rearranging them counts."""
        raise NotOfferedError


def channels_last(x: np.ndarray) -> np.ndarray:
    """Copy images so that they lie channels-last in memory; the shape stays (n, c, h, w)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
