"""PyTorch as the outside oracle: forward and all gradients, in float64."""

import numpy as np
import pytest
from bounds import assert_equal, assert_within
from geometries import CONV_EDGES, POOL_EDGES, sampled_conv, sampled_pool
from oracles import conv2d_sides, pair, windows

from convnet import (
    ELU,
    GELU,
    BatchNorm2d,
    Context,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    functional,
)

torch = pytest.importorskip("torch")


def _pytorch_takes(pool):
    """Whether the padding is at most half the undilated window, and every (dilated) window holds an element.

    PyTorch gives the gradient of an empty window to an unrelated element.
    """
    if any(p > k // 2 for p, k in zip(pair(pool.padding), pair(pool.kernel), strict=True)):
        return False
    return all(window for _, window, _ in windows(pool.x_shape, pool.kernel, **pool.settings))


POOLS = [pool for pool in POOL_EDGES + sampled_pool(120, seed=11) if _pytorch_takes(pool)]
EPS = np.finfo(np.float64).eps


def _gradients(y, dy, *leaves):
    """The gradients of sum(y * dy) with respect to the leaves, as arrays."""
    return [gradient.numpy() for gradient in torch.autograd.grad(y, leaves, torch.from_numpy(dy))]


def _leaves(*arrays):
    return [torch.from_numpy(a).requires_grad_() for a in arrays]


def _torch_conv2d(x, w, b, geometry):
    """Pad by hand where PyTorch cannot: sides that differ, and "same" with a stride."""
    stride, dilation = pair(geometry.stride), pair(geometry.dilation)
    if geometry.padding in ("same", "valid") and (geometry.padding == "valid" or stride == (1, 1)):
        return torch.nn.functional.conv2d(x, w, b, **geometry.settings)
    (top, bottom), (left, right) = conv2d_sides(geometry.padding, x.shape[2:], geometry.kernel, stride, dilation)
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    return torch.nn.functional.conv2d(padded, w, b, **(geometry.settings | {"padding": 0}))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("geometry", CONV_EDGES + sampled_conv(80, seed=12, most_products=500_000), ids=str)
def test_conv2d(geometry, rng):
    x, w, b, dy = geometry.reals(rng, np.float64)
    leaves = _leaves(x, w, b)
    y = _torch_conv2d(*leaves, geometry)
    scale = _torch_conv2d(*map(torch.from_numpy, map(np.abs, (x, w, b))), geometry).numpy()
    products = geometry.products
    assert_within(functional.conv2d(x, w, b, **geometry.settings), y.detach().numpy(), scale, products[0], "y")
    exact = _gradients(y, dy, *leaves)
    sizes = _leaves(np.abs(x), np.abs(w), np.abs(b))
    scales = _gradients(_torch_conv2d(*sizes, geometry), np.abs(dy), *sizes)
    gradients = functional.conv2d_backward(dy, x, w, **geometry.settings)
    for name, *check in zip(("dx", "dw", "db"), gradients, exact, scales, products[1:], strict=True):
        assert_within(*check, name)


@pytest.mark.parametrize("values", ["distinct", "ties"])
@pytest.mark.parametrize("geometry", POOLS, ids=str)
def test_max_pool2d(geometry, values, rng):
    x = rng.standard_normal(geometry.x_shape) if values == "distinct" else rng.integers(0, 2, geometry.x_shape) * 1.0
    dy = rng.integers(-9, 10, geometry.y_shape) * 1.0
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.max_pool2d(leaf, geometry.kernel, **geometry.settings)
    y, codes = functional.max_pool2d(x, geometry.kernel, **geometry.settings, return_codes=True)
    assert_equal(y, expected.detach().numpy(), "y")
    dx = functional.max_pool2d_backward(dy, codes, x.shape, geometry.kernel, **geometry.settings)
    assert_equal(dx, *_gradients(expected, dy, leaf), "dx")


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("geometry", [g for g in POOLS if g.dilation in (1, (1, 1))], ids=str)
def test_avg_pool2d(geometry, count_include_pad, rng):
    settings = geometry.undilated | {"count_include_pad": count_include_pad}
    x, dy = rng.random(geometry.x_shape), rng.random(geometry.y_shape)
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.avg_pool2d(leaf, geometry.kernel, **settings)
    products = int(np.prod(pair(geometry.kernel)))
    exact = expected.detach().numpy()
    assert_within(functional.avg_pool2d(x, geometry.kernel, **settings), exact, exact, products, "y")
    (exact,) = _gradients(expected, dy, leaf)
    dx = functional.avg_pool2d_backward(dy, x.shape, geometry.kernel, **settings)
    assert_within(dx, exact, exact, products, "dx")


@pytest.mark.parametrize("size", [1, 3, (2, 5), 7, (9, 12)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 7), (1, 17, 13, 9), (2, 4, 1, 3)], ids=str)
def test_adaptive_pooling(shape, size, rng):
    x = rng.integers(0, 5, shape) * 1.0
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.adaptive_max_pool2d(leaf, size)
    y, codes = functional.adaptive_max_pool2d(x, size, return_codes=True)
    dy = rng.integers(-9, 10, y.shape) * 1.0
    assert_equal(y, expected.detach().numpy(), "y")
    dx = functional.adaptive_max_pool2d_backward(dy, codes, x.shape)
    assert_equal(dx, *_gradients(expected, dy, leaf), "dx")
    expected = torch.nn.functional.adaptive_avg_pool2d(leaf, size)
    _assert_close(functional.adaptive_avg_pool2d(x, size), expected.detach().numpy(), "y")
    _assert_close(functional.adaptive_avg_pool2d_backward(dy, x.shape), *_gradients(expected, dy, leaf), "dx")


