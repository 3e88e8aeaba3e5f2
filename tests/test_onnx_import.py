"""Networks from ONNX files: operators, whole networks, and training them further."""

import numpy as np
import pytest
from gradcheck import check_layer
from test_onnx_export import LAYERS, randomized

from convnet import Predictor, SoftmaxCrossEntropy, Trainer
from convnet.data import digits
from convnet.errors import SettingError, ShapeError, UnsupportedError
from convnet.layers import (
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    HardSwish,
    MaxPool2d,
    Parallel,
    ReLU,
    ReLU6,
    Sequential,
    SiLU,
)
from convnet.models import MODELS
from convnet.optim import SGD

onnx = pytest.importorskip("onnx", reason="networks in files need onnx")
from onnx import TensorProto, numpy_helper  # noqa: E402
from onnx_files import CASES, FILTERS, whole, written  # noqa: E402

from convnet.onnx import export, load  # noqa: E402
from convnet.onnx.importer._layers import Affine, Clip, Margin, Part, Permute, Reshape, Shuffle  # noqa: E402


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.onnx"


def reference(path, x):
    """What onnxruntime makes of a file."""
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def assert_exact(path, x):
    """The model, and where it can be compiled the Predictor, give the reference's numbers."""
    model, expected = load(path), reference(path, x)
    np.testing.assert_array_equal(model(x), expected)
    assert model.output_shape(x.shape[1:]) == expected.shape[1:]
    assert all(
        parameter.value.flags.c_contiguous for parameter in model.parameters()
    )  # optimizers change them in place
    return model


@pytest.mark.parametrize("name", CASES)
def test_operators(name, file):
    nodes, constants = CASES[name]
    x = whole(3, 2, 6, 7, seed=7)
    model = assert_exact(written(file, nodes, constants=constants), x)
    try:
        predictor = Predictor(model, input_shape=x.shape[1:])
    except UnsupportedError:
        assert name in ("pad", "max pool, uneven", "slice")  # margins of other numbers than 0, parts of rows
    else:
        np.testing.assert_array_equal(predictor(x), model(x))


def test_where_layers_are_what_they_are_called_here(file):
    nodes = [
        ("Conv", ["x", "conv1.weight"], ["a"], {}),
        ("Add", ["a", "b"], ["c"], {}),
        ("BatchNormalization", ["c", "bn.weight", "s", "s", "v"], ["d"], {}),
        ("Clip", ["d", "zero", "six"], ["e"], {}),
        ("Sigmoid", ["e"], ["f"], {}),
        ("Mul", ["e", "f"], ["g"], {}),
        ("Add", ["g", "three"], ["h"], {}),
        ("Clip", ["h", "zero", "six"], ["i"], {}),
        ("Mul", ["g", "i"], ["j"], {}),
        ("Div", ["j", "six"], ["k"], {}),
        ("Dropout", ["k"], ["l"], {}),
        ("Identity", ["l"], ["m"], {}),
        ("Flatten", ["m"], ["y"], {}),
    ]
    constants = {
        "conv1.weight": FILTERS,
        "b": whole(4, 1, 1),
        "bn.weight": whole(4),
        "s": whole(4),
        "v": np.ones(4, np.float32),
    }
    numbers = {"zero": np.float32(0), "three": np.float32(3), "six": np.float32(6)}
    model = load(written(file, nodes, constants={**constants, **numbers}))
    assert isinstance(model, Sequential)
    kinds = [Conv2d, BatchNorm2d, ReLU6, SiLU, HardSwish, Dropout, Flatten]
    assert [type(layer) for layer in model] == kinds
    assert list(model.state_dict())[:2] == ["conv1.weight", "conv1.bias"]
    assert "bn.running_mean" in model.state_dict()
    x = whole(2, 2, 6, 7)
    np.testing.assert_allclose(model(x), reference(file, x), rtol=1e-5, atol=1e-5)


def test_branches_are_side_by_side(file):
    nodes = [
        ("Conv", ["x", "w"], ["a"], {}),
        ("Conv", ["x", "v"], ["b"], {}),
        ("Concat", ["a", "b"], ["y"], {"axis": 1}),
    ]
    model = load(written(file, nodes, constants={"w": FILTERS, "v": FILTERS[:1]}))
    assert isinstance(model, Parallel)
    assert len(model.nodes) == 3


