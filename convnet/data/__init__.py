"""Data sets as arrays or folders, and what prepares labels and batches.

Published data sets are ``((x, y), (x_test, y_test))``: images uint8 of shape (n, c, h, w), labels int64 of shape (n,).
"""

from convnet.data._cifar10 import cifar10
from convnet.data._digits import digits
from convnet.data._floats import as_floats
from convnet.data._folder import ImageFolder, image_files
from convnet.data._idx import read_idx
from convnet.data._image import read_image
from convnet.data._labels import class_weights, one_hot, stratified_split
from convnet.data._loader import DataLoader
from convnet.data._mnist import fashion_mnist, mnist
from convnet.data._stream import Stream

__all__ = [
    "DataLoader",
    "ImageFolder",
    "Stream",
    "as_floats",
    "cifar10",
    "class_weights",
    "digits",
    "fashion_mnist",
    "image_files",
    "mnist",
    "one_hot",
    "read_idx",
    "read_image",
    "stratified_split",
]