def _assert_close(got, exact, name):
    """Both in float64, from sums of numbers of size 1 in another order."""
    np.testing.assert_allclose(got, exact, rtol=0, atol=1000 * EPS * max(1, np.abs(exact).max()), err_msg=name)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (3, 19, 8, 9), (4, 64, 20, 21)], ids=str)
def test_batch_norm(shape, relu, rng):
    x, add, dy = rng.standard_normal((3, *shape))
    w, b = rng.standard_normal((2, shape[1]))
    leaves = _leaves(x, w, b, add)
    expected = torch.nn.functional.batch_norm(leaves[0], None, None, *leaves[1:3], True) + leaves[3]
    expected = torch.relu(expected) if relu else expected
    y, mean, var = functional.batch_norm(x, w, b, relu=relu, add=add)
    _assert_close(y, expected.detach().numpy(), "y")
    gradients = functional.batch_norm_backward(dy, x, mean, var, w, b, relu=relu, output=y)
    for name, got, exact in zip(("dx", "dw", "db", "dadd"), gradients, _gradients(expected, dy, *leaves), strict=True):
        _assert_close(dy if got is None else got, exact, name)


@pytest.mark.parametrize("pool", [2, (1, 3), (4, 2)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (3, 19, 8, 9), (4, 64, 20, 21)], ids=str)
def test_batch_norm_relu_pool(shape, pool, rng):
    x, (w, b) = rng.standard_normal(shape), rng.standard_normal((2, shape[1]))
    leaves = _leaves(x, w, b)
    expected = torch.relu(torch.nn.functional.batch_norm(leaves[0], None, None, *leaves[1:], True))
    expected = torch.nn.functional.max_pool2d(expected, pool)
    y, codes, mean, var = functional.batch_norm_relu_pool(x, w, b, pool=pool)
    _assert_close(y, expected.detach().numpy(), "y")
    dy = rng.standard_normal(y.shape)
    gradients = functional.batch_norm_relu_pool_backward(dy, codes, x, mean, var, w, pool=pool)
    for name, got, exact in zip(("dx", "dw", "db"), gradients, _gradients(expected, dy, *leaves), strict=True):
        _assert_close(got, exact, name)


@pytest.mark.parametrize(
    "settings", [{}, {"eps": 0.1, "momentum": 0.3}, {"momentum": None}, {"affine": False}], ids=str
)
def test_batch_norm_layer_over_several_steps(settings, rng):
    ours, theirs = BatchNorm2d(5, **settings, dtype=np.float64), torch.nn.BatchNorm2d(5, **settings, dtype=torch.double)
    for step in range(4):
        x, dy = rng.standard_normal((2, 3, 5, 4, 6)) + step
        (leaf,) = _leaves(x)
        expected, ctx = theirs(leaf), Context()
        _assert_close(ours.forward(x, ctx), expected.detach().numpy(), "y")
        _assert_close(ours.backward(dy, ctx), *_gradients(expected, dy, leaf), "dx")
    state = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    for name, value in ours.state_dict().items():
        _assert_close(value, state[name], name)
    theirs.eval()
    _assert_close(ours(x), theirs(leaf).detach().numpy(), "inference")
    fresh = BatchNorm2d(5, **settings)
    fresh.load_state_dict(state)
    assert fresh.num_batches_tracked == 4


