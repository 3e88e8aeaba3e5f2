"""What every layer promises, for every layer."""

import copy
import pickle

import numpy as np
import pytest
from gradcheck import away_from_kinks, check_layer
from layouts import LAYOUTS, freeze

from convnet.errors import DTypeError, ShapeError
from convnet.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Context,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2d,
    Multiply,
    Pad2d,
    PadChannels,
    Parallel,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample2d,
)
from convnet.layers.fused import BatchNormReLU

IMAGE = (4, 6, 7)
CASES = {
    "Conv2d": (lambda dtype: Conv2d(4, 6, 3, padding=1, rng=0, dtype=dtype), IMAGE),
    "Conv2d-strided": (lambda dtype: Conv2d(4, 6, (3, 2), (2, 1), "same", (1, 2), rng=0, dtype=dtype), IMAGE),
    "Conv2d-groups": (lambda dtype: Conv2d(4, 8, 3, padding=((1, 0), (2, 1)), groups=2, rng=0, dtype=dtype), IMAGE),
    "Conv2d-no-bias": (lambda dtype: Conv2d(4, 4, 3, groups=4, bias=False, rng=0, dtype=dtype), IMAGE),
    "Conv2d-depthwise": (lambda dtype: Conv2d(4, 4, 3, 2, 1, groups=4, rng=0, dtype=dtype), IMAGE),
    "ConvTranspose2d": (lambda dtype: ConvTranspose2d(4, 6, 2, 2, rng=0, dtype=dtype), IMAGE),
    "ConvTranspose2d-general": (
        lambda dtype: ConvTranspose2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 0), 2, dilation=(1, 2), rng=0, dtype=dtype),
        IMAGE,
    ),
    "ConvTranspose2d-no-bias": (lambda dtype: ConvTranspose2d(4, 3, 3, bias=False, rng=0, dtype=dtype), IMAGE),
    "Pad2d": (lambda dtype: Pad2d(1), IMAGE),
    "Pad2d-reflect": (lambda dtype: Pad2d(((1, 2), (3, 0)), "reflect"), IMAGE),
    "Pad2d-replicate": (lambda dtype: Pad2d((0, 2), "replicate"), IMAGE),
    "Upsample2d": (lambda dtype: Upsample2d(scale_factor=2), IMAGE),
    "Upsample2d-bilinear": (lambda dtype: Upsample2d((9, 5), mode="bilinear"), IMAGE),
    "Upsample2d-corners": (lambda dtype: Upsample2d(11, mode="bilinear", align_corners=True), IMAGE),
    "MaxPool2d": (lambda dtype: MaxPool2d(2), IMAGE),
    "MaxPool2d-general": (lambda dtype: MaxPool2d((2, 3), (2, 1), (1, 1), (1, 2), ceil_mode=True), IMAGE),
    "AvgPool2d": (lambda dtype: AvgPool2d(2), IMAGE),
    "AvgPool2d-general": (lambda dtype: AvgPool2d((2, 3), 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    "AdaptiveAvgPool2d": (lambda dtype: AdaptiveAvgPool2d((4, 3)), IMAGE),
    "AdaptiveAvgPool2d-same": (lambda dtype: AdaptiveAvgPool2d((6, 7)), IMAGE),
    "AdaptiveMaxPool2d": (lambda dtype: AdaptiveMaxPool2d((4, 3)), IMAGE),
    "GlobalAvgPool2d": (lambda dtype: GlobalAvgPool2d(), IMAGE),
    "BatchNorm2d": (lambda dtype: BatchNorm2d(4, dtype=dtype), IMAGE),
    "BatchNorm2d-plain": (lambda dtype: BatchNorm2d(4, 0.1, None, False, dtype=dtype), IMAGE),
    "BatchNormReLU": (lambda dtype: BatchNormReLU(BatchNorm2d(4, dtype=dtype)), IMAGE),
    "BatchNormReLU-ceiling": (  # no number within 0.02 of it
        lambda dtype: BatchNormReLU(BatchNorm2d(4, dtype=dtype), ceiling=0.85),
        IMAGE,
    ),
    "BatchNormReLU-pool": (lambda dtype: BatchNormReLU(BatchNorm2d(4, dtype=dtype), MaxPool2d(2)), IMAGE),
    "GroupNorm": (lambda dtype: GroupNorm(2, 4, dtype=dtype), IMAGE),
    "GroupNorm-plain": (lambda dtype: GroupNorm(4, 4, 0.1, affine=False, dtype=dtype), IMAGE),
    "LocalResponseNorm": (lambda dtype: LocalResponseNorm(3, 0.1), IMAGE),
    "LocalResponseNorm-general": (lambda dtype: LocalResponseNorm(2, 0.2, 0.6, 2), IMAGE),
    "Dense": (lambda dtype: Dense(5, 3, rng=0, dtype=dtype), (5,)),
    "Dense-no-bias": (lambda dtype: Dense(5, 3, bias=False, rng=0, dtype=dtype), (5,)),
    "ReLU": (lambda dtype: ReLU(), IMAGE),
    "ReLU-rows": (lambda dtype: ReLU(), (5,)),
    "ReLU6": (lambda dtype: ReLU6(), IMAGE),
    "ReLU6-rows": (lambda dtype: ReLU6(), (5,)),
    **{
        kind.__name__ + form: (lambda dtype, kind=kind: kind(), shape)
        for kind in (ELU, GELU, HardSigmoid, HardSwish, LeakyReLU, SiLU, Sigmoid, Softmax, Tanh)
        for form, shape in (("", IMAGE), ("-rows", (5,)))
    },
    "ELU-steep": (lambda dtype: ELU(0.5), IMAGE),
    "GELU-tanh": (lambda dtype: GELU("tanh"), IMAGE),
    "LeakyReLU-steep": (lambda dtype: LeakyReLU(0.3), IMAGE),
    "PReLU": (lambda dtype: PReLU(dtype=dtype), IMAGE),
    "PReLU-channels": (lambda dtype: PReLU(4, 0.1, dtype=dtype), IMAGE),
    "PReLU-rows": (lambda dtype: PReLU(5, dtype=dtype), (5,)),
    "Dropout": (lambda dtype: Dropout(0.3, rng=0), IMAGE),
    "Dropout-rows": (lambda dtype: Dropout(0.3, rng=0), (5,)),
    "Identity": (lambda dtype: Identity(), IMAGE),
    "Identity-rows": (lambda dtype: Identity(), (5,)),
    "PadChannels": (lambda dtype: PadChannels(2, 1), IMAGE),
    "Flatten": (lambda dtype: Flatten(), IMAGE),
    "AuxiliaryHead": (
        lambda dtype: AuxiliaryHead(Sequential(GlobalAvgPool2d(), Flatten(), Dense(4, 3, rng=0, dtype=dtype))),
        IMAGE,
    ),
    "Sequential": (
        lambda dtype: Sequential(Conv2d(4, 2, 3, rng=0, dtype=dtype), Flatten(), Dense(40, 3, rng=1, dtype=dtype)),
        IMAGE,
    ),
    "Sequential-empty": (lambda dtype: Sequential(), IMAGE),
    "Parallel": (lambda dtype: Parallel(Conv2d(4, 4, 3, padding=1, rng=0, dtype=dtype), Sequential()), IMAGE),
    "Parallel-concat": (
        lambda dtype: Parallel(Conv2d(4, 3, 2, rng=0, dtype=dtype), MaxPool2d(2, 1), merge=Concat()),
        IMAGE,
    ),
    "Parallel-gate": (
        lambda dtype: Parallel(
            Sequential(AvgPool2d((6, 7)), Conv2d(4, 4, 1, rng=0, dtype=dtype)), ReLU(), merge=Multiply()
        ),
        IMAGE,
    ),
    "Parallel-rows": (lambda dtype: Parallel(ReLU(), Dense(5, 5, rng=0, dtype=dtype), merge=Multiply()), (5,)),
    "Graph": (
        lambda dtype: Graph(
            {
                "conv1": (Conv2d(4, 4, 3, padding=1, rng=0, dtype=dtype), "x"),
                "conv2": (Conv2d(4, 4, 3, padding=1, rng=1, dtype=dtype), "conv1"),
                "add": (Add(), ("conv2", "x", "conv1")),
                "concat": (Concat(), ("add", "conv1")),
            }
        ),
        IMAGE,
    ),
}
every_layer = pytest.mark.parametrize(("build", "input_shape"), CASES.values(), ids=CASES.keys())


@every_layer
def test_the_gradient_is_that_of_the_forward_pass(build, input_shape, rng):
    check_layer(build(np.float64), away_from_kinks(rng, (2, *input_shape)), rng)


@every_layer
def test_output_shape_and_dtype_agree_with_forward(build, input_shape, dtype, rng):
    layer, x = build(dtype), rng.standard_normal((3, *input_shape)).astype(dtype)
    y = layer(x)
    assert y.shape == (3, *layer.output_shape(input_shape))
    assert y.dtype == dtype


@every_layer
def test_inference_equals_training_but_for_dropout_and_batch_norm(build, input_shape, dtype, rng):
    layer, x = build(dtype), rng.standard_normal((3, *input_shape)).astype(dtype)
    equal = np.array_equal(layer(x), layer.forward(x, Context()))
    assert equal != isinstance(layer, Dropout | BatchNorm2d | BatchNormReLU)


@every_layer
def test_nothing_is_written_to_x_or_dy(build, input_shape, dtype, rng):
    layer, ctx = build(dtype), Context()
    x = rng.standard_normal((2, *input_shape)).astype(dtype)
    dy = rng.standard_normal((2, *layer.output_shape(input_shape))).astype(dtype)
    before = freeze(x, dy)
    layer.forward(x, ctx)
    layer.backward(dy, ctx)
    assert [x.tobytes(), dy.tobytes()] == before


@every_layer
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_gives_the_same_numbers(build, input_shape, layout, dtype, rng):
    x = rng.standard_normal((2, *input_shape)).astype(dtype)
    results = []
    for given in (np.ascontiguousarray, LAYOUTS[layout]):
        layer, ctx = build(dtype), Context()
        y = layer.forward(given(x), ctx)
        dx = layer.backward(given(np.cos(y)), ctx)
        results.append([y, dx, *(p.grad for p in layer.parameters())])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)


