"""Pictures of a training and of what came out, drawn with matplotlib (``pip install "convnet-cpu[plot]"``).

Every function returns a `matplotlib.figure.Figure`: ``plot.history(history).savefig("curves.png")``. Where there is but
one plot, ``ax`` draws into a figure of your own. Nothing is shown or kept: pyplot is not involved.
"""

from convnet.plot._answers import confusion_matrix as confusion_matrix
from convnet.plot._answers import mistakes as mistakes
from convnet.plot._curves import history as history
from convnet.plot._curves import learning_rates as learning_rates
from convnet.plot._heatmap import heatmap as heatmap
from convnet.plot._tiles import feature_maps as feature_maps
from convnet.plot._tiles import filters as filters

__all__ = ["confusion_matrix", "feature_maps", "filters", "heatmap", "history", "learning_rates", "mistakes"]
