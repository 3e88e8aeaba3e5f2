import numpy as np
import pytest

from convnet.layers import Context
from convnet.losses import SoftmaxCrossEntropy
from convnet.models import MODELS, lenet, simple_cnn
from convnet.optim import Adam

SMALL = {"simple_cnn": simple_cnn, "lenet": lenet}
every_model = pytest.mark.parametrize("build", SMALL.values(), ids=SMALL.keys())


def test_the_weights_have_the_published_shapes():
    assert {name: p.shape for name, p in simple_cnn().named_parameters()} == {
        "0.weight": (8, 1, 3, 3),
        "0.bias": (8,),
        "4.weight": (64, 1568),
        "4.bias": (64,),
        "6.weight": (10, 64),
        "6.bias": (10,),
    }
    assert {name: p.shape for name, p in lenet().named_parameters() if "weight" in name} == {
        "0.weight": (6, 1, 5, 5),
        "3.weight": (16, 6, 5, 5),
        "7.weight": (120, 256),
        "9.weight": (84, 120),
        "11.weight": (10, 84),
    }


def test_models_are_found_by_name():
    assert MODELS.items() > SMALL.items()
    assert all(build.__name__ == name for name, build in MODELS.items())


@every_model
def test_a_model_states_its_input_and_keeps_to_its_output(build, rng):
    model = build(classes=7, rng=0)
    x = rng.random((3, *model.input_shape), np.float32)
    assert model.output_shape(model.input_shape) == (7,)
    assert model(x).shape == (3, 7)


@every_model
def test_a_seed_decides_the_weights(build):
    one, two, other = (build(rng=seed).state_dict() for seed in (1, 1, 2))
    for name, value in one.items():
        np.testing.assert_array_equal(two[name], value)
        assert "bias" in name or (other[name] != value).mean() > 0.99


@every_model
def test_a_model_learns_a_batch_by_heart(build, rng):
    model, loss, optimizer = build(rng=0), SoftmaxCrossEntropy(), Adam(lr=0.003)
    x, labels = rng.standard_normal((20, *model.input_shape), np.float32), rng.integers(0, 10, 20)
    for _ in range(60):
        ctx = Context(wants_dx=False)
        loss.forward(model.forward(x, ctx), labels, ctx)
        model.backward(loss.backward(ctx), ctx)
        optimizer.step(model.parameters())
    np.testing.assert_array_equal(model(x).argmax(axis=1), labels)
