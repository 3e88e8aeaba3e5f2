import pickle

import numpy as np
import pytest

from convnet import fuse
from convnet.errors import SettingError, ShapeError
from convnet.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Context,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    Identity,
    MaxPool2d,
    Parallel,
    ReLU,
    Sequential,
)
from convnet.models import alexnet, lenet, resnet18, resnet50, vgg16
from convnet.summary import summary


def test_the_rows_of_lenet():
    s = summary(lenet())
    assert (s.parameters, s.multiply_adds) == (44426, 281640)
    row = s.rows[3]
    assert (row.name, row.output_shape, row.parameters, row.multiply_adds) == ("3", (16, 8, 8), 2416, 153600)
    assert isinstance(row.layer, Conv2d)


def test_nested_models_have_dotted_names():
    model = Sequential({"features": Sequential(Conv2d(1, 2, 3), ReLU()), "flatten": Flatten()})
    assert [row.name for row in summary(model, (1, 5, 5)).rows] == ["features.0", "features.1", "flatten"]


def test_every_container_is_opened():
    model = Sequential(Parallel({"a": Conv2d(1, 2, 3, padding=1), "b": Sequential(Conv2d(1, 2, 1))}), ReLU())
    graph = Graph({"m": (model, "x"), "add": (Add(), ("m", "m"))}, input_shape=(1, 5, 5))
    s = summary(graph)
    assert [row.name for row in s.rows] == ["m.0.a", "m.0.b.0", "m.0.merge", "m.1", "add"]
    assert [row.output_shape for row in s.rows] == [(2, 5, 5)] * 5
    assert (s.parameters, s.multiply_adds) == (20 + 4, 25 * (18 + 2))


def test_shared_parameters_count_once_in_the_total():
    shared = Dense(4, 4)
    s = summary(Sequential(shared, ReLU(), shared), (4,))
    assert s.parameters == 20
    assert s.multiply_adds == 32


def test_one_layer_alone():
    assert [row.output_shape for row in summary(Dense(4, 2), (4,)).rows] == [(2,)]


def test_the_table_is_aligned():
    lines = str(summary(lenet())).splitlines()
    assert len(lines) == 1 + 1 + 12 + 1 + 1 + 1
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[0].split() == ["layer", "output", "shape", "field", "parameters", "multiply-adds", "kept", "bytes"]
    assert lines[-2].split() == ["total", "44,426", "281,640", "27,472"]
    assert lines[-1] == "training keeps 27,472 bytes an image, and 355,408 of weights and gradients"


def test_bad_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"Sequential\[0\] Conv2d: expected an input of shape \(1, h, w\), got \(3"):
        summary(lenet(), (3, 28, 28))
    with pytest.raises(SettingError, match="summary: expected an input_shape, as the model states none, got None"):
        summary(Sequential(ReLU()))


def field(model, input_shape):
    return summary(model, input_shape).rows[-1].receptive_field


def test_receptive_fields_by_hand():
    three, seven = [Conv2d(4, 4, 3, padding=1) for _ in range(3)], Conv2d(4, 4, 7, padding=3)
    assert field(Sequential(*three), (4, 9, 9)) == field(seven, (4, 9, 9)) == (7, 7)
    assert field(Conv2d(4, 4, (3, 1), dilation=(2, 5)), (4, 9, 9)) == (5, 1)
    assert field(Sequential(Conv2d(4, 4, 1, stride=2), ReLU(), AvgPool2d(2)), (4, 9, 9)) == (3, 3)
    assert field(Sequential(MaxPool2d(2, (3, 1)), Conv2d(4, 4, 3)), (4, 20, 9)) == (2 + 2 * 3, 2 + 2)
    assert field(Sequential(MaxPool2d(2), Flatten(), Dense(64, 3)), (4, 8, 9)) == (8, 8)
    assert field(AdaptiveAvgPool2d((2, 7)), (4, 9, 7)) == (5, 1)
    assert field(Sequential(MaxPool2d(3), GlobalAvgPool2d()), (4, 9, 15)) == (9, 15)
    assert " 3x5 " in str(summary(Conv2d(1, 1, (3, 5)), (1, 9, 9)))


def test_the_largest_receptive_field_of_all_paths_counts():
    sides = {
        "a": Sequential(Conv2d(1, 1, (1, 5), padding=(0, 2)), Conv2d(1, 1, 1)),
        "b": Conv2d(1, 1, (3, 1), padding=(1, 0)),
    }
    model = Sequential(MaxPool2d(2), Parallel(sides), Conv2d(1, 1, 3))
    rows = {row.name: row.receptive_field for row in summary(model, (1, 20, 20)).rows}
    assert rows == {
        "0": (2, 2), "1.a.0": (2, 10), "1.a.1": (2, 10), "1.b": (6, 2), "1.merge": (6, 10), "2": (10, 14),
    }  # fmt: skip
    assert model.window((1, 20, 20)).size == (10, 14)
    graph = Graph({"c": (Conv2d(1, 1, 3, padding=1), "x"), "a": (Add(), ("c", "x", "c")), "d": (Conv2d(1, 1, 3), "a")})
    assert field(graph, (1, 9, 9)) == (5, 5)


