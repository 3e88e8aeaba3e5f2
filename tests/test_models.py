import inspect
import math
import re

import numpy as np
import pytest

from convnet import models
from convnet.errors import SettingError, ShapeError
from convnet.layers import Context, Conv2d, Dense, Flatten, Sequential
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


def test_an_unknown_model_is_told_the_known_ones():
    known = ", ".join(MODELS)
    assert "lenet, alexnet, vgg11" in known
    with pytest.raises(SettingError) as caught:
        MODELS["resnet101"]
    assert str(caught.value) == f"MODELS: expected one of {known}, got 'resnet101'"
    with pytest.raises(AttributeError) as missed:
        models.resnet101  # noqa: B018 - the look-up is what is tested
    assert str(missed.value) == f"module 'convnet.models' has no attribute 'resnet101'; the networks are {known}"
    assert "resnet101" not in MODELS
    assert MODELS.get("resnet101") is None
    assert not hasattr(models, "resnet101")


@pytest.mark.parametrize("name", MODELS)
def test_each_model_documents_its_arguments(name):
    text = inspect.getdoc(MODELS[name])
    arguments = re.search(r"^Parameters\n-+\n(.*)\n\nReturns\n-+\nSequential\n", text, re.S | re.M)[1]
    listed = re.findall(r"^(\w[\w, ]*) : ", arguments, re.M)
    assert ", ".join(listed).split(", ") == list(inspect.signature(MODELS[name]).parameters)
    assert "\nRaises\n------\nSettingError\n" in text


INTEGERS = {"expected an integer of at least 1, got 0": 0, "expected an integer, got '10'": "10", "got True": True}
SHARES = {r"expected a number in \[0, 1\), got 1": 1, "got nan": math.nan, "got '0.5'": "0.5"}
FACTORS = {f"expected a finite number above 0, got {v!r}": v for v in (0, -1.0, math.nan, math.inf, "10", True)}
FLAGS = {"expected True or False, got 'no'": "no", "expected True or False, got 1": 1}


def _checks(name, parameter):
    """Wrong values of a setting, by what its error says."""
    if parameter.name == "shortcut":
        return {"expected 'A' or 'B', got 'C'": "C"}
    if (name, parameter.name) == ("nin", "width"):
        return {"expected an integer of at least 2, got 1": 1}
    if parameter.name == "width" and name.startswith("mobilenet"):
        return FACTORS
    return {int: INTEGERS, float: SHARES, bool: FLAGS}[type(parameter.default)]


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_checked_under_the_name_of_the_model_before_any_work(name):
    class Untouched(np.random.Generator):
        def __init__(self):
            super().__init__(np.random.PCG64(0))

        def __getattribute__(self, attribute):
            raise AssertionError("numbers were drawn")

    for parameter in inspect.signature(MODELS[name]).parameters.values():
        if parameter.name == "rng":
            continue
        for text, value in _checks(name, parameter).items():
            with pytest.raises(SettingError, match=f"^{name} {parameter.name}: .*{text}$"):
                MODELS[name](**{parameter.name: value}, rng=Untouched())


def test_other_sizes_of_images_are_told_those_that_are_taken():
    for model, most in (lenet(), 31), (simple_cnn(), 29):
        assert model.output_shape((1, most, most)) == (10,)
        for shape in (1, 27, 28), (1, 20, 20), (1, 32, 32), (1, 28, 64):
            for take in (model.output_shape, lambda shape, model=model: model(np.zeros((1, *shape), np.float32))):
                with pytest.raises(ShapeError, match=f"; images must be 28x28 to {most}x{most}$"):
                    take(shape)
    with pytest.raises(ShapeError, match=r"got \(2, 28, 28\)$"):
        lenet().output_shape((2, 28, 28))
    only = Sequential(Conv2d(1, 1, 3), Flatten(), Dense(4 * 6, 3), input_shape=(1, 6, 8))
    with pytest.raises(ShapeError, match=r"; images must be 6x8$"):
        only.output_shape((1, 8, 8))
    with pytest.raises(ShapeError, match=r"got \(16,\)$"):
        Sequential(Flatten(), Dense(9, 3), input_shape=(1, 4, 4))


@every_model
def test_coloured_images(build):
    model = build(classes=7, in_channels=3, rng=0)
    assert model.input_shape == (3, 28, 28)
    assert model(np.zeros((2, 3, 28, 28), np.float32)).shape == (2, 7)


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
