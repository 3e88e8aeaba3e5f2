"""ONNX files that are not what they say, each refused with a reason before anything is made of it."""

import random
import sys

import numpy as np
import pytest

from convnet.errors import ConvnetError, UnsupportedError, WeightsError

onnx = pytest.importorskip("onnx", reason="networks in files need onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx_files import CASES, FILTERS, whole, written  # noqa: E402

from convnet.onnx import load  # noqa: E402


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.onnx"


def changed(path, change):
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def lengthen(model):
    model.graph.initializer[0].dims[0] = 2**40


def refer(location, **places):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **places}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)

    return change


def other_opset(version):
    def change(model):
        model.opset_import[0].version = version

    return change


BAD = [
    (lengthen, WeightsError, r"array 'w': expected \d+ numbers of shape \(\d+, 2, 3, 3\), got 72"),
    (refer("../secret"), WeightsError, "array 'w': expected a file in the folder of the network, got '../secret'"),
    (refer("/etc/passwd"), WeightsError, "expected a file in the folder of the network, got '/etc/passwd'"),
    (
        refer("network.onnx", offset=10**9),
        WeightsError,
        r"expected float32 of shape \(4, 2, 3, 3\), got 288 bytes from 1000",
    ),
    (refer("network.onnx", length=7), WeightsError, r"expected float32 of shape \(4, 2, 3, 3\), got 7 bytes"),
    (other_opset(23), UnsupportedError, "expected an opset from 6 to 22, got 23"),
    (other_opset(5), UnsupportedError, "expected an opset from 6 to 22, got 5"),
    (
        lambda model: model.graph.node[0].input.__setitem__(0, "y"),
        WeightsError,
        r"Conv .*: expected inputs that come before it, got 'y'",
    ),
    (
        lambda model: model.graph.node.append(model.graph.node[0]),
        WeightsError,
        "expected a new name for its output, got 'y' again",
    ),
    (lambda model: model.graph.output.pop(), WeightsError, "expected outputs that an operator gives, got none"),
    (
        lambda model: setattr(model.graph.node[0], "op_type", "STFT"),
        UnsupportedError,
        r"STFT \(-> 'y'\): expected an operator among .* \(opset 17\)",
    ),
    (
        lambda model: setattr(model.graph.node[0], "domain", "mine"),
        UnsupportedError,
        "expected an operator of ONNX, opset 17, got one of 'mine'",
    ),
    (
        lambda model: setattr(model.graph.initializer[0], "data_type", TensorProto.STRING),
        UnsupportedError,
        "array 'w': expected numbers",
    ),
    (
        lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT8),
        UnsupportedError,
        "expected an input of floats",
    ),
    (
        lambda model: model.graph.initializer.append(model.graph.initializer[0]),
        WeightsError,
        "expected a name for each array, got one for two",
    ),
    (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("body", onnx.GraphProto())),
        UnsupportedError,
        "expected numbers, texts and arrays, got 'body'",
    ),
    (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("strides", [0, 1])),
        UnsupportedError,
        r"strides for two axes of at least 1, got \(0, 1\)",
    ),
    (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [5, 3])),
        UnsupportedError,
        r"Conv .*: expected filters of the kernel_shape \(5, 3\), got an array of shape \(4, 2, 3, 3\)",
    ),
    (
        lambda model: setattr(model.graph.node[0], "op_type", "LRN"),
        UnsupportedError,
        "LRN .*: expected inputs and attributes as ONNX has them, got none called 'size'",
    ),
    (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("pads", [9] * 3)),
        UnsupportedError,
        "pads for two axes",
    ),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD)
def test_files_that_are_refused(change, error, text, file):
    (file.parent.parent / "secret").write_bytes(bytes(1000))
    changed(written(file, [("Conv", ["x", "w"], ["y"], {})], constants={"w": FILTERS}), change)
    with pytest.raises(error, match=rf"network\.onnx: .*{text}"):
        load(file)


def test_arrays_in_a_file_beside_it(file):
    written(file, [("Conv", ["x", "w"], ["y"], {})], constants={"w": FILTERS})
    (file.parent / "weights.bin").write_bytes(b"four" + FILTERS.tobytes())
    x = whole(2, 2, 6, 7)
    expected = load(file)(x)
    changed(file, refer("weights.bin", offset=4))
    np.testing.assert_array_equal(load(file)(x), expected)
    (file.parent / "weights.bin").unlink()
    (file.parent / "weights.bin").symlink_to("/etc/hostname")
    with pytest.raises(WeightsError, match=r"expected a file in the folder of the network, got 'weights\.bin'"):
        load(file)


def test_absurdly_large_arrays_are_not_made(file, monkeypatch):
    nodes = [("ConstantOfShape", ["s"], ["w"], {}), ("Conv", ["x", "w"], ["y"], {})]
    written(file, nodes, constants={"s": np.array([2**20, 2**20, 3, 3])})
    with pytest.raises(WeightsError, match=r"ConstantOfShape .*: expected arrays that fit, got an array of shape"):
        load(file)
    written(file, [("Conv", ["x", "w"], ["y"], {"pads": [2**20] * 4})], constants={"w": FILTERS})
    with pytest.raises(
        UnsupportedError, match=r"Conv .*: expected at most 1,073,741,824 numbers of an image, got an out"
    ):
        load(file)
    monkeypatch.setattr("convnet.onnx.importer._build.MOST", 1000)
    many = [("ConstantOfShape", ["s"], [name], {}) for name in "abcde"]
    written(file, [*many, ("Relu", ["x"], ["y"], {})], constants={"s": np.array([60])})
    with pytest.raises(UnsupportedError, match=r"expected at most 1,000 bytes of computed arrays, got 1,200"):
        load(file)
    monkeypatch.undo()
    scales = {"s": np.float32([1, 1, 2**12, 2**12])}
    written(file, [("Resize", ["x", "", "s"], ["y"], {})], constants=scales)
    with pytest.raises(UnsupportedError, match=r"Resize .*: expected a size of at least 1 and at most 64 times"):
        load(file)


def test_files_changed_at_random_end_in_our_errors_only(file):
    nodes, constants = CASES["flatten by shapes"]
    nodes = [
        ("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
        *[
            (op, ["c" if name == "x" else name for name in ins], outs, attributes)
            for op, ins, outs, attributes in nodes
        ],
    ]
    content, chance, refused = (
        written(file, nodes, constants={**constants, "w": FILTERS}).read_bytes(),
        random.Random(0),
        0,
    )
    for _ in range(400):
        altered = bytearray(content)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(altered))
            altered[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        file.write_bytes(altered)
        try:
            load(file)
        except ConvnetError:
            refused += 1
    assert 100 < refused < 400


def test_no_file_no_onnx(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r'expected the package onnx, got none; .*"convnet-cpu\[onnx\]"'):
        load(tmp_path / "missing.onnx")