def test_what_leads_nowhere_is_left_out(file):
    nodes = [
        ("Relu", ["x"], ["a"], {}),
        ("Relu", ["x"], ["y"], {}),
        ("MaxPool", ["a"], ["z"], {"kernel_shape": [2, 2]}),
    ]
    written(file, nodes, outputs=("y", "z"))
    assert [type(layer) for layer in load(file, output="y")] == [ReLU]
    assert [type(layer) for layer in load(file, output="z")] == [ReLU, MaxPool2d]
    with pytest.raises(SettingError, match=r"network\.onnx: output: expected one of 'y', 'z', got none"):
        load(file)
    with pytest.raises(SettingError, match="output: expected one of 'y', 'z', got 'a'"):
        load(file, output="a")


def test_the_size_may_be_left_open(file):
    written(file, [("Relu", ["x"], ["y"], {})], shape=("n", 3, "h", "w"))
    assert load(file, (3, 4, 5)).input_shape == (3, 4, 5)
    with pytest.raises(
        ShapeError, match=r"input_shape: expected one for the file, which has \(3, any, any\), got none"
    ):
        load(file)
    with pytest.raises(ShapeError, match=r"input_shape: expected that of the file, \(3, any, any\), got \(1, 4, 5\)"):
        load(file, (1, 4, 5))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Affine(np.array([2.0, -3.0]), np.array([1.0, 5.0])), (2, 3, 4)),
        (Affine(np.array([2.0, -3.0])), (2,)),
        (Affine(0.5, np.array([1.0, 5.0])), (2, 3, 4)),
        (Clip(-0.7, 1.5), (2, 3, 4)),
        (Margin(((0, 1), (2, 0), (1, 1)), 3.0), (2, 3, 4)),
        (Part([(1, None), (None, None), (0, 2)]), (2, 3, 4)),
        (Permute((0, 3, 1, 2)), (2, 3, 4)),
        (Reshape((4, 6)), (2, 3, 4)),
        (Shuffle(2), (6, 3, 4)),
    ],
)
def test_gradients_of_the_layers_that_only_files_have(layer, shape, rng):
    check_layer(layer, rng.standard_normal((3, *shape)), rng)
    assert layer.output_shape(shape) == layer(np.zeros((1, *shape))).shape[1:]
    wrong = (5, 3, 4) if len(shape) == 3 else (3,)
    if not isinstance(layer, Clip | Permute | Margin | Part):
        with pytest.raises(ShapeError, match=f"^{type(layer).__name__}: expected"):
            layer(np.zeros((1, *wrong)))


