"""Models in ONNX files: accepted by the checker, and computed by another runtime to the same numbers."""

import json
import sys

import numpy as np
import pytest
from bounds import DIRECT
from test_layers_contract import CASES, IMAGE

import convnet
from convnet.errors import SettingError, ShapeError, UnsupportedError
from convnet.layers import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    Frozen,
    Graph,
    GroupNorm,
    Identity,
    Layer,
    LocalResponseNorm,
    MaxPool2d,
    Parallel,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    Softmax,
    Upsample2d,
)
from convnet.layers.fused import AddReLU, BatchNormAddReLU, ConvReLU, DenseReLU
from convnet.models import MODELS
from convnet.onnx import export
from convnet.onnx.exporter import _export, _layers

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def _shared(layer):
    """The same layer twice, on maps and on rows."""
    return Sequential(layer, AvgPool2d(IMAGE[1:]), Flatten(), layer)


MORE = {
    "Add-three": (lambda dtype: Parallel(ReLU(), Identity(), Identity()), IMAGE),
    "Add-one": (lambda dtype: Parallel(ReLU()), IMAGE),
    "AddReLU": (lambda dtype: Parallel(Conv2d(4, 4, 1, rng=0, dtype=dtype), Identity(), merge=AddReLU()), IMAGE),
    "AdaptiveAvgPool2d-even": (lambda dtype: AdaptiveAvgPool2d((3, 7)), IMAGE),
    "AdaptiveAvgPool2d-larger": (lambda dtype: AdaptiveAvgPool2d((9, 1)), IMAGE),
    "AdaptiveMaxPool2d-all": (lambda dtype: AdaptiveMaxPool2d(1), IMAGE),
    "AdaptiveMaxPool2d-even": (lambda dtype: AdaptiveMaxPool2d((2, 1)), IMAGE),
    "AdaptiveMaxPool2d-uneven": (lambda dtype: AdaptiveMaxPool2d(5), IMAGE),
    "AvgPool2d-same": (lambda dtype: AvgPool2d(3, 1, 1), IMAGE),
    "AvgPool2d-ceil": (lambda dtype: AvgPool2d((3, 2), 2, 1, ceil_mode=True), IMAGE),
    "AvgPool2d-gaps": (lambda dtype: AvgPool2d(2, (3, 4), ceil_mode=True), IMAGE),
    "AvgPool2d-padding": (lambda dtype: AvgPool2d(3, 2, (1, 0), count_include_pad=False), IMAGE),
    "BatchNormAddReLU": (
        lambda dtype: Parallel(ReLU(), Identity(), merge=BatchNormAddReLU(BatchNorm2d(4, dtype=dtype))),
        IMAGE,
    ),
    "ConvReLU": (lambda dtype: ConvReLU(Conv2d(4, 3, 3, rng=0, dtype=dtype), MaxPool2d(2)), IMAGE),
    "DenseReLU": (lambda dtype: DenseReLU(Dense(5, 3, rng=0, dtype=dtype)), (5,)),
    "Frozen": (lambda dtype: Frozen(Conv2d(4, 2, 1, rng=0, dtype=dtype)), IMAGE),
    "GroupNorm-one": (lambda dtype: GroupNorm(1, 4, dtype=dtype), IMAGE),
    "LocalResponseNorm-wide": (lambda dtype: LocalResponseNorm(9, 0.5, 0.75, 1), IMAGE),
    "LocalResponseNorm-wide-even": (lambda dtype: LocalResponseNorm(6, 0.5, 0.75, 1), IMAGE),
    "MaxPool2d-wide-padding": (lambda dtype: MaxPool2d((2, 3), 1, (2, 1), (4, 1)), IMAGE),
    "MaxPool2d-gaps": (lambda dtype: MaxPool2d(2, (3, 4), ceil_mode=True), IMAGE),
    "PReLU-of-maps-and-rows": (lambda dtype: _shared(PReLU(4, dtype=dtype)), IMAGE),
    "PReLU-one-row": (lambda dtype: PReLU(dtype=dtype), (5,)),
    "Upsample2d-columns": (lambda dtype: Upsample2d((6, 21)), IMAGE),
    "Upsample2d-uneven": (lambda dtype: Upsample2d(scale_factor=(1.7, 2.3)), IMAGE),
    "Upsample2d-smaller": (lambda dtype: Upsample2d((4, 3)), IMAGE),
    "Upsample2d-bilinear-scale": (lambda dtype: Upsample2d(scale_factor=(1.7, 0.6), mode="bilinear"), IMAGE),
    "Upsample2d-bilinear-2.12": (  # times 25 is 53, but a little less in float32
        lambda dtype: Upsample2d(scale_factor=(2.12, 1.0), mode="bilinear"),
        (1, 25, 2),
    ),
    "Upsample2d-bilinear-rounded-down": (lambda dtype: Upsample2d(scale_factor=1.45, mode="bilinear"), IMAGE),
    "Upsample2d-corners-scale": (
        lambda dtype: Upsample2d(scale_factor=1.4, mode="bilinear", align_corners=True),
        IMAGE,
    ),
}
LAYERS = {**CASES, **MORE}
every_layer = pytest.mark.parametrize(("build", "input_shape"), LAYERS.values(), ids=LAYERS.keys())


