"""Networks: functions that return a layer with fresh weights."""

from convnet.models.alexnet import alexnet as alexnet
from convnet.models.lenet import lenet as lenet
from convnet.models.resnet import resnet18 as resnet18
from convnet.models.resnet import resnet34 as resnet34
from convnet.models.resnet import resnet50 as resnet50
from convnet.models.simple_cnn import simple_cnn as simple_cnn
from convnet.models.vgg import vgg11 as vgg11
from convnet.models.vgg import vgg13 as vgg13
from convnet.models.vgg import vgg16 as vgg16
from convnet.models.vgg import vgg19 as vgg19

MODELS = {
    "simple_cnn": simple_cnn,
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "vgg13": vgg13,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
}
"""The networks by name; each model knows its ``input_shape``."""

__all__ = [
    "MODELS",
    "alexnet",
    "lenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "simple_cnn",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]
