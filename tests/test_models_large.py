"""The deep networks: narrow ones on small images here, the largest counted only."""

from hashlib import blake2b

import numpy as np
import pytest

from convnet.errors import SettingError, ShapeError
from convnet.inference import Predictor, fuse
from convnet.layers import Context
from convnet.losses import SoftmaxCrossEntropy, auxiliary_loss
from convnet.models import MODELS, alexnet, googlenet, mobilenet_v1, mobilenet_v2, resnet18, resnet20, resnet56, vgg16
from convnet.optim import SGD
from convnet.parameter import Parameter
from convnet.serialization import load
from convnet.summary import summary
from convnet.training import Trainer

PUBLISHED = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "googlenet": 6_624_904,
    "squeezenet": 1_248_424,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
}
FOR_CIFAR = {"nin": 966_986, "resnet20": 269_722, "resnet56": 853_018}
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


@pytest.mark.parametrize(("name", "parameters"), FOR_CIFAR.items())
def test_the_published_number_of_parameters_for_small_images(name, parameters):
    model = MODELS[name](rng=Empty())
    assert count(model) == parameters
    assert f"{parameters:,} parameters" in MODELS[name].__doc__
    assert model.input_shape == (3, 32, 32)
    assert model.output_shape(model.input_shape) == (10,)


def test_the_published_number_of_parameters_of_variants():
    assert count(alexnet(original=True, rng=Empty())) == 60_965_224
    assert "60,965,224 parameters" in alexnet.__doc__
    assert count(googlenet(auxiliary=True, rng=Empty())) == 13_004_888
    assert [count(build(shortcut="B", rng=Empty())) for build in (resnet20, resnet56)] == [272_474, 855_770]
    # to a tenth of a million in the papers: table 7 of arXiv:1704.04861, and torchvision's mobilenet_v2(width_mult)
    assert [count(mobilenet_v1(width=width, rng=Empty())) for width in (0.75, 0.5)] == [2_585_560, 1_331_592]
    assert [count(mobilenet_v2(width=width, rng=Empty())) for width in (1.4, 0.5)] == [6_108_776, 1_968_680]


@pytest.mark.parametrize(("name", "parameters"), WITH_BATCH_NORM.items())
def test_the_published_number_of_parameters_with_batch_normalisation(name, parameters):
    assert count(MODELS[name](batch_norm=True, rng=Empty())) == parameters


def test_multiply_adds():
    """To three digits as published: arXiv:1512.03385 (ResNet), arXiv:1409.1556 in torchvision's documentation."""
    expected = {"alexnet": 0.71, "vgg11": 7.61, "vgg16": 15.47, "resnet18": 1.81, "resnet34": 3.66, "resnet50": 4.09}
    expected |= {"googlenet": 1.5, "squeezenet": 0.82, "mobilenet_v1": 0.57, "mobilenet_v2": 0.3, "resnet20": 0.04}
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


@pytest.mark.parametrize(
    "model",
    [vgg16(2, hidden=8, rng=0), resnet18(2, width=16, rng=0), mobilenet_v1(2, width=0.5, rng=0)],
    ids=["vgg16", "resnet18", "mobilenet_v1"],
)
def test_convolutions_start_with_variance_two_by_fan_out(model):
    weights = [p.value for p in model.parameters() if p.value.ndim == 4]
    for w in weights:
        outputs = w.shape[0] if w.shape[1] > 1 else 1  # of one input; the second are depthwise
        # the sample variance of k normal numbers has a relative standard deviation of sqrt(2 / k): six of them
        assert w.var() * outputs * w.shape[2] * w.shape[3] == pytest.approx(2, rel=6 * (2 / w.size) ** 0.5)


SMALL = [
    "nin",
    "googlenet",
    "resnet18",
    "resnet50",
    "resnet20",
    "resnet56",
    "squeezenet",
    "mobilenet_v1",
    "mobilenet_v2",
]


@pytest.mark.parametrize("name", SMALL)
def test_small_grey_images_are_taken_where_the_architecture_allows_it(name):
    model = MODELS[name](classes=7, in_channels=1, rng=Empty())
    for size in (28, 28), (32, 32), (33, 47):
        assert model.output_shape((1, *size)) == (7,)
    assert model(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "settings", "least"),
    [
        ("alexnet", {"hidden": 2}, 63),
        ("vgg16", {"hidden": 2}, 32),
        ("squeezenet", {}, 21),
        ("googlenet", {"auxiliary": True}, 63),
        ("googlenet", {}, 15),
        ("nin", {}, 4),
    ],
)
def test_too_small_images_are_refused_with_the_least_size(name, settings, least):
    model = MODELS[name](classes=2, **settings, rng=Empty())
    assert model.output_shape((3, least, least)) == (2,)
    model.check_training(2, (3, least, least))
    assert f"from {least}x{least} on" in " ".join(MODELS[name].__doc__.split())
    refuse = model.check_training if settings.get("auxiliary") else lambda _, shape: model.output_shape(shape)
    with pytest.raises(ShapeError, match=rf"; images must be at least {least}x{least}$"):
        refuse(2, (3, least, least - 1))
    with pytest.raises(ShapeError, match=rf"; images must be at least {least}x{least}$"):
        model.forward(np.zeros((2, 3, least - 1, least), np.float32), Context())


