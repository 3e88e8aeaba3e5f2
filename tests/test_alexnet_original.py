"""The network of 2012: its parameters, the same numbers in PyTorch, and that it learns."""

import numpy as np
import pytest

from convnet.inference import Predictor, fuse
from convnet.layers import Context, Conv2d
from convnet.losses import SoftmaxCrossEntropy
from convnet.models import alexnet
from convnet.optim import SGD


def test_the_published_number_of_parameters():
    model = alexnet(hidden=8, original=True, rng=0)
    layers = dict(model.named_children())["features"]
    features = sum(p.size for p in layers.parameters())
    classifier = 9216 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    assert features + classifier == 60_965_224
    assert "60,965,224 parameters" in alexnet.__doc__
    assert model.output_shape((3, 224, 224)) == (1000,)
    assert [layer.groups for layer in layers if isinstance(layer, Conv2d)] == [1, 2, 1, 2, 2]


def _twin(torch):
    nn, response = torch.nn, (5, 5e-4, 0.75, 2.0)
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4, 2), nn.ReLU(), nn.LocalResponseNorm(*response), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(*response), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(9216, 8), nn.ReLU(),
        nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


@pytest.mark.parametrize("rewrite", [lambda model: model, fuse], ids=["plain", "fused"])
def test_the_numbers_of_pytorch(rewrite, rng):
    """In float32, through eight layers with sums of up to 9216 terms: sqrt(9216) roundings each."""
    torch = pytest.importorskip("torch")
    model, theirs = alexnet(3, hidden=8, dropout=0, original=True, rng=0), _twin(torch)
    for mine, other in zip(model.parameters(), theirs.parameters(), strict=True):
        other.data = torch.from_numpy(mine.value.copy())
    x, dy = rng.random((2, 3, 67, 64), np.float32), rng.standard_normal((2, 3)).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(dy))
    run, ctx = rewrite(model), Context()
    y = run.forward(x, ctx)
    results = [y, run.backward(dy, ctx), *(p.grad for p in model.parameters())]
    exact = [expected.detach(), leaf.grad, *(p.grad for p in theirs.parameters())]
    for got, tensor in zip(results, exact, strict=True):
        scale = np.abs(tensor.numpy()).max()
        np.testing.assert_allclose(got, tensor.numpy(), rtol=0, atol=8 * 96 * np.finfo(np.float32).eps * scale)
    np.testing.assert_allclose(Predictor(model, (3, 67, 64))(x), y, rtol=0, atol=8 * 96 * 1.2e-7 * np.abs(y).max())


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