def test_a_model_from_a_file_can_be_trained_further(file):
    nodes = [
        ("Conv", ["x", "conv.weight"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("Mul", ["a", "scale"], ["s"], {}),
        ("Relu", ["s"], ["b"], {}),
        ("MaxPool", ["b"], ["c"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("Flatten", ["c"], ["d"], {}),
        ("Gemm", ["d", "fc.weight", "fc.bias"], ["y"], {"transB": 1}),
    ]
    constants = {"conv.weight": whole(4, 1, 3, 3) / 4, "scale": np.ones((4, 1, 1), np.float32)}
    head = {"fc.weight": whole(3, 196) / 100, "fc.bias": np.zeros(3, np.float32)}
    model = load(written(file, nodes, ("n", 1, 28, 28), {**constants, **head}))
    assert sum(parameter.size for parameter in model.parameters()) == 4 * 9 + 4 + 3 * 196 + 3
    trainer = Trainer(model.replaced("fc", Dense(196, 10, rng=0)), SoftmaxCrossEntropy(), SGD(0.05, momentum=0.9))
    (x, y), test = digits()
    trainer.fit((x, y), epochs=1, progress=False)
    assert trainer.evaluate(test)["accuracy"] > 0.85


# ---- networks that were written here ---------------------------------------------------------------------------------

NOT_READ = {  # layers for which ONNX has no operator: they are written as several, which are not put together again
    "AdaptiveMaxPool2d": "Gather",
    "AdaptiveMaxPool2d-uneven": "Gather",
    "AvgPool2d-ceil": "AveragePool",
    "GELU": "Erf",
    "GELU-rows": "Erf",
    "LocalResponseNorm-general": "Pow",
    "LocalResponseNorm-wide-even": "Pow",
    "Upsample2d-bilinear-rounded-down": "Resize",
    "Upsample2d-bilinear-scale": "Resize",
    "Upsample2d-smaller": "Gather",
    "Upsample2d-uneven": "Gather",
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_come_back(name, file, rng):
    build, shape = LAYERS[name]
    layer = randomized(build(np.float32), rng)
    export(layer, file, shape)
    if name in NOT_READ:
        with pytest.raises(UnsupportedError, match=rf"network.onnx: {NOT_READ[name]} .*: expected .* \(opset 17\)"):
            load(file)
        return
    x = rng.standard_normal((2, *shape), np.float32)
    expected = layer(x)
    np.testing.assert_allclose(load(file)(x), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2", "nin", "resnet18", "resnet20", "squeezenet"])
def test_networks_come_back_to_the_last_bit_and_with_all_names(name, file, rng):
    model = randomized(MODELS[name](rng=0), rng)
    model.load_state_dict({key: 0.1 * value for key, value in model.state_dict().items() if value.ndim}, strict=False)
    export(model, file)
    back = load(file)
    np.testing.assert_equal(
        {key: value for key, value in back.state_dict().items() if value.ndim},
        {key: value for key, value in model.state_dict().items() if value.ndim},
    )
    x = rng.standard_normal((2, *model.input_shape), np.float32)
    np.testing.assert_array_equal(back(x), model(x))
    np.testing.assert_array_equal(
        Predictor(back, input_shape=model.input_shape)(x), Predictor(model, input_shape=model.input_shape)(x)
    )


def test_pooling_to_more_pixels_than_there_are_comes_back(file, rng):
    model, x = MODELS["alexnet"](rng=0, hidden=16, classes=3), rng.random((2, 3, 64, 64), np.float32)
    export(model, file, (3, 64, 64))
    np.testing.assert_array_equal(load(file)(x), model(x))


@pytest.mark.parametrize("matrix", [whole(5, 2), whole(2, 5).T / 8, np.full((4, 2), 0.25, np.float32)])
def test_images_times_a_matrix_that_takes_no_means(matrix, file):
    written(file, [("MatMul", ["x", "w"], ["y"], {})], (1, 3, 6, 5), {"w": matrix})
    with pytest.raises(UnsupportedError, match=r"MatMul .*: expected rows \(n, c\), got an input of shape"):
        load(file)


def test_a_layer_with_dots_in_its_name_can_be_replaced(file):
    export(MODELS["resnet20"](rng=0), file)
    model = load(file)
    assert "layer1.0.conv1" in model.nodes
    assert model.replaced("layer1.0.conv1", Conv2d(16, 16, 3, padding=1, bias=False)).nodes != model.nodes
    assert model.replaced("linear", Dense(64, 3)).output_shape((3, 32, 32)) == (3,)


# ---- real networks ---------------------------------------------------------------------------------------------------


def weights(folder, name):
    path = folder / "weights" / name
    if not path.exists():
        pytest.skip(f"there is no {name}")
    return path


def test_the_network_for_digits_of_the_model_zoo(convnet_data):
    folder = weights(convnet_data, "mnist-8")
    model = load(folder / "model.onnx")
    pairs = sorted(folder.glob("test_data_set_*"))
    assert len(pairs) == 3
    for place in pairs:
        x, y = (
            numpy_helper.to_array(TensorProto.FromString((place / f"{name}_0.pb").read_bytes()))
            for name in ("input", "output")
        )
        np.testing.assert_allclose(model(x), y, rtol=1e-4, atol=1e-2)  # of outputs up to 10,000
        np.testing.assert_allclose(Predictor(model, input_shape=(1, 28, 28))(x), y, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5.onnx", None), ("resnet20_cifar10.onnx", None), ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 48, 192))],
)
def test_trained_networks_against_onnxruntime(name, shape, convnet_data, rng):
    runtime = pytest.importorskip("onnxruntime")
    path = weights(convnet_data, name)
    model, session = load(path, shape), runtime.InferenceSession(path)
    x = rng.standard_normal((10, *model.input_shape), np.float32)
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(Predictor(model, input_shape=model.input_shape)(x), expected, rtol=0, atol=1e-5 * scale)