def test_heads_are_for_training_only(rng):
    model = googlenet(classes=4, auxiliary=True, rng=0)
    x = rng.random((2, 3, 40, 40), np.float32)
    logits = model(x)
    plain = googlenet(classes=4, rng=1)
    assert set(plain.load_state_dict(model.state_dict(), strict=False).missing_keys) == set()
    np.testing.assert_array_equal(plain(x), logits)
    assert model.output_shape((3, 15, 15)) == plain.output_shape((3, 15, 15)) == (4,)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(0.1))
    small, labels = x[:, :, :15, :15], np.array([0, 3])
    assert trainer.predict(small).shape == Predictor(model, (3, 15, 15))(small).shape == (2, 4)
    assert trainer.evaluate((small, labels))["loss"] > 0
    with pytest.raises(ShapeError, match=r"^Trainer.fit: expected batches .* in training, .* at least 63x63$"):
        trainer.iter_fit((x, labels), progress=False)


@pytest.mark.parametrize("build", [resnet20, resnet56])
def test_an_unknown_shortcut_is_refused(build):
    with pytest.raises(SettingError, match=rf"{build.__name__} shortcut: expected 'A' or 'B', got 'C'"):
        build(shortcut="C")


# BLAKE2b, of 8 bytes, of the sorted lines "name shape" of the state dict that torchvision 0.29.1 gives each network;
# there they are vgg16_bn for batch_norm, squeezenet1_0, mobilenet_v2(width_mult) and googlenet(aux_logits).
TORCHVISION = [
    ("alexnet", {}, "136b9f67b64e75ea"),
    ("vgg11", {}, "e5820dec11b6de11"),
    ("vgg11", {"batch_norm": True}, "069843b92ce9fa3f"),
    ("vgg13", {}, "5ab5de8e86b74038"),
    ("vgg13", {"batch_norm": True}, "20f21cf6bd9bae71"),
    ("vgg16", {}, "4573219de45a840a"),
    ("vgg16", {"batch_norm": True}, "97429be1771ab82f"),
    ("vgg19", {}, "d82bcfde802b608e"),
    ("vgg19", {"batch_norm": True}, "6c6e0e1707c1d541"),
    ("resnet18", {}, "b4dd9106d6b09570"),
    ("resnet34", {}, "a2de75ce5b936654"),
    ("resnet50", {}, "e9641ede8862b093"),
    ("googlenet", {}, "5223b875f2e415f4"),
    ("googlenet", {"auxiliary": True}, "21ae34b0473d046b"),
    ("squeezenet", {}, "892bc4aadfea93fe"),
    ("mobilenet_v2", {}, "f3377ba485bae1e6"),
    ("mobilenet_v2", {"width": 1.4}, "7e94df4d57f3d850"),
    ("mobilenet_v2", {"width": 0.35}, "bfab2ff348d2f221"),
]


def label(case):
    """The name of a network and the settings that change what it computes."""
    shown = [f"{key}={value}" for key, value in case[1].items() if "dropout" not in key and key != "hidden"]
    return "-".join([case[0], *shown])


@pytest.mark.parametrize(("name", "settings", "digest"), TORCHVISION, ids=map(label, TORCHVISION))
def test_weights_have_the_names_and_shapes_of_torchvision(name, settings, digest):
    model = MODELS[name](**settings, rng=Empty())
    arrays = [*model.named_parameters(), *model.named_buffers()]
    lines = "\n".join(sorted(f"{key} {array.shape}" for key, array in arrays))
    assert blake2b(lines.encode(), digest_size=8).hexdigest() == digest


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
    ("simple_cnn", {}, (3, 1, 28, 28)),
    ("lenet", {}, (3, 1, 28, 28)),
    ("alexnet", {"hidden": 24, "dropout": 0}, (2, 3, 67, 64)),
    ("alexnet", {"hidden": 8, "dropout": 0, "original": True}, (2, 3, 67, 64)),
    ("vgg11", {"hidden": 16, "dropout": 0, "in_channels": 1}, (1, 1, 32, 33)),
    ("vgg11", {"hidden": 8, "dropout": 0, "batch_norm": True}, (2, 3, 32, 32)),
    ("vgg13", {"hidden": 16, "dropout": 0}, (1, 3, 32, 32)),
    ("vgg16", {"hidden": 16, "dropout": 0, "batch_norm": True}, (2, 3, 32, 32)),
    ("vgg19", {"hidden": 16, "dropout": 0}, (1, 3, 33, 32)),
    ("resnet18", {"width": 8, "in_channels": 1}, (3, 1, 40, 64)),
    ("resnet34", {"width": 4}, (3, 3, 40, 40)),
    ("resnet50", {"width": 4}, (4, 3, 64, 64)),
    ("nin", {"width": 12, "dropout": 0}, (2, 3, 32, 29)),
    ("googlenet", {"dropout": 0, "in_channels": 1}, (3, 1, 40, 33)),
    ("googlenet", {"auxiliary": True, "dropout": 0, "auxiliary_dropout": 0}, (3, 3, 63, 64)),
    ("resnet20", {"width": 8}, (2, 3, 32, 27)),
    ("resnet20", {"width": 4, "shortcut": "B", "in_channels": 1}, (2, 1, 28, 28)),
    ("resnet56", {"width": 4}, (2, 3, 16, 16)),
    ("resnet56", {"width": 4, "shortcut": "B"}, (2, 3, 16, 16)),
    ("squeezenet", {"dropout": 0}, (2, 3, 40, 37)),
    ("mobilenet_v1", {"width": 0.25}, (3, 3, 64, 64)),
    ("mobilenet_v2", {"dropout": 0, "in_channels": 1}, (3, 1, 64, 64)),
    ("mobilenet_v2", {"dropout": 0, "width": 0.35}, (3, 3, 64, 64)),
]
# Sums of up to 25,088 terms through up to 56 layers: sqrt(25088) roundings a layer. Measured: up to 2 % of that.
TOLERANCE = 56 * 25088**0.5 * np.finfo(np.float64).eps


