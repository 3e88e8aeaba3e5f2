"""How good outputs are, in numbers people read.

Functions of all outputs at once, and for each of them an object that is updated batch by batch and keeps only counts:
both give the same numbers. Outputs come first, then targets, as in the losses.
"""

from convnet.metrics._classes import accuracy as accuracy
from convnet.metrics._classes import confusion_matrix as confusion_matrix
from convnet.metrics._classes import correct as correct
from convnet.metrics._classes import top_k_accuracy as top_k_accuracy
from convnet.metrics._metric import F1 as F1
from convnet.metrics._metric import Accuracy as Accuracy
from convnet.metrics._metric import ConfusionMatrix as ConfusionMatrix
from convnet.metrics._metric import Metric as Metric
from convnet.metrics._metric import Precision as Precision
from convnet.metrics._metric import Recall as Recall
from convnet.metrics._metric import TopK as TopK
from convnet.metrics._report import ClassificationReport as ClassificationReport
from convnet.metrics._report import classification_report as classification_report
from convnet.metrics._scores import f1 as f1
from convnet.metrics._scores import precision as precision
from convnet.metrics._scores import recall as recall

__all__ = [
    "F1",
    "Accuracy",
    "ClassificationReport",
    "ConfusionMatrix",
    "Metric",
    "Precision",
    "Recall",
    "TopK",
    "accuracy",
    "classification_report",
    "confusion_matrix",
    "correct",
    "f1",
    "precision",
    "recall",
    "top_k_accuracy",
]
