import pytest

from convnet.errors import SettingError, ShapeError
from convnet.layers import Add, Conv2d, Dense, Flatten, Graph, Parallel, ReLU, Sequential
from convnet.models import lenet
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
    assert len(lines) == 1 + 1 + 12 + 1 + 1
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["layer", "output", "shape", "parameters", "multiply-adds"]
    assert lines[-1].split() == ["total", "44,426", "281,640"]


def test_bad_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"Sequential\[0\] Conv2d: expected an input of shape \(1, h, w\), got \(3"):
        summary(lenet(), (3, 28, 28))
    with pytest.raises(SettingError, match="summary: expected an input_shape, as the model states none, got None"):
        summary(Sequential(ReLU()))
