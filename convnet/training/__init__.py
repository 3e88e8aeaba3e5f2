"""Training: a model, a loss, an optimizer and data go in, a trained model and its history come out."""

from convnet.training._average import WeightAverage as WeightAverage
from convnet.training._checkpoint import Checkpoint as Checkpoint
from convnet.training._history import Epoch as Epoch
from convnet.training._history import History as History
from convnet.training._rates import LearningRates as LearningRates
from convnet.training._trainer import Trainer as Trainer
from convnet.training.callbacks import Callback as Callback
from convnet.training.callbacks import CSVLog as CSVLog
from convnet.training.callbacks import EarlyStopping as EarlyStopping
from convnet.training.callbacks import JSONLog as JSONLog
from convnet.training.callbacks import TensorBoard as TensorBoard

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Epoch",
    "History",
    "JSONLog",
    "LearningRates",
    "TensorBoard",
    "Trainer",
    "WeightAverage",
]
