"""The tests that the onnx package brings for its operators: those that a network for images may have."""

import warnings

import numpy as np
import pytest

from convnet.errors import UnsupportedError

onnx = pytest.importorskip("onnx", reason="networks in files need onnx")
import convnet.onnx  # noqa: E402
from convnet.onnx.importer._constants import FOLDED  # noqa: E402
from convnet.onnx.importer._operators import OPERATORS  # noqa: E402

HIGHEST = 22


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
    if any(value is None or isinstance(value, list) for value in inputs):
        return "inputs that are no arrays"
    path.write_bytes(with_constants(case, inputs).SerializeToString())
    outputs = [each.name for each in case.model.graph.output]
    try:
        model = convnet.onnx.load(path, output=outputs[0])
    except UnsupportedError as error:
        return str(error).partition(".onnx: ")[2]
    np.testing.assert_allclose(model(np.asarray(inputs[0])), expected, rtol=case.rtol, atol=case.atol)
    return "passed"