def test_nan_in_max_pool2d_and_relu(rng):
    x, dy = rng.standard_normal((2, 2, 19, 8, 8))
    x[rng.random(x.shape) < 0.2] = np.nan
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.max_pool2d(leaf, 2)
    y, codes = functional.max_pool2d(x, 2, return_codes=True)
    assert_equal(y, expected.detach().numpy())
    got = functional.max_pool2d_backward(dy[:, :, ::2, ::2], codes, x.shape, 2)
    assert_equal(got, *_gradients(expected, dy[:, :, ::2, ::2].copy(), leaf))
    expected = torch.relu(leaf)
    assert_equal(functional.relu(x), expected.detach().numpy())
    assert_equal(functional.relu_backward(dy, functional.relu(x)), *_gradients(expected, dy, leaf))


def test_relu6(rng):
    x, dy = 4 * rng.standard_normal((2, 3, 19, 5, 8))
    x[0, :3] = np.reshape([0, 6, np.inf], (3, 1, 1))
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.relu6(leaf)
    assert_equal(functional.relu6(x), expected.detach().numpy())
    assert_equal(functional.relu6_backward(dy, functional.relu6(x)), *_gradients(expected, dy, leaf))
    x[1] = np.nan  # with a gradient of 0 or of dy, by its place in a vector, in PyTorch
    assert_equal(functional.relu6(x), torch.relu(torch.from_numpy(x)).clamp(max=6).numpy())


def test_batch_norm_and_relu6(rng):
    """With 0 and 6 themselves, and gradients there: 6 * (-1, 1) / sqrt(1 + 3) + 3 in channel 0."""
    x, dy = rng.standard_normal((2, 4, 19, 5, 8))
    x[:, 0] = np.where(x[:, 0] > np.median(x[:, 0]), 1, -1)
    w, b = rng.uniform(1, 8, (2, 19))
    w[0], b[0] = 6, 3
    leaves = _leaves(x, w, b)
    normal = torch.nn.functional.batch_norm(leaves[0], None, None, *leaves[1:], training=True, eps=3)
    expected = torch.nn.functional.relu6(normal)
    assert {0.0, 6.0} == set(expected[:, 0].unique().tolist())
    y, mean, var = functional.batch_norm(x, w, b, eps=3, relu=True, ceiling=6)
    _assert_close(y, expected.detach().numpy(), "y")
    gradients = functional.batch_norm_backward(dy, x, mean, var, w, b, eps=3, relu=True, ceiling=6)[:3]
    for name, got, exact in zip(("dx", "dw", "db"), gradients, _gradients(expected, dy, *leaves), strict=True):
        _assert_close(got, exact, name)
    assert gradients[2][0] == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 37, 21), (100, 1568, 64)], ids=str)
def test_dense(shape, rng):
    n, inputs, outputs = shape
    x, w, b, dy = (rng.integers(-9, 10, s) * 1.0 for s in ((n, inputs), (outputs, inputs), (outputs,), (n, outputs)))
    leaves = _leaves(x, w, b)
    expected = torch.nn.functional.linear(*leaves)
    assert_equal(functional.dense(x, w, b), expected.detach().numpy())
    for got, exact in zip(functional.dense_backward(dy, x, w), _gradients(expected, dy, *leaves), strict=True):
        assert_equal(got, exact)


@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_softmax_cross_entropy(kind, rng):
    logits = rng.standard_normal((9, 10)) * 5
    targets = rng.integers(0, 10, 9) if kind == "indices" else rng.random((9, 10))
    (leaf,) = _leaves(logits)
    expected = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(targets))
    loss, dlogits = functional.softmax_cross_entropy(logits, targets)
    assert loss == pytest.approx(expected.item(), rel=50 * EPS)
    (exact,) = _gradients(expected, np.array(1.0), leaf)
    np.testing.assert_allclose(dlogits, exact, rtol=0, atol=50 * EPS)
    np.testing.assert_allclose(functional.softmax(logits), torch.softmax(leaf, 1).detach().numpy(), rtol=50 * EPS)


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}], ids=str
)
def test_sgd(settings, rng):
    (leaf,) = _leaves(rng.standard_normal(37))
    optimizer = torch.optim.SGD([leaf], lr=0.1, **settings)
    value, velocity = leaf.detach().numpy().copy(), np.zeros(37) if "momentum" in settings else None
    for _ in range(4):
        leaf.grad = torch.from_numpy(rng.standard_normal(37))
        functional.sgd_update(value, leaf.grad.numpy().copy(), velocity, lr=0.1, **settings)
        optimizer.step()
        np.testing.assert_allclose(value, leaf.detach().numpy(), rtol=0, atol=50 * EPS)