class Producer:
    """Somebody else's array: nothing but DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **settings):
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("name", [name for name in CASES if "-" not in name])
def test_other_libraries_hand_over_by_dlpack_or_as_lists(name, rng):
    build, input_shape = CASES[name]
    layer, x = build(np.float64), rng.standard_normal((2, *input_shape))
    for given in (Producer(x), x.tolist()):
        np.testing.assert_array_equal(layer(given), layer(x), strict=True)


@every_layer
def test_an_empty_batch_gives_an_empty_batch_and_no_gradient(build, input_shape, dtype):
    layer, ctx = build(dtype), Context()
    y = layer.forward(np.zeros((0, *input_shape), dtype), ctx)
    assert y.shape == (0, *layer.output_shape(input_shape))
    assert layer.backward(np.zeros_like(y), ctx).shape == (0, *input_shape)
    assert not any(p.grad.any() for p in layer.parameters())


@every_layer
def test_gradients_add_up(build, input_shape, dtype, rng):
    layer, ctx = build(dtype), Context()
    y = layer.forward(rng.standard_normal((2, *input_shape)).astype(dtype), ctx)
    layer.backward(y, ctx)
    once = [p.grad.copy() for p in layer.parameters()]
    layer.backward(y, ctx)
    for p, gradient in zip(layer.parameters(), once, strict=True):
        # the sum g + g is exact; the accumulation into g adds the same terms in another order
        np.testing.assert_allclose(p.grad, 2 * gradient, rtol=0, atol=200 * np.finfo(dtype).eps * abs(gradient).max())


@every_layer
def test_inference_changes_nothing(build, input_shape, dtype, rng):
    layer = build(dtype)
    before = pickle.dumps(layer)
    layer(rng.standard_normal((2, *input_shape)).astype(dtype))
    assert pickle.dumps(layer) == before


@every_layer
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same_and_share_nothing(build, input_shape, duplicate, rng):
    layer, x = build(np.float32), rng.standard_normal((2, *input_shape)).astype(np.float32)
    twin = duplicate(layer)
    np.testing.assert_array_equal(twin.forward(x, Context()), layer.forward(x, Context()), strict=True)
    assert repr(twin) == repr(layer)
    for mine, other in zip(layer.parameters(), twin.parameters(), strict=True):
        assert not np.shares_memory(mine.value, other.value)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(4, 2, 3),
        ConvTranspose2d(4, 2, 3),
        MaxPool2d(2),
        AvgPool2d(2),
        BatchNorm2d(4),
        GroupNorm(2, 4),
        LocalResponseNorm(5),
        Flatten(),
        GlobalAvgPool2d(),
        Pad2d(1),
        PReLU(),
        Sigmoid(),
        Softmax(),
        Upsample2d(3),
        Identity(),
        PadChannels(1, 1),
        ReLU(),
        ReLU6(),
        Dropout(),
    ],
)
def test_integer_images_are_refused_with_advice(layer):
    expected = r"expected x of dtype float32.*, got uint8; scale images first: x\.astype\(float32\) / 255"
    with pytest.raises(DTypeError, match=f"{type(layer).__name__}: {expected}"):
        layer(np.zeros((1, *IMAGE), np.uint8))


@every_layer
def test_without_interest_in_dx_a_layer_may_return_none_and_still_gets_its_gradients(build, input_shape, rng):
    x = rng.standard_normal((2, *input_shape))
    gradients = []
    for wants_dx in (True, False):
        layer, ctx = build(np.float64), Context(wants_dx)
        layer.backward(np.ones_like(layer.forward(x, ctx)), ctx)
        gradients.append([p.grad for p in layer.parameters()])
    for wanted, unwanted in zip(*gradients, strict=True):
        np.testing.assert_array_equal(unwanted, wanted, strict=True)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(4, 2, 3),
        ConvTranspose2d(4, 2, 3),
        GroupNorm(2, 4),
        LocalResponseNorm(5),
        Pad2d(1),
        Upsample2d(3),
        MaxPool2d(2),
        AvgPool2d(2),
        GlobalAvgPool2d(),
        AdaptiveMaxPool2d(2),
        BatchNorm2d(4),
        Flatten(),
        PadChannels(),
    ],
)
def test_image_layers_refuse_rows(layer):
    who = type(layer).__name__
    channels = "4" if who in ("Conv2d", "ConvTranspose2d", "BatchNorm2d", "GroupNorm") else "c"
    with pytest.raises(ShapeError, match=rf"{who}: expected x of shape \(n, {channels}, h, w\), got \(2, 5\)"):
        layer(np.zeros((2, 5), np.float32))
    with pytest.raises(ShapeError, match=rf"{who}: expected an input of shape \({channels}, h, w\), got \(5,\)"):
        layer.output_shape((5,))
