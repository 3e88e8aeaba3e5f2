"""Optimizers, learning-rate schedules, weight decay by group, and bounds for gradients."""

from convnet.optim._optimizer import Decay as Decay
from convnet.optim._optimizer import Optimizer as Optimizer
from convnet.optim._optimizer import Schedule as Schedule
from convnet.optim.adam import Adam as Adam
from convnet.optim.adamw import AdamW as AdamW
from convnet.optim.clip import Clip as Clip
from convnet.optim.clip import ClipNorm as ClipNorm
from convnet.optim.clip import ClipValue as ClipValue
from convnet.optim.decay import WeightsOnly as WeightsOnly
from convnet.optim.rmsprop import RMSprop as RMSprop
from convnet.optim.schedules import Cosine as Cosine
from convnet.optim.schedules import OneCycle as OneCycle
from convnet.optim.schedules import Plateau as Plateau
from convnet.optim.schedules import StepDecay as StepDecay
from convnet.optim.schedules import Warmup as Warmup
from convnet.optim.sgd import SGD as SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Clip",
    "ClipNorm",
    "ClipValue",
    "Cosine",
    "Decay",
    "OneCycle",
    "Optimizer",
    "Plateau",
    "RMSprop",
    "Schedule",
    "StepDecay",
    "Warmup",
    "WeightsOnly",
]
