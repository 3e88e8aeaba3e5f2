"""Layers: one small class each, with a forward and a backward pass."""

from convnet.context import Context as Context
from convnet.layers._layer import Layer as Layer
from convnet.layers._layer import LoadReport as LoadReport
from convnet.layers.activation import PReLU as PReLU
from convnet.layers.activation import ReLU as ReLU
from convnet.layers.activation import ReLU6 as ReLU6
from convnet.layers.activation import Softmax as Softmax
from convnet.layers.auxiliary import AuxiliaryHead as AuxiliaryHead
from convnet.layers.containers import Parallel as Parallel
from convnet.layers.containers import Sequential as Sequential
from convnet.layers.conv import Conv2d as Conv2d
from convnet.layers.conv import ConvTranspose2d as ConvTranspose2d
from convnet.layers.dense import Dense as Dense
from convnet.layers.dropout import Dropout as Dropout
from convnet.layers.elementwise import ELU as ELU
from convnet.layers.elementwise import GELU as GELU
from convnet.layers.elementwise import HardSigmoid as HardSigmoid
from convnet.layers.elementwise import HardSwish as HardSwish
from convnet.layers.elementwise import LeakyReLU as LeakyReLU
from convnet.layers.elementwise import Sigmoid as Sigmoid
from convnet.layers.elementwise import SiLU as SiLU
from convnet.layers.elementwise import Tanh as Tanh
from convnet.layers.freeze import Frozen as Frozen
from convnet.layers.freeze import freeze as freeze
from convnet.layers.graph import Graph as Graph
from convnet.layers.graph import Node as Node
from convnet.layers.merge import Add as Add
from convnet.layers.merge import Concat as Concat
from convnet.layers.merge import Merge as Merge
from convnet.layers.merge import Multiply as Multiply
from convnet.layers.norm import BatchNorm2d as BatchNorm2d
from convnet.layers.norm import GroupNorm as GroupNorm
from convnet.layers.norm import LocalResponseNorm as LocalResponseNorm
from convnet.layers.pool import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from convnet.layers.pool import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from convnet.layers.pool import AvgPool2d as AvgPool2d
from convnet.layers.pool import GlobalAvgPool2d as GlobalAvgPool2d
from convnet.layers.pool import MaxPool2d as MaxPool2d
from convnet.layers.resample import Pad2d as Pad2d
from convnet.layers.resample import Upsample2d as Upsample2d
from convnet.layers.reshape import Flatten as Flatten
from convnet.layers.reshape import Identity as Identity
from convnet.layers.reshape import PadChannels as PadChannels
from convnet.parameter import Parameter as Parameter

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "Add",
    "AuxiliaryHead",
    "AvgPool2d",
    "BatchNorm2d",
    "Concat",
    "Context",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Flatten",
    "Frozen",
    "GlobalAvgPool2d",
    "Graph",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Layer",
    "LeakyReLU",
    "LoadReport",
    "LocalResponseNorm",
    "MaxPool2d",
    "Merge",
    "Multiply",
    "Node",
    "PReLU",
    "Pad2d",
    "PadChannels",
    "Parallel",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample2d",
    "freeze",
]
