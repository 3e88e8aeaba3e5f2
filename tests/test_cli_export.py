"""``convnet export``: what the file computes, what the command prints, what it refuses."""

import json
import os
import sys

import numpy as np
import pytest
from test_cli import refused
from test_cli_runs import contents, finished, finished_run, photos

import convnet
from convnet.models import lenet, resnet20

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

__all__ = ["finished_run", "photos"]  # fixtures


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(path, x):
    """What a file gives for a batch, to five digits."""
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0].round(5)


def test_a_run(finished_run, folder, capsys, rng):
    before = contents(finished_run)
    (line,) = finished(capsys, "export", finished_run)
    size = (folder / "colours.onnx").stat().st_size
    assert line == f"colours.onnx: {size:,} bytes, opset 17, (batch, 3, 12, 12) -> (batch, 3)"
    assert contents(finished_run) == before
    model = convnet.load(resnet20(classes=3, width=4), finished_run / "best.safetensors")
    x = rng.random((5, 3, 12, 12), np.float32)
    np.testing.assert_allclose(answers("colours.onnx", x), model(x), rtol=0, atol=1e-4 * np.abs(model(x)).max())
    properties = {entry.key: entry.value for entry in onnx.load("colours.onnx").metadata_props}
    assert json.loads(properties["classes"]) == ["blue", "green", "red"]


def test_options(finished_run, folder, capsys, rng):
    arguments = ["--output", "x.onnx", "--opset", "13", "--probabilities", "--fold-batch-norm", "--image-size", "16"]
    told = json.loads("\n".join(finished(capsys, "export", finished_run, *arguments, "--json")))
    assert told == {
        "file": "x.onnx",
        "bytes": (folder / "x.onnx").stat().st_size,
        "input": ["batch", 3, 16, 16],
        "output": ["batch", 3],
        "classes": ["blue", "green", "red"],
        "opset": 13,
        "fold_batch_norm": True,
    }
    content = onnx.load("x.onnx")
    assert content.opset_import[0].version == 13
    assert "BatchNormalization" not in {node.op_type for node in content.graph.node}
    assert content.graph.initializer[0].name == "conv1.weight"
    y = answers("x.onnx", rng.random((4, 3, 16, 16), np.float32))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=0, atol=1e-4)
    assert os.listdir(folder) == ["x.onnx"]


def test_weights_alone(folder, capsys):
    convnet.save(lenet(rng=0), "lenet.safetensors")
    assert finished(capsys, "export", "lenet.safetensors")[0].endswith("(batch, 1, 28, 28) -> (batch, 10)")
    assert sorted(os.listdir(folder)) == ["lenet.onnx", "lenet.safetensors"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["missing"], "convnet export: missing: No such file"),
        (["RUN", "--opset", "12"], "convnet export: onnx.export opset: expected 13 to 22, got 12"),
        (["RUN", "--opset", "new"], "argument --opset: expected an integer of at least 1, got 'new'"),
        (["RUN", "--output", "no/such.onnx"], "--output: expected a folder that can be written, got no/such.onnx"),
        (["RUN/best.safetensors", "--output", "RUN/best.safetensors"], "--output: expected another file than that of"),
        (["RUN", "--model", "lenet"], "--model: expected a file of weights, got a run that has it"),
    ],
)
def test_bad_input(command, text, finished_run, folder, capsys):
    before = contents(finished_run)
    assert text in refused(capsys, "export", *[word.replace("RUN", str(finished_run)) for word in command])
    assert os.listdir(folder) == []
    assert contents(finished_run) == before


def test_without_the_package(finished_run, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert refused(capsys, "export", finished_run).startswith("convnet export: onnx.export: expected the package onnx")
    assert os.listdir(folder) == []
