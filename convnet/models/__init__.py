"""Networks: functions that return a layer with fresh weights."""

from convnet.models.lenet import lenet as lenet
from convnet.models.simple_cnn import simple_cnn as simple_cnn

MODELS = {"simple_cnn": simple_cnn, "lenet": lenet}
"""The networks by name; each model knows its ``input_shape``."""

__all__ = ["MODELS", "lenet", "simple_cnn"]
