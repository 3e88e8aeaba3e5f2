"""Receptive fields, beside what the gradients of every pixel of the output reach."""

import numpy as np
import pytest

from convnet.context import Context
from convnet.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Multiply,
    Pad2d,
    Parallel,
    ReLU,
    Sequential,
    Upsample2d,
)
from convnet.summary import summary

LENGTH = 60


def some_layer(rng):
    """A layer that works along the vertical axis only."""
    k, s, d, p = (int(rng.integers(low, high)) for low, high in ((1, 5), (1, 4), (1, 3), (0, 3)))
    n = int(rng.integers(8))
    if n == 0:
        return AvgPool2d((k, 1), (s, 1), (min(p, k // 2), 0))
    if n == 1:
        return AdaptiveAvgPool2d((int(rng.integers(5, 20)), 1))
    if n == 2:
        return Upsample2d(scale_factor=(float(rng.choice([0.5, 1.5, 2, 3])), 1))
    if n == 3:
        return Upsample2d(scale_factor=(float(rng.choice([0.5, 1.5, 2, 3])), 1), mode="bilinear")
    if n == 4:
        return Upsample2d((int(rng.integers(20, 60)), 1), mode="bilinear", align_corners=bool(rng.integers(2)))
    if n < 7:
        return ConvTranspose2d(1, 1, (k, 1), (s, 1), (min(p, k - 1), 0), dilation=(d, 1), dtype=np.float64)
    return Conv2d(1, 1, (k, 1), (s, 1), ((p, 1), (0, 0)), (d, 1), dtype=np.float64)


def reached(model, length):
    """How far the gradient of each pixel of the output reaches, vertically: at most, and without what is cut off."""
    for parameter in model.parameters():
        parameter.value.fill(1)
    out = model.output_shape((1, length, 1))[1]
    ctx = Context()
    y = model.forward(np.ones((out, 1, length, 1)), ctx)
    dx = model.backward(np.eye(out).reshape(y.shape), ctx)[:, 0, :, 0]
    rows = [np.flatnonzero(row) for row in dx]
    return max((row[-1] - row[0] + 1 for row in rows if len(row)), default=0)


@pytest.mark.parametrize("seed", range(40))
def test_the_field_is_what_gradients_reach(seed):
    rng = np.random.default_rng(seed)
    model = Sequential(*(some_layer(rng) for _ in range(rng.integers(1, 5))))
    spans = model.window((1, LENGTH, 1)).vertical
    out = model.output_shape((1, LENGTH, 1))[1]
    measured = reached(model, LENGTH)
    assert measured <= spans.size
    if spans.size <= LENGTH // 3 and 2 * len(spans.seen) <= out:  # else the border cuts off the best pixels
        assert measured == spans.size


FIELDS = [
    (ConvTranspose2d(1, 1, 3), 3),
    (ConvTranspose2d(1, 1, 5, stride=2, padding=2), 3),
    (ConvTranspose2d(1, 1, 2, stride=2), 1),
    (Upsample2d(scale_factor=2), 1),
    (Upsample2d(scale_factor=2, mode="bilinear"), 2),
    (Sequential(Conv2d(1, 1, 3, 2, 1), Upsample2d(scale_factor=2), Conv2d(1, 1, 3, padding=1)), 5),
    (Sequential(Upsample2d(scale_factor=2), AvgPool2d(2)), 1),
    (Sequential(Upsample2d(scale_factor=2), Pad2d(1), AvgPool2d(2)), 2),
    (Sequential(AvgPool2d(2), ConvTranspose2d(1, 1, 2, stride=2), Conv2d(1, 1, 3)), 4),
    (Sequential(Parallel(ReLU(), GlobalAvgPool2d(), merge=Multiply()), Conv2d(1, 1, 3)), 26),
]


@pytest.mark.parametrize(("model", "size"), FIELDS, ids=repr)
def test_fields_by_hand(model, size):
    assert summary(model, (1, 24, 24)).rows[-1].receptive_field == (size, size)