@pytest.mark.parametrize(("name", "settings", "shape"), CASES, ids=map(label, CASES))
def test_weights_of_torch_load_unchanged_and_compute_the_same(name, settings, shape, rng, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file
    from torch_models import twin

    torch.manual_seed(0)
    matter = {key: value for key, value in settings.items() if "dropout" not in key and key != "in_channels"}
    theirs = twin(name, 5, shape[1], **matter).double()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    x, labels = rng.random(shape), rng.integers(0, 5, shape[0])
    expected = results_of_torch(torch, theirs, x, labels)
    model = MODELS[name](classes=5, **settings, rng=Empty())
    as_float64(model)
    for rewrite in (lambda model: model, fuse):
        load(model, tmp_path / "theirs.safetensors")
        assert list(dict(model.named_parameters())) == list(dict(theirs.named_parameters()))
        actual = results(model, rewrite(model), x, labels)
        # one scale for all gradients: that of a bias before a batch normalisation is 0 but for rounding
        scales = [1, np.abs(expected[1]).max(), *[max(np.abs(g).max() for g in expected[2])] * len(expected[2])]
        for got, exact, scale in zip(flat(actual[:3]), flat(expected[:3]), scales, strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE * scale)
        # and one for all buffers: the mean of sums of normalised maps is 0 but for rounding
        scale = max((np.abs(buffer).max() for buffer in expected[3]), default=0)
        for got, exact in zip(actual[3], expected[3], strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE * scale)
        np.testing.assert_allclose(actual[4], expected[4], rtol=0, atol=TOLERANCE * np.abs(expected[4]).max())
    logits = Predictor(model, shape[1:])(x)
    np.testing.assert_allclose(logits, expected[-1], rtol=0, atol=TOLERANCE * np.abs(expected[-1]).max())


ONE_OF_EACH = list({name: (name, *rest) for name, *rest in reversed(CASES)}.values())


@pytest.mark.parametrize(("name", "settings", "shape"), ONE_OF_EACH, ids=map(label, ONE_OF_EACH))
def test_predictors_in_float32(name, settings, shape, rng):
    model = MODELS[name](classes=5, **settings, rng=0)
    x = rng.random(shape, np.float32)
    for _ in range(3):
        model.forward(x, Context())  # running averages that are those of the activations
    expected = model(x)
    tolerance = TOLERANCE / np.finfo(np.float64).eps * np.finfo(np.float32).eps
    np.testing.assert_allclose(
        Predictor(model, shape[1:])(x), expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


def flat(results):
    return [value for group in results for value in (group if isinstance(group, list) else [group])]


def results(model, run, x, labels):
    """Loss, its gradients in x and in the parameters, the buffers afterwards, and the logits of inference."""
    for parameter in model.parameters():
        parameter.grad[...] = 0
    ctx, loss = Context(), SoftmaxCrossEntropy()
    value = loss.forward(run.forward(x, ctx), labels, ctx) + auxiliary_loss(loss, labels, ctx)
    dx = run.backward(loss.backward(ctx), ctx)
    gradients = [p.grad.copy() for p in model.parameters()]
    return value, dx, gradients, [buffer.copy() for _, buffer in model.named_buffers()], run(x)


def results_of_torch(torch, model, x, labels):
    leaf = torch.tensor(x, requires_grad=True)
    outputs = model(leaf)
    logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    for head in heads:
        loss = loss + 0.3 * torch.nn.functional.cross_entropy(head, torch.tensor(labels))
    loss.backward()
    gradients = [p.grad.numpy() for p in model.parameters()]
    model.eval()
    logits = model(torch.tensor(x)).detach().numpy()
    return loss.item(), leaf.grad.numpy(), gradients, [b.numpy() for b in model.buffers()], logits
