"""Training: a model, a loss, an optimizer and data go in, a trained model and its history come out."""

from convnet.training._average import WeightAverage as WeightAverage
from convnet.training._history import Epoch as Epoch
from convnet.training._history import History as History
from convnet.training._trainer import Trainer as Trainer

__all__ = ["Epoch", "History", "Trainer", "WeightAverage"]