@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adam(decoupled, weight_decay, rng):
    (leaf,) = _leaves(rng.standard_normal(37))
    settings = {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": weight_decay}
    optimizer = (torch.optim.AdamW if decoupled else torch.optim.Adam)([leaf], **settings)
    value, mean, variance = leaf.detach().numpy().copy(), np.zeros(37), np.zeros(37)
    for step in range(1, 5):
        leaf.grad = torch.from_numpy(rng.standard_normal(37))
        grad = leaf.grad.numpy().copy()
        functional.adam_update(value, grad, mean, variance, step=step, decoupled=decoupled, **settings)
        optimizer.step()
        np.testing.assert_allclose(value, leaf.detach().numpy(), rtol=0, atol=50 * EPS)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_rmsprop(momentum, centered, rng):
    (leaf,) = _leaves(rng.standard_normal(37))
    settings = {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": momentum, "weight_decay": 0.1}
    optimizer = torch.optim.RMSprop([leaf], centered=centered, **settings)
    value, square = leaf.detach().numpy().copy(), np.zeros(37)
    velocity, mean = np.zeros(37) if momentum else None, np.zeros(37) if centered else None
    for _ in range(4):
        leaf.grad = torch.from_numpy(rng.standard_normal(37))
        functional.rmsprop_update(value, leaf.grad.numpy().copy(), square, velocity, mean, **settings)
        optimizer.step()
        np.testing.assert_allclose(value, leaf.detach().numpy(), rtol=0, atol=50 * EPS)


def test_clipping(rng):
    grads = [rng.standard_normal(shape) for shape in ((3, 4), (5,))]
    leaves = _leaves(*(np.zeros_like(g) for g in grads))
    for leaf, g in zip(leaves, grads, strict=True):
        leaf.grad = torch.from_numpy(g.copy())
    updates = functional.Updates([(np.zeros_like(g), g) for g in grads])
    norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0).item()
    assert updates.clip_norm(1.0) == pytest.approx(norm, rel=50 * EPS)
    for leaf, g in zip(leaves, grads, strict=True):
        np.testing.assert_allclose(g * (norm / (norm + 1e-6)), leaf.grad.numpy(), rtol=50 * EPS)  # its divisor
        leaf.grad.copy_(torch.from_numpy(g))
    torch.nn.utils.clip_grad_value_(leaves, 0.2)
    updates.clip_value(0.2)
    for leaf, g in zip(leaves, grads, strict=True):
        assert_equal(g, leaf.grad.numpy())


# ---- normalisations, activations, transposed convolution, resizing ---------------------------------------------------


@pytest.mark.parametrize("settings", [(5, 5e-4, 0.75, 2.0), (4, 1.0, 0.6, 1.0), (1, 0.5, 0.5, 1.0), (9, 1.0, 1.0, 0.5)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 19, 8, 9)], ids=str)
def test_local_response_norm(shape, settings, rng):
    x, dy = 3 * rng.standard_normal((2, *shape))
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.local_response_norm(leaf, *settings)
    ours = dict(zip(("size", "alpha", "beta", "k"), settings, strict=True))
    _assert_close(functional.local_response_norm(x, **ours), expected.detach().numpy(), "y")
    dx = functional.local_response_norm_backward(dy, x, **ours)
    _assert_close(dx, *_gradients(expected, dy, leaf), "dx")


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("shape", [(2, 6, 1, 1), (3, 18, 8, 9), (1, 66, 40, 21)], ids=str)
def test_group_norm(shape, groups, rng):
    if shape[1] * shape[2] == groups:
        pytest.skip("PyTorch refuses one value a group")
    x, dy = rng.standard_normal((2, *shape))
    w, b = rng.standard_normal((2, shape[1]))
    leaves = _leaves(x, w, b)
    expected = torch.nn.functional.group_norm(leaves[0], groups, *leaves[1:], 1e-3)
    y, mean, var = functional.group_norm(x, groups, w, b, eps=1e-3)
    _assert_close(y, expected.detach().numpy(), "y")
    gradients = functional.group_norm_backward(dy, x, mean, var, w, eps=1e-3)
    for name, got, exact in zip(("dx", "dw", "db"), gradients, _gradients(expected, dy, *leaves), strict=True):
        _assert_close(got, exact, name)


