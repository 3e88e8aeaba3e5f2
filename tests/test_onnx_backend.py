"""The tests that the onnx package brings for its operators: those that a network for images may have."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from convnet import Predictor
from convnet.errors import UnsupportedError

onnx = pytest.importorskip("onnx", reason="networks in files need onnx")
import convnet.onnx  # noqa: E402
from convnet.onnx.importer._constants import FOLDED  # noqa: E402
from convnet.onnx.importer._operators import OPERATORS  # noqa: E402

HIGHEST = 22

PASSED = 117
"""Of the tests of operators that onnx 1.23.2 has."""

LEFT_OUT = {
    "no arrays|an input of floats": "networks here take floats",
    "an input of images or rows|expected images|expected rows": "of another number of axes than images and rows have",
    "expected one input|computed from the images, got one that": "nothing in it depends on one input",
    r"^(Cast|Ceil|Floor|Gather|Sqrt) ": "computed with shapes and weights, not with images",
    "training_mode|the form for inference": "what a training does is in the layers, not in the file",
    "2 outputs|1 outputs that are read": "places of maxima and masks are no outputs here",
    "begins? with the batch|behind the batch|all images of the batch|axis 1, got": "mixes the images of a batch",
    "one number, or one for each of": "constants of other shapes than a number a channel",
    "^Resize .*(cubic|tf_crop|antialias|nearest .(half|align|asym)|pytorch_half|policy)": "other than of Upsample2d",
    r"^Resize .*scales that make whole sizes": "sizes that are no multiples, about which frameworks differ",
    r"^AveragePool .*(as many pixels|dilations)": "means over windows of which not all of the pixels count alike",
    r"^ConvTranspose .*auto_pad or output_shape": "where the pixels go is left to the size of the output",
    r"^Gemm .*(transA|a bias of)": "weights in front, or a bias for each row",
    r"^(Shape|Split|Slice|Mul) .*(_expanded|steps)": "other layers, written as many operators",
    r"steps \[|got \[8, 0\]": "every other pixel, or none",
}
"""Why a network cannot be loaded, by what the error says."""


@pytest.fixture(scope="module")
def cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about what the generators of the tests do
        found = load_model_tests(kind="node")
    known = {*OPERATORS, *FOLDED}
    return [case for case in found if {node.op_type for node in case.model.graph.node} <= known]


def with_constants(case, inputs):
    """The model of a case, all inputs but the first in the file, as weights and shapes are in networks."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for name, value in [(given.name, value) for given, value in zip(model.graph.input, inputs, strict=False)][1:]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    for opset in model.opset_import:
        opset.version = min(opset.version, HIGHEST)  # later ones changed nothing that is tested here
    return model


def result(case, folder):
    """How the case went: "passed", or why it cannot be loaded."""
    ((inputs, (expected, *_)),) = case.data_sets
    path = folder / "case.onnx"
    if not all(isinstance(value, np.ndarray | np.generic) for value in (*inputs, expected)):
        return "inputs that are no arrays"
    path.write_bytes(with_constants(case, inputs).SerializeToString())
    outputs = [each.name for each in case.model.graph.output]
    try:
        model = convnet.onnx.load(path, output=outputs[0])
    except UnsupportedError as error:
        return str(error).partition(".onnx: ")[2]
    np.testing.assert_allclose(model(np.asarray(inputs[0])), expected, rtol=case.rtol, atol=case.atol)
    return "passed"


def test_the_operators_of_networks_for_images(cases, tmp_path):
    results = {case.name: result(case, tmp_path) for case in cases}
    assert sum(each == "passed" for each in results.values()) >= PASSED
    why = {name: each for name, each in results.items() if each != "passed"}
    reasons = {name: [reason for reason in LEFT_OUT if re.search(reason, text)] for name, text in why.items()}
    assert {name: why[name] for name, found in reasons.items() if not found} == {}
    assert {reason for found in reasons.values() for reason in found} == set(LEFT_OUT)


# ---- converted from other frameworks ---------------------------------------------------------------------------------


def arrays(folder, kind):
    """The inputs or outputs that lie beside a model."""
    files = sorted(folder.glob(f"{kind}_*.pb"))
    return [onnx.numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in files]


def test_operators_converted_from_pytorch():
    """Those that are two-dimensional: the others are told by their axes."""
    passed, others = [], {}
    for folder in sorted(DATA.glob("pytorch-*/*")):
        try:
            model = convnet.onnx.load(folder / "model.onnx")
        except UnsupportedError as error:
            others[folder.name] = str(error)
            continue
        ((inputs, expected),) = [(arrays(each, "input"), arrays(each, "output")) for each in folder.glob("test_data*")]
        np.testing.assert_allclose(model(inputs[0]), expected[0], rtol=1e-3, atol=1e-5)
        passed.append(folder.name)
    assert len(passed) >= 47
    two = [name for name in others if re.search("2d|Linear|ReLU|Sigmoid|Tanh|softmax_dim1", name)]
    assert two == [name for name in two if re.search("ConvTranspose2d|PReLU_[13]d|LogS|SELU", name)]


DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
LIGHT = sorted(path.stem for path in (DATA / "light").glob("*.onnx"))


@pytest.mark.parametrize("name", [name for name in LIGHT if "vgg" not in name and "zfnet" not in name])
def test_light_networks(name):
    """Whole networks, whose weights are computed; those with the largest dense layers take seconds each."""
    path = DATA / "light" / f"{name}.onnx"
    model = convnet.onnx.load(path)
    n = int(np.prod(model.input_shape))
    x = (np.arange(n).reshape(1, *model.input_shape) / n).astype(np.float32)
    (expected,) = arrays(DATA / "light", f"{name}_output")
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(Predictor(model, input_shape=model.input_shape)(x), expected, rtol=1e-3, atol=1e-5)


def test_there_are_nine_light_networks():
    assert len(LIGHT) == 9