def written(model, path, input_shape=None, **settings):
    """What the checker accepts, shapes inferred, of a model that was written."""
    export(model, path, input_shape, **settings)
    content = onnx.load(path)
    onnx.checker.check_model(content, full_check=True)
    return content


def run(path, x):
    """The only output of a file for a batch, and what the runtime calls both."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    assert given.shape[0] == wanted.shape[0] == "batch"
    return session.run([wanted.name], {given.name: x})[0]


def randomized(model, rng):
    """The model with numbers in all its parameters and buffers that no default hides behind."""
    for name, array in model._state().items():
        if array.dtype.kind == "f":
            array[...] = 0.5 + rng.random(array.shape) if "var" in name else rng.standard_normal(array.shape)
    return model


def limit(layer, build, x, exact):
    """DIRECT eps sqrt(K) S: no output is a sum of more terms than an input has numbers.

    S is the layer on absolute values; what is not linear changes by no more than its input does, which is off by no
    more than its size, and positions between pixels are off by no more than the size of the map.
    """
    absolute = build(np.float64)
    absolute.load_state_dict({name: np.abs(array) for name, array in layer.state_dict().items()})
    scale = max(np.abs(array).max() for array in (x, exact, absolute(np.abs(np.float64(x)))))
    return DIRECT * np.finfo(np.float32).eps * np.sqrt(x[0].size) * scale


@every_layer
def test_layers(build, input_shape, rng, tmp_path):
    layer, twin = randomized(build(np.float32), rng), build(np.float64)
    twin.load_state_dict(layer.state_dict())
    for opset in (13, 17, 22):
        content = written(layer, tmp_path / "layer.onnx", input_shape, opset=opset)
        assert content.opset_import[0].version == opset
        for n in (1, 3):
            x = 3 * rng.standard_normal((n, *input_shape)).astype(np.float32)
            y, exact = run(tmp_path / "layer.onnx", x), twin(np.float64(x))
            np.testing.assert_allclose(y, exact, rtol=0, atol=limit(layer, build, x, exact), err_msg=f"opset {opset}")


def test_there_is_a_case_for_every_layer():
    def inside(layer):
        return {type(layer)}.union(*(inside(child) for _, child in layer.named_children()))

    assert set(_layers.LAYERS) == set.union(*(inside(build(np.float32)) for build, _ in LAYERS.values()))


SMALL = {
    "alexnet": ({"hidden": 32}, (3, 64, 64)),
    **dict.fromkeys(("vgg11", "vgg13", "vgg19"), ({"hidden": 16}, (3, 32, 32))),
    "vgg16": ({"hidden": 16, "batch_norm": True}, (3, 32, 32)),
    "nin": ({"width": 16}, None),
    "googlenet": ({"auxiliary": True}, (3, 32, 32)),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50"), ({"width": 8}, (3, 32, 32))),
    **dict.fromkeys(("resnet20", "resnet56"), ({"width": 4}, None)),
    "squeezenet": ({}, (3, 32, 32)),
    **dict.fromkeys(("mobilenet_v1", "mobilenet_v2"), ({"width": 0.25}, (3, 32, 32))),
}


def network(name, rng):
    """A small one, with running averages that are not those of a fresh one."""
    settings, shape = SMALL.get(name, ({}, None))
    model = MODELS[name](classes=7, **settings, rng=0)
    for key, buffer in model.named_buffers():
        if buffer.ndim:
            buffer[...] = 0.5 + rng.random(buffer.shape) if "var" in key else 0.1 * rng.standard_normal(buffer.shape)
    return model, shape or model.input_shape


def tolerance(model):
    """Roundings from the input to the output, as relative to it: sqrt(K) a layer that adds K products."""
    kinds = [p.value for _, p in model.named_parameters() if p.value.ndim > 1]
    return np.finfo(np.float32).eps * sum(np.sqrt(weight[0].size) for weight in kinds)


@pytest.mark.parametrize("name", MODELS)
def test_networks(name, rng, tmp_path):
    model, shape = network(name, rng)
    content = written(model, tmp_path / "network.onnx", shape)
    assert {weight.name for weight in content.graph.initializer} >= {
        key for key in model.state_dict() if "num_batches" not in key and not key.startswith("aux")
    }
    for n in (1, 3):
        x = rng.random((n, *shape), np.float32)
        exact = model(x)
        y = run(tmp_path / "network.onnx", x)
        np.testing.assert_allclose(y, exact, rtol=0, atol=tolerance(model) * np.abs(exact).max())


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "lenet"])
def test_what_fuse_and_folding_make_computes_the_same(name, rng, tmp_path):
    model, shape = network(name, rng)
    x = rng.random((2, *shape), np.float32)
    exact = model(x)
    for given, folded in ((convnet.fuse(model), False), (model, True), (convnet.fuse(model), True)):
        content = written(given, tmp_path / "network.onnx", shape, fold_batch_norm=folded)
        kinds = [node.op_type for node in content.graph.node]
        assert ("BatchNormalization" in kinds) == (not folded and name != "lenet")
        y = run(tmp_path / "network.onnx", x)
        np.testing.assert_allclose(y, exact, rtol=0, atol=tolerance(model) * np.abs(exact).max())


FOLDED = {
    "a bias": (lambda: Sequential(Conv2d(4, 6, 3, rng=0), BatchNorm2d(6)), 0),
    "no bias": (lambda: Sequential(Conv2d(4, 6, 3, bias=False, rng=0), BatchNorm2d(6, 0.1, affine=False)), 0),
    "groups": (lambda: Sequential(Conv2d(4, 8, 3, groups=2, rng=0), BatchNorm2d(8), ReLU()), 0),
    "transposed": (lambda: Sequential(ConvTranspose2d(4, 6, 2, groups=2, rng=0), BatchNorm2d(6)), 0),
    "two": (lambda: Sequential(Conv2d(4, 6, 3, rng=0), BatchNorm2d(6), BatchNorm2d(6)), 0),
    "nothing before": (lambda: Sequential(BatchNorm2d(4), Conv2d(4, 6, 3, rng=0)), 1),
    "no convolution before": (lambda: Sequential(Conv2d(4, 6, 3, rng=0), ReLU(), BatchNorm2d(6)), 1),
    "two readers": (
        lambda: Graph(
            {"conv": (Conv2d(4, 4, 1, rng=0), "x"), "norm": (BatchNorm2d(4), "conv"), "add": (Add(), ("norm", "conv"))}
        ),
        1,
    ),
}


@pytest.mark.parametrize(("build", "left"), FOLDED.values(), ids=FOLDED.keys())
def test_folding_takes_in_what_it_can(build, left, rng, tmp_path):
    model, x = randomized(build(), rng), rng.standard_normal((2, *IMAGE)).astype(np.float32)
    state = model.state_dict()
    content = written(model, tmp_path / "model.onnx", IMAGE, fold_batch_norm=True)
    assert [node.op_type for node in content.graph.node].count("BatchNormalization") == left
    y = model(x)
    scale = max(np.abs(array).max() for array in (y, *state.values())) ** 3  # the two weights and the result
    atol = DIRECT * np.finfo(np.float32).eps * np.sqrt(x[0].size) * scale
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), y, rtol=0, atol=atol)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_weights_that_two_convolutions_share_are_folded_for_one(rng, tmp_path):
    conv = Conv2d(4, 4, 1, rng=0)
    model = randomized(Parallel(Sequential(conv, BatchNorm2d(4)), Sequential(conv, ReLU())), rng)
    x = rng.standard_normal((2, *IMAGE)).astype(np.float32)
    content = written(model, tmp_path / "model.onnx", IMAGE)
    assert [weight.name for weight in content.graph.initializer][:2] == ["0.0.weight", "0.0.bias"]
    assert len(content.graph.initializer) == 6
    content = written(model, tmp_path / "model.onnx", IMAGE, fold_batch_norm=True)
    assert len(content.graph.initializer) == 4
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), model(x), rtol=0, atol=1e-5 * np.abs(model(x)).max())


def test_names_and_metadata(tmp_path):
    model = Sequential({"body": Sequential({"conv": Conv2d(1, 2, 3, rng=0)}), "input": Flatten(), "head": Dense(8, 2)})
    settings = {"classes": ["Katze", "χ"], "input_name": "pixels", "output_name": "logits"}
    content = written(model, tmp_path / "model.onnx", (1, 4, 4), **settings)
    assert (content.producer_name, content.producer_version) == ("convnet", convnet.__version__)
    assert json.loads({entry.key: entry.value for entry in content.metadata_props}["classes"]) == ["Katze", "χ"]
    graph = content.graph
    assert [node.name for node in graph.node] == ["body.conv/Conv", "input/Flatten", "head/Gemm"]
    assert [value.name for value in (*graph.input, *graph.output)] == ["pixels", "logits"]
    assert [weight.name for weight in graph.initializer] == list(model.state_dict())
    assert [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.input] == [
        ["batch", 1, 4, 4]
    ]
    for weight, array in zip(graph.initializer, model.state_dict().values(), strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), array, strict=True)


def test_old_runtimes_read_what_is_written_for_them(tmp_path):
    versions = {13: 7, 17: 8, 22: 10}
    for opset, version in versions.items():
        assert written(ReLU(), tmp_path / "relu.onnx", (3,), opset=opset).ir_version == version


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    model = Sequential({"a": Conv2d(1, 1, 1, rng=0), "b": ReLU6(), "c": ReLU6()})
    content = written(model, tmp_path / "model.onnx", (1, 2, 2), input_name="b/Clip", output_name="a/Conv")
    assert [node.output[0] for node in content.graph.node] == ["a/Conv_2", "b/Clip_2", "a/Conv"]


def test_models_in_float64_stay_so(rng, tmp_path):
    model = Sequential(Flatten(), Dense(12, 5, rng=0, dtype=np.float64), ReLU(), Dense(5, 2, rng=0, dtype=np.float64))
    x = rng.random((2, 3, 2, 2))  # the runtime has no convolution of float64
    written(model, tmp_path / "model.onnx", (3, 2, 2))
    y = run(tmp_path / "model.onnx", x)
    np.testing.assert_allclose(y, model(x), rtol=0, atol=DIRECT * np.finfo(np.float64).eps * np.sqrt(12) * 12)
    assert y.dtype == np.float64


def test_equal_models_give_equal_files(tmp_path):
    for name in "ab":
        export(convnet.models.resnet20(rng=0, width=4), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class Twice(Layer):
    """A layer of one's own."""

    def forward(self, x, ctx=None):
        return 2 * x

    def backward(self, dy, ctx):
        return 2 * dy

    def output_shape(self, input_shape):
        return input_shape


