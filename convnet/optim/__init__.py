"""Optimizers and learning-rate schedules."""

from convnet.optim._optimizer import Optimizer as Optimizer
from convnet.optim._optimizer import Schedule as Schedule
from convnet.optim.adam import Adam as Adam
from convnet.optim.schedules import Cosine as Cosine
from convnet.optim.schedules import OneCycle as OneCycle
from convnet.optim.schedules import StepDecay as StepDecay
from convnet.optim.sgd import SGD as SGD

__all__ = ["SGD", "Adam", "Cosine", "OneCycle", "Optimizer", "Schedule", "StepDecay"]
