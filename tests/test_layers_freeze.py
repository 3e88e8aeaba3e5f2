"""Frozen layers: inference in the middle of a training, and nothing of theirs is changed."""

import numpy as np
import pytest

from convnet import Predictor, fuse, load, models, save, summary
from convnet.context import Context
from convnet.errors import SettingError, ShapeError, UnsupportedError
from convnet.layers import Add, BatchNorm2d, Conv2d, Dense, Dropout, Flatten, Frozen, Graph, ReLU, Sequential, freeze
from convnet.losses import SoftmaxCrossEntropy
from convnet.optim import AdamW
from convnet.training import Trainer, WeightAverage


def network():
    rng = np.random.default_rng(0)
    features = Sequential(Conv2d(1, 4, 3, rng=rng), BatchNorm2d(4), ReLU(), Dropout(0.5, rng=rng), Flatten())
    return Sequential({"features": features, "head": Dense(64, 3, rng=rng)})


def data(n=12):
    rng = np.random.default_rng(1)
    return rng.random((n, 1, 6, 6), np.float32), rng.integers(3, size=n)


def test_only_what_comes_after_is_trained():
    model = network()
    before = model.state_dict()
    for _ in range(2):
        model.forward(data()[0], Context())  # running averages unlike those of a batch
    before |= {name: value for name, value in model.state_dict().items() if "running" in name}
    before["features.1.num_batches_tracked"] = model.state_dict()["features.1.num_batches_tracked"]
    frozen = freeze(model, until="head")
    average = WeightAverage(frozen, 0.9)
    Trainer(frozen, SoftmaxCrossEntropy(), AdamW(0.1, weight_decay=0.5), average=average).fit(
        data(), epochs=2, batch_size=4, progress=False
    )
    for name, value in model.state_dict().items():  # it shares its weights with the frozen one
        assert np.array_equal(value, before[name]) == name.startswith("features"), name
        if name.startswith("features.0"):
            np.testing.assert_allclose(average.model.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rewrite", [lambda model: model, fuse])
def test_training_sees_the_features_of_inference(rewrite):
    model, (x, _) = network(), data()
    model.forward(x, Context())
    ctx = Context(wants_dx=False)
    outputs = rewrite(freeze(model, until="head")).forward(x, ctx)
    np.testing.assert_allclose(outputs, model(x), rtol=0, atol=1e-5)
    assert [name for name, child in ctx._children.items() if list(child.arrays())] == ["head"]


def test_names_weights_and_sizes_are_those_of_the_model(tmp_path):
    model = models.resnet20(rng=0)
    frozen = freeze(models.resnet20(rng=1), until="layer3")
    save(model, tmp_path / "weights.safetensors")
    load(frozen, tmp_path / "weights.safetensors")
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert sorted(frozen.state_dict()) == sorted(model.state_dict())
    np.testing.assert_array_equal(frozen(x), model(x))
    np.testing.assert_array_equal(Predictor(frozen, (3, 32, 32))(x), Predictor(model, (3, 32, 32))(x))
    whole, part = summary(model), summary(frozen)
    assert (part.multiply_adds, part.rows[-1].output_shape) == (whole.multiply_adds, (10,))
    assert part.parameters == sum(
        p.value.size for n, p in model.named_parameters() if n.startswith(("layer3", "linear"))
    )
    assert part.kept_bytes < whole.kept_bytes


def test_all_that_leads_to_a_layer_is_frozen_in_any_graph():
    rng = np.random.default_rng(0)
    nodes = {
        "a": (Dense(2, 2, rng=rng), "x"),
        "b": (Dense(2, 2, rng=rng), "x"),
        "c": (Dense(2, 2, rng=rng), "a"),
        "sum": (Add(), ("b", "c")),
    }
    frozen = freeze(Graph(nodes), until="c")
    assert [name for name, node in frozen.nodes.items() if isinstance(node.layer, Frozen)] == ["a"]


def test_a_layer_inside_a_container_is_replaced():
    model = network().replaced("features.0", Conv2d(1, 4, 3, bias=False, rng=5))
    assert "features.0.bias" not in model.state_dict()
    assert model(data()[0]).shape == (12, 3)
    with pytest.raises(SettingError, match="Sequential: expected a layer among features, head, got 'tail'"):
        network().replaced("tail", ReLU())
    with pytest.raises(SettingError, match=r"expected a layer inside of 'head', got Dense\(64, 3\)"):
        network().replaced("head.0", ReLU())
    with pytest.raises(ShapeError, match=r"\[linear\] Dense: expected an input of shape \(63,\)"):
        models.resnet20(rng=0).replaced("linear", Dense(63, 5))


def test_bad_uses_are_refused():
    with pytest.raises(
        SettingError, match="freeze until: expected the name of a layer among features, head, got 'tail'"
    ):
        freeze(network(), until="tail")
    with pytest.raises(SettingError, match="expected the name of a layer of a Sequential or Graph, got 'x'"):
        freeze(Dense(2, 2), until="x")
    with pytest.raises(SettingError, match="Frozen: expected a layer, got 3"):
        Frozen(3)
    model = Sequential(Dense(36, 36), Frozen(Dense(36, 3)))
    with pytest.raises(UnsupportedError, match="expected a place before everything that is trained, got one behind"):
        model.forward(np.zeros((1, 36), np.float32), Context())
