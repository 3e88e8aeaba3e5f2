"""The networks made for 224x224 images: narrow ones on small images here, whole ones counted only."""

import numpy as np
import pytest

from convnet.inference import fuse
from convnet.layers import Context
from convnet.losses import SoftmaxCrossEntropy
from convnet.models import MODELS, alexnet, resnet18, vgg16
from convnet.parameter import Parameter
from convnet.summary import summary

PUBLISHED = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
}
WITH_BATCH_NORM = {"vgg11": 132_868_840, "vgg13": 133_053_736, "vgg16": 138_365_992, "vgg19": 143_678_248}


class Empty(np.random.Generator):
    """Draws weights that cost neither time nor memory, for those who only count them."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return np.zeros(size, dtype).view(Untouched)


class Untouched(np.ndarray):
    """Zeros that scaling leaves alone: a page that nobody writes to takes no memory."""

    def __imul__(self, factor):
        return self


def count(model):
    return sum(p.size for p in model.parameters())


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_published_number_of_parameters(name, parameters):
    model = MODELS[name](rng=Empty())
    assert count(model) == parameters
    assert f"{parameters:,} parameters" in MODELS[name].__doc__
    assert model.input_shape == (3, 224, 224)
    assert model.output_shape(model.input_shape) == (1000,)


@pytest.mark.parametrize(("name", "parameters"), WITH_BATCH_NORM.items())
def test_the_published_number_of_parameters_with_batch_normalisation(name, parameters):
    assert count(MODELS[name](batch_norm=True, rng=Empty())) == parameters


def test_multiply_adds():
    """To three digits as published: arXiv:1512.03385 (ResNet), arXiv:1409.1556 in torchvision's documentation."""
    expected = {"alexnet": 0.71, "vgg11": 7.61, "vgg16": 15.47, "resnet18": 1.81, "resnet34": 3.66, "resnet50": 4.09}
    for name, billions in expected.items():
        assert round(summary(MODELS[name](rng=Empty())).multiply_adds / 1e9, 2) == billions, name


def test_a_seed_decides_the_weights_and_the_masks(rng):
    one, two, other = (alexnet(classes=3, hidden=8, rng=seed) for seed in (1, 1, 2))
    for (key, value), again, new in zip(
        one.state_dict().items(), two.state_dict().values(), other.state_dict().values(), strict=True
    ):
        np.testing.assert_array_equal(value, again)
        assert key.endswith("bias") or (value != new).mean() > 0.99
    x = rng.random((1, 3, 64, 64), np.float32)
    y = one.forward(x, Context())
    np.testing.assert_array_equal(two.forward(x, Context()), y)
    assert (one.forward(x, Context()) != y).any()


@pytest.mark.parametrize("model", [vgg16(2, hidden=8, rng=0), resnet18(2, width=16, rng=0)], ids=["vgg16", "resnet18"])
def test_convolutions_start_with_variance_two_by_fan_out(model):
    weights = [p.value for p in model.parameters() if p.value.ndim == 4]
    for w in weights:
        # the sample variance of k normal numbers has a relative standard deviation of sqrt(2 / k): six of them
        assert w.var() * w.shape[0] * w.shape[2] * w.shape[3] == pytest.approx(2, rel=6 * (2 / w.size) ** 0.5)


def as_float64(layer):
    """Turn all numbers of a model into float64, in place."""
    for name, value in list(vars(layer).items()):
        if isinstance(value, Parameter):
            setattr(layer, name, Parameter(value.value.astype(np.float64)))
        elif isinstance(value, np.ndarray) and value.dtype == np.float32:
            setattr(layer, name, value.astype(np.float64))
    for _, child in layer.named_children():
        as_float64(child)


CASES = [
    ("alexnet", {"hidden": 24, "dropout": 0}, (2, 3, 67, 64)),
    ("vgg11", {"hidden": 16, "dropout": 0, "in_channels": 1}, (1, 1, 32, 33)),
    ("vgg16", {"hidden": 16, "dropout": 0, "batch_norm": True}, (2, 3, 32, 32)),
    ("resnet18", {"width": 8, "in_channels": 1}, (3, 1, 40, 64)),
    ("resnet34", {"width": 4}, (3, 3, 40, 40)),
    ("resnet50", {"width": 4}, (4, 3, 64, 64)),
]
# Sums of up to 25,088 terms through up to 53 layers: sqrt(25088) roundings a layer. Measured: up to 2 % of that.
TOLERANCE = 53 * 25088**0.5 * np.finfo(np.float64).eps


@pytest.mark.parametrize(("name", "settings", "shape"), CASES, ids=[name for name, *_ in CASES])
def test_weights_of_torch_load_unchanged_and_compute_the_same(name, settings, shape, rng):
    torch = pytest.importorskip("torch")
    from torch_models import twin

    torch.manual_seed(0)
    theirs = twin(name, 5, shape[1], settings.get("hidden", settings.get("width")), "batch_norm" in settings).double()
    state = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    x, labels = rng.random(shape), rng.integers(0, 5, shape[0])
    expected = results_of_torch(torch, theirs, x, labels)
    model = MODELS[name](classes=5, **settings, rng=Empty())
    as_float64(model)
    for rewrite in (lambda model: model, fuse):
        model.load_state_dict(state)
        assert list(dict(model.named_parameters())) == list(dict(theirs.named_parameters()))
        actual = results(model, rewrite(model), x, labels)
        # one scale for all gradients: that of a bias before a batch normalisation is 0 but for rounding
        scales = [1, np.abs(expected[1]).max(), *[max(np.abs(g).max() for g in expected[2])] * len(expected[2])]
        for got, exact, scale in zip(flat(actual[:3]), flat(expected[:3]), scales, strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE * scale)
        for got, exact in zip(flat(actual[3:]), flat(expected[3:]), strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())


def flat(results):
    return [value for group in results for value in (group if isinstance(group, list) else [group])]


def results(model, run, x, labels):
    """Loss, its gradients in x and in the parameters, the buffers afterwards, and the logits of inference."""
    for parameter in model.parameters():
        parameter.grad[...] = 0
    ctx, loss = Context(), SoftmaxCrossEntropy()
    value = loss.forward(run.forward(x, ctx), labels, ctx)
    dx = run.backward(loss.backward(ctx), ctx)
    gradients = [p.grad.copy() for p in model.parameters()]
    return value, dx, gradients, [buffer.copy() for _, buffer in model.named_buffers()], run(x)


def results_of_torch(torch, model, x, labels):
    leaf = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(model(leaf), torch.tensor(labels))
    loss.backward()
    gradients = [p.grad.numpy() for p in model.parameters()]
    model.eval()
    logits = model(torch.tensor(x)).detach().numpy()
    return loss.item(), leaf.grad.numpy(), gradients, [b.numpy() for b in model.buffers()], logits
