"""The network of 2012: its groups, and that it learns. Its numbers are compared in test_models_large.py."""

import numpy as np

from convnet.layers import Context, Conv2d
from convnet.losses import SoftmaxCrossEntropy
from convnet.models import alexnet
from convnet.optim import SGD


def test_the_channels_of_three_convolutions_are_in_two_groups():
    model = alexnet(hidden=8, original=True, rng=0)
    layers = dict(model.named_children())["features"]
    assert [layer.groups for layer in layers if isinstance(layer, Conv2d)] == [1, 2, 1, 2, 2]
    assert model.output_shape((3, 224, 224)) == (1000,)


def test_it_learns(rng):
    model, loss = alexnet(3, hidden=16, dropout=0, original=True, rng=0), SoftmaxCrossEntropy()
    x, labels, optimizer = rng.random((4, 3, 64, 64), np.float32), np.array([0, 1, 2, 0]), SGD(0.01, momentum=0.9)
    losses = []
    for _ in range(28):
        ctx = Context()
        losses.append(loss.forward(model.forward(x, ctx), labels, ctx))
        model.backward(loss.backward(ctx), ctx)
        optimizer.step(model.parameters())
    assert losses[-1] < losses[0] / 2