ACTIVATIONS = [
    (ELU(0.7), lambda x: torch.nn.functional.elu(x, 0.7)),
    (GELU(), torch.nn.functional.gelu),
    (GELU("tanh"), lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
    (HardSigmoid(), lambda x: torch.nn.functional.relu6(x + 3) / 6),  # whose own gradient takes 1 / 6 from float32
    (HardSwish(), torch.nn.functional.hardswish),
    (LeakyReLU(0.3), lambda x: torch.nn.functional.leaky_relu(x, 0.3)),
    (SiLU(), torch.nn.functional.silu),
    (Sigmoid(), torch.sigmoid),
    (Softmax(), lambda x: torch.softmax(x, 1)),
    (Tanh(), torch.tanh),
]


@pytest.mark.parametrize(("layer", "theirs"), ACTIVATIONS, ids=[repr(layer) for layer, _ in ACTIVATIONS])
def test_activations(layer, theirs, rng):
    x, dy = 4 * rng.standard_normal((2, 3, 19, 5, 8))
    x[0, :6] = np.reshape([0, 3, -3, 700, -700, 1e-9], (6, 1, 1))
    (leaf,) = _leaves(x)
    expected, ctx = theirs(leaf), Context()
    _assert_close(layer.forward(x, ctx), expected.detach().numpy(), "y")
    _assert_close(layer.backward(dy, ctx), *_gradients(expected, dy, leaf), "dx")


@pytest.mark.parametrize("slopes", [1, 19])
def test_prelu(slopes, rng):
    x, dy = rng.standard_normal((2, 3, 19, 5, 8))
    x[0, 0] = 0
    weight = rng.standard_normal(slopes)
    leaves = _leaves(x, weight)
    expected = torch.nn.functional.prelu(*leaves)
    assert_equal(functional.prelu(x, weight), expected.detach().numpy())
    dx, dweight = functional.prelu_backward(dy, x, weight)
    exact = _gradients(expected, dy, *leaves)
    assert_equal(dx, exact[0])
    _assert_close(dweight, exact[1], "dweight")


TRANSPOSED = [
    ((2, 3, 4, 5), (2, 3, 3), {}),
    ((1, 5, 4, 6), (4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 4, 5, 3), (3, 4, 4), {"stride": 2, "padding": 1, "groups": 2}),
    ((1, 2, 3, 4), (2, 2, 3), {"stride": (2, 1), "output_padding": (2, 0), "dilation": 3}),
    ((3, 40, 9, 9), (24, 3, 3), {"padding": 1}),
    ((2, 6, 7, 7), (1, 3, 3), {"groups": 6, "stride": 3, "padding": 2}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "settings"), TRANSPOSED, ids=str)
def test_conv_transpose2d(x_shape, w_shape, settings, rng):
    x, w = rng.standard_normal(x_shape), rng.standard_normal((x_shape[1], *w_shape))
    b = rng.standard_normal(w_shape[0] * settings.get("groups", 1))
    leaves = _leaves(x, w, b)
    expected = torch.nn.functional.conv_transpose2d(*leaves, **settings)
    _assert_close(functional.conv_transpose2d(x, w, b, **settings), expected.detach().numpy(), "y")
    dy = rng.standard_normal(expected.shape)
    gradients = functional.conv_transpose2d_backward(dy, x, w, **settings)
    for name, got, exact in zip(("dx", "dw", "db"), gradients, _gradients(expected, dy, *leaves), strict=True):
        _assert_close(got, exact, name)


@pytest.mark.parametrize(
    ("mode", "theirs"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "replicate")]
)
def test_pad2d(mode, theirs, rng):
    x = rng.integers(-9, 10, (2, 5, 4, 6)) * 1.0
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.pad(leaf, (3, 0, 1, 2), mode=theirs)
    assert_equal(functional.pad2d(x, ((1, 2), (3, 0)), mode=mode), expected.detach().numpy())
    dy = rng.integers(-9, 10, expected.shape) * 1.0
    assert_equal(functional.pad2d_backward(dy, (4, 6), ((1, 2), (3, 0)), mode=mode), *_gradients(expected, dy, leaf))


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (9, 11)},
        {"size": (3, 2)},
        {"scale_factor": 2},
        {"scale_factor": (2.5, 1.3)},
        {"size": (9, 11), "mode": "bilinear", "align_corners": False},
        {"size": (3, 1), "mode": "bilinear", "align_corners": False},
        {"scale_factor": (1.7, 0.6), "mode": "bilinear", "align_corners": False},
        {"scale_factor": 2, "mode": "bilinear", "align_corners": True},
        {"size": (1, 2), "mode": "bilinear", "align_corners": True},
    ],
    ids=str,
)
def test_upsample2d(settings, rng):
    x = rng.standard_normal((2, 5, 4, 6))
    (leaf,) = _leaves(x)
    expected = torch.nn.functional.interpolate(leaf, **settings)
    _assert_close(functional.upsample2d(x, **settings), expected.detach().numpy(), "y")
    dy = rng.standard_normal(expected.shape)
    dx = functional.upsample2d_backward(dy, (4, 6), **settings)
    _assert_close(dx, *_gradients(expected, dy, leaf), "dx")
