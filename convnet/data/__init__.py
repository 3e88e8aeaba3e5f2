"""Data sets as arrays: ``((x, y), (x_test, y_test))``, and what prepares labels and batches.

Images are uint8 of shape (n, c, h, w), labels int64 of shape (n,).
"""

from convnet.data._cifar10 import cifar10
from convnet.data._digits import digits
from convnet.data._idx import read_idx
from convnet.data._labels import one_hot
from convnet.data._loader import DataLoader
from convnet.data._mnist import fashion_mnist, mnist

__all__ = ["DataLoader", "cifar10", "digits", "fashion_mnist", "mnist", "one_hot", "read_idx"]