class Special(ReLU):
    """One that derives from a known one may do anything."""


@pytest.mark.parametrize("layer", [Twice(), Special()])
def test_layers_of_ones_own_are_named_before_anything_is_written(layer, tmp_path):
    model = Sequential(ReLU(), Sequential({"own": layer}))
    text = r"^Sequential\[1\] Sequential\[own\] onnx\.export: expected layers that ONNX has a form for at opset 15, "
    with pytest.raises(UnsupportedError, match=rf"{text}.*Upsample2d, got {type(layer).__name__}$"):
        export(model, tmp_path / "model.onnx", IMAGE, opset=15)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"opset": 12}, "opset: expected 13 to 22, got 12"),
        ({"opset": 23}, "opset: expected 13 to 22, got 23"),
        ({"opset": "17"}, "opset: expected an integer, got '17'"),
        ({"input_shape": None}, ": expected an input_shape, as the model states none, got None"),
        ({"input_shape": (0,)}, "input_shape: expected an integer of at least 1, got 0"),
        ({"classes": ["a"]}, "classes: expected 5 names, one an output, got 1"),
        ({"input_name": ""}, "input_name: expected a name that nothing else has, got ''"),
        ({"output_name": "input"}, "input_name: expected a name that nothing else has, got 'input'"),
        ({"fold_batch_norm": "no"}, "fold_batch_norm: expected True or False, got 'no'"),
    ],
)
def test_settings_are_checked(settings, text, tmp_path):
    with pytest.raises(SettingError, match=f"^onnx.export ?{text}$"):
        export(Softmax(), tmp_path / "model.onnx", **{"input_shape": (5,), **settings})
    assert not [*tmp_path.iterdir()]


def test_inputs_that_do_not_fit(tmp_path):
    with pytest.raises(ShapeError, match=r"^Dense: expected an input of shape \(4,\), got \(5,\)$"):
        export(Dense(4, 2), tmp_path / "model.onnx", (5,))


def test_the_shape_of_the_model_is_the_default(tmp_path):
    content = written(convnet.models.simple_cnn(rng=0), tmp_path / "model.onnx")
    assert [d.dim_value for d in content.graph.input[0].type.tensor_type.shape.dim] == [0, 1, 28, 28]


def test_more_weights_than_a_file_can_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "LIMIT", 31)
    with pytest.raises(UnsupportedError, match=r"^onnx.export: expected weights of less than 2 GiB, .*, got 32 bytes$"):
        export(Dense(4, 2, bias=False), tmp_path / "model.onnx", (4,))
    assert not [*tmp_path.iterdir()]


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export(ReLU(), tmp_path / "model.onnx", (3,))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"model.onnx": b"old"}


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    text = r'^onnx\.export: expected the package onnx, got none; to install it: pip install "convnet-cpu\[onnx\]"$'
    with pytest.raises(UnsupportedError, match=text):
        export(ReLU(), tmp_path / "relu.onnx", (3,))
