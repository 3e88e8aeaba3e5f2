"""Networks: functions that return a layer with fresh weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from convnet.errors import SettingError
from convnet.layers import Sequential
from convnet.models.alexnet import alexnet as alexnet
from convnet.models.googlenet import googlenet as googlenet
from convnet.models.lenet import lenet as lenet
from convnet.models.mobilenet import mobilenet_v1 as mobilenet_v1
from convnet.models.mobilenet import mobilenet_v2 as mobilenet_v2
from convnet.models.nin import nin as nin
from convnet.models.resnet import resnet18 as resnet18
from convnet.models.resnet import resnet20 as resnet20
from convnet.models.resnet import resnet34 as resnet34
from convnet.models.resnet import resnet50 as resnet50
from convnet.models.resnet import resnet56 as resnet56
from convnet.models.simple_cnn import simple_cnn as simple_cnn
from convnet.models.squeezenet import squeezenet as squeezenet
from convnet.models.vgg import vgg11 as vgg11
from convnet.models.vgg import vgg13 as vgg13
from convnet.models.vgg import vgg16 as vgg16
from convnet.models.vgg import vgg19 as vgg19


class Models(dict[str, Callable[..., Sequential]]):
    """Networks by name; an unknown one is a `SettingError` that lists the known."""

    def __missing__(self, name: object) -> Callable[..., Sequential]:
        raise SettingError(f"MODELS: expected one of {', '.join(self)}, got {name!r}")


MODELS = Models(
    {
        "simple_cnn": simple_cnn,
        "lenet": lenet,
        "alexnet": alexnet,
        "vgg11": vgg11,
        "vgg13": vgg13,
        "vgg16": vgg16,
        "vgg19": vgg19,
        "nin": nin,
        "googlenet": googlenet,
        "resnet18": resnet18,
        "resnet34": resnet34,
        "resnet50": resnet50,
        "resnet20": resnet20,
        "resnet56": resnet56,
        "squeezenet": squeezenet,
        "mobilenet_v1": mobilenet_v1,
        "mobilenet_v2": mobilenet_v2,
    }
)
"""The networks by name; each model knows its ``input_shape``."""

__all__ = [
    "MODELS",
    "alexnet",
    "googlenet",
    "lenet",
    "mobilenet_v1",
    "mobilenet_v2",
    "nin",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "simple_cnn",
    "squeezenet",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]

if not TYPE_CHECKING:  # a type checker would believe that any name is there

    def __getattr__(name):
        raise AttributeError(f"module 'convnet.models' has no attribute {name!r}; the networks are {', '.join(MODELS)}")
