"""The table of operators in docs/guide/onnx.md is what the code says."""

from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "onnx.md"

onnx = pytest.importorskip("onnx", reason="networks in files need onnx")
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")

from onnx_files import CASES, written  # noqa: E402
from test_onnx_export import LAYERS  # noqa: E402

from convnet.errors import UnsupportedError  # noqa: E402
from convnet.onnx import export, load, operators  # noqa: E402
from convnet.onnx.importer._operators import OPERATORS  # noqa: E402

ALONE = [
    ([("InstanceNormalization", ["x", "s", "s"], ["y"], {})], {"s": np.ones(2, np.float32)}),
    ([("Mul", ["x", "s"], ["y"], {})], {"s": np.ones((2, 1, 1), np.float32)}),
]


def kinds(path):
    """The operators in a file."""
    return {node.op_type for node in onnx.load(path).graph.node}


def seen(folder):
    """Which operators are written at any opset, and which bring weights that train."""
    path, out, trained = folder / "layer.onnx", set(), set()
    for build, shape in LAYERS.values():
        for opset in (13, 17, 22):
            export(build(np.float32), path, shape, opset=opset)
            out |= kinds(path)
            try:
                model = load(path)
            except UnsupportedError:
                continue
            if len(kinds(path)) == 1 and model.parameters():
                trained |= kinds(path)
    for nodes, constants in (*CASES.values(), *ALONE):
        model = load(written(path, nodes, ("n", 2, 6, 7), constants))
        for name, node in model.nodes.items():
            if node.layer.parameters():
                trained |= {kind for kind in kinds(path) if name.lower().startswith(kind.lower())}
    return out, trained


def test_the_table_of_operators(tmp_path):
    out, trained = seen(tmp_path)
    rows = ["| operator | written | read | weights that train |", "|---|---|---|---|"]
    for name in sorted({*operators(), *out}):
        read = "yes" if name in OPERATORS else "shapes" if name in operators() else ""
        rows.append(f"| {name} | {'yes' if name in out else ''} | {read} | {'yes' if name in trained else ''} |")
    table = "\n".join(rows)
    assert table in PAGE.read_text(encoding="utf-8"), f"expected the table\n{table}"
