"""Making a finished model faster without changing what it computes."""

from convnet.inference._fuse import fuse as fuse
from convnet.inference._predictor import Predictor as Predictor

__all__ = ["Predictor", "fuse"]
