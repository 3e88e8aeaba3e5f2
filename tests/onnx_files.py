"""ONNX files made of a few operators, and what they are to be read as."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CASES", "FILTERS", "whole", "written"]


def whole(*shape, seed=0):
    """Small whole numbers: sums of their products are exact in float32."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def written(path, nodes, shape=("n", 2, 6, 7), constants=None, outputs=("y",), opset=17, kind=TensorProto.FLOAT):
    """An ONNX file of nodes given as (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(op, list(ins), list(outs), **attributes) for op, ins, outs, attributes in nodes]
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    given = helper.make_tensor_value_info("x", kind, shape)
    results = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    graph = helper.make_graph(made, "graph", [given], results, arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


FILTERS = whole(4, 2, 3, 3, seed=1)
CASES = {
    "conv": ([("Conv", ["x", "w", "b"], ["y"], {"pads": [1, 0, 2, 1]})], {"w": FILTERS, "b": whole(4)}),
    "conv, same upper": ([("Conv", ["x", "w"], ["y"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]})], {"w": FILTERS}),
    "conv, same lower": ([("Conv", ["x", "w"], ["y"], {"auto_pad": "SAME_LOWER", "strides": [2, 3]})], {"w": FILTERS}),
    "conv, groups": ([("Conv", ["x", "w"], ["y"], {"group": 2, "dilations": [1, 2]})], {"w": FILTERS[:, :1]}),
    "conv, then a bias": (
        [("Conv", ["x", "w"], ["a"], {}), ("Add", ["b", "a"], ["y"], {})],
        {"w": FILTERS, "b": whole(1, 4, 1, 1)},
    ),
    "conv, read twice": (
        [("Conv", ["x", "w"], ["a"], {}), ("Add", ["a", "b"], ["c"], {}), ("Add", ["a", "c"], ["y"], {})],
        {"w": FILTERS, "b": whole(4, 1, 1)},
    ),
    "transposed conv": (
        [
            (
                "ConvTranspose",
                ["x", "w", "b"],
                ["y"],
                {"strides": [2, 2], "pads": [1, 1, 0, 1], "output_padding": [0, 1]},
            )
        ],
        {"w": whole(2, 3, 3, 3), "b": whole(3)},
    ),
    "scale and shift": (
        [("Mul", ["x", "s"], ["a"], {}), ("Sub", ["a", "b"], ["y"], {})],
        {"s": whole(2, 1, 1), "b": whole(2, 1, 1, seed=3)},
    ),
    "numbers": (
        [
            ("Mul", ["x", "two"], ["a"], {}),
            ("Neg", ["a"], ["b"], {}),
            ("Div", ["b", "four"], ["c"], {}),
            ("Add", ["c", "two"], ["y"], {}),
        ],
        {"two": np.float32(2), "four": np.float32(4)},
    ),
    "difference of maps": ([("Relu", ["x"], ["a"], {}), ("Sub", ["x", "a"], ["y"], {})], {}),
    "gate": ([("GlobalMaxPool", ["x"], ["a"], {}), ("Mul", ["x", "a"], ["y"], {})], {}),
    "max pool": ([("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]})], {}),
    "max pool, uneven": ([("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "pads": [1, 1, 0, 1]})], {}),
    "average pool": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 4], "count_include_pad": 1, "pads": [0, 1, 1, 2]})],
        {},
    ),
    "average pool, hanging over": ([("AveragePool", ["x"], ["y"], {"kernel_shape": [8, 8], "pads": [0, 0, 2, 1]})], {}),
    "mean": ([("ReduceMean", ["x"], ["y"], {"axes": [2, 3], "keepdims": 0})], {}),
    "pad": ([("Pad", ["x", "p", "v"], ["y"], {})], {"p": np.array([0, 1, 0, 2, 0, 0, 1, 1]), "v": np.float32(3)}),
    "pad with zeros": ([("Pad", ["x", "p"], ["y"], {})], {"p": np.array([0, 1, 0, 2, 0, 0, 1, 1])}),
    "mirror": ([("Pad", ["x", "p"], ["y"], {"mode": "reflect"})], {"p": np.array([0, 0, 1, 2, 0, 0, 2, 1])}),
    "parts": (
        [("Split", ["x"], ["a", "b"], {"axis": 1}), ("Concat", ["b", "a"], ["y"], {"axis": -3})],
        {},
    ),
    "slice": (
        [("Slice", ["x", "s", "e", "a"], ["y"], {})],
        {"s": np.array([1, -3]), "e": np.array([99, -1]), "a": np.array([1, -1])},
    ),
    "transpose there and back": (
        [("Transpose", ["x"], ["a"], {"perm": [0, 2, 3, 1]}), ("Transpose", ["a"], ["y"], {"perm": [0, 3, 1, 2]})],
        {},
    ),
    "flatten by shapes": (
        [
            ("Shape", ["x"], ["s"], {}),
            ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
            ("Unsqueeze", ["n", "axes"], ["m"], {}),
            ("Concat", ["m", "rest"], ["t"], {"axis": 0}),
            ("Reshape", ["x", "t"], ["y"], {}),
        ],
        {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])},
    ),
    "dense": (
        [("Flatten", ["x"], ["a"], {}), ("MatMul", ["a", "w"], ["b"], {}), ("Add", ["b", "c"], ["y"], {})],
        {"w": whole(84, 5), "c": whole(5)},
    ),
    "gemm": (
        [("Flatten", ["x"], ["a"], {}), ("Gemm", ["a", "w", "c"], ["y"], {"alpha": 2.0, "beta": 0.5, "transB": 1})],
        {"w": whole(5, 84), "c": whole(5)},
    ),
    "nearest": (
        [("Resize", ["x", "", "s"], ["y"], {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})],
        {"s": np.float32([1, 1, 2, 3])},
    ),
    "weights computed": (
        [
            ("Constant", [], ["k"], {"value": numpy_helper.from_array(whole(2, 4, 3, 3))}),
            ("Transpose", ["k"], ["w"], {"perm": [1, 0, 2, 3]}),
            ("Conv", ["x", "w"], ["y"], {}),
        ],
        {},
    ),
}