def test_receptive_fields_of_known_networks():
    """As in Araujo, Norris and Sim 2019, Computing receptive fields of convolutional networks (Distill, 00021).

    There 483 for a ResNet-50 whose stride lies in the first convolution of a block; in the second, as here, 2 pixels of
    stride 4, 8 and 16 fewer are seen by each, so 483 - 2 * (4 + 8 + 16).
    """
    last = {
        "alexnet": (alexnet(hidden=4), "features.12", 195),
        "vgg16": (vgg16(hidden=4), "features.30", 212),
        "resnet18": (resnet18(width=4), "layer4.1.relu", 435),
        "resnet50": (resnet50(width=4), "layer4.2.relu", 427),
    }
    for name, (model, row_name, size) in last.items():
        (row,) = [row for row in summary(model).rows if row.name == row_name]
        assert row.receptive_field == (size, size), name


def test_a_pixel_sees_its_receptive_field_and_nothing_else(rng):
    """The gradient of one pixel of the output reaches that many pixels of the input, at most."""
    model = Sequential(
        Conv2d(1, 3, 3, stride=2, rng=0), Parallel(MaxPool2d(3, 1), Conv2d(3, 3, 3, rng=1)), AvgPool2d(2), ReLU(),
        Parallel(Conv2d(3, 2, 3, padding=1, rng=2), Sequential(Conv2d(3, 2, 1, rng=3), Identity())),
    )  # fmt: skip
    ctx, x = Context(), rng.random((1, 1, 41, 41), np.float32)
    y = model.forward(x, ctx)
    dy = np.zeros_like(y)
    dy[0, :, 3, 4] = 1
    reached = np.argwhere(model.backward(dy, ctx)[0, 0])
    assert tuple(reached.max(axis=0) - reached.min(axis=0) + 1) <= field(model, (1, 41, 41))
    everything = np.ones_like(x)
    for layer in (model[0], model[1].nodes["1"].layer, model[4].nodes["0"].layer, model[4].nodes["1"].layer[0]):
        layer.weight.value[...] = 1
        layer.bias.value[...] = 0
    ctx = Context()
    model.forward(everything, ctx)
    reached = np.argwhere(model.backward(dy, ctx)[0, 0])
    assert tuple(reached.max(axis=0) - reached.min(axis=0) + 1) == field(model, (1, 41, 41))


def test_kept_bytes_are_those_of_a_training_pass(dtype, rng):
    model = Sequential(
        Conv2d(2, 4, 3, rng=0, dtype=dtype), BatchNorm2d(4, dtype=dtype), ReLU(), MaxPool2d(2), Dropout(0.5, rng=0),
        Parallel(Conv2d(4, 4, 1, rng=0, dtype=dtype), Identity()), ReLU(), Flatten(), Dense(36, 5, rng=0, dtype=dtype),
    )  # fmt: skip
    before = pickle.dumps(model)
    s = summary(model, (2, 9, 8))
    assert pickle.dumps(model) == before
    ctx = Context(wants_dx=False)
    model.forward(rng.random((3, 2, 9, 8)).astype(dtype), ctx)
    statistics = 2 * 4 * 8  # mean and variance of a batch
    assert ctx.nbytes == 3 * (s.kept_bytes - statistics) + statistics
    assert s.weight_bytes == 2 * dtype().nbytes * s.parameters
    shared = Sequential(ReLU(), ReLU(), Identity(), Conv2d(1, 1, 1))
    assert [row.kept_bytes for row in summary(shared, (1, 5, 5)).rows] == [100, 100, 0, 0]


def test_fused_layers_keep_less():
    model = lenet()
    fused = summary(fuse(model), (1, 28, 28))
    assert fused.kept_bytes < summary(model).kept_bytes / 2
    assert [row.receptive_field for row in fused.rows] == [(s, s) for s in (6, 16, 28, 28, 28, 28)]


def test_what_is_too_small_for_a_model_is_told_the_least_size():
    model = alexnet(hidden=4)
    for shape in (3, 32, 32), (3, 200, 62):
        with pytest.raises(ShapeError, match=r"; images must be at least 63x63$"):
            summary(model, shape)
        with pytest.raises(ShapeError, match=r"; images must be at least 63x63$"):
            model(np.zeros((1, *shape), np.float32))
    assert model.output_shape((3, 63, 200)) == (1000,)
    with pytest.raises(ShapeError, match=r"got \(1, 32, 32\)$"):
        summary(model, (1, 32, 32))
    with pytest.raises(ShapeError, match=r"padding=\(0, 0\)$"):
        Sequential(MaxPool2d(2)).output_shape((1, 1, 1))
