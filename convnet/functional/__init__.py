"""Stateless functions, NumPy arrays in and out: the one door to the compiled code.

Feature maps have the logical shape (n, c, h, w) and lie channels-last in memory; arrays of any strides, read-only ones
too, are taken. Inputs are never written to. Each function runs the same kernels for float32 and float64 and gives the
same bits for any number of threads.
"""

from convnet.functional._activation import add, add_relu, relu, relu6, relu6_backward, relu_backward
from convnet.functional._adaptive_pool import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from convnet.functional._algorithm import conv2d_algorithm, get_algorithm, set_algorithm
from convnet.functional._conv import conv2d, conv2d_backward, conv2d_relu, conv2d_relu_backward
from convnet.functional._conv_transpose import conv_transpose2d, conv_transpose2d_backward
from convnet.functional._dense import dense, dense_backward, flatten, unflatten
from convnet.functional._dropout import dropout
from convnet.functional._functions import activation, activation_backward, prelu, prelu_backward
from convnet.functional._group_norm import group_norm, group_norm_backward
from convnet.functional._loss import softmax, softmax_backward, softmax_cross_entropy
from convnet.functional._merge import concat, multiply, multiply_backward
from convnet.functional._norm import batch_norm, batch_norm_backward, batch_norm_inference
from convnet.functional._norm_pool import batch_norm_relu_pool, batch_norm_relu_pool_backward
from convnet.functional._plan import Plan
from convnet.functional._pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from convnet.functional._resample import pad2d, pad2d_backward, upsample2d, upsample2d_backward
from convnet.functional._response import local_response_norm, local_response_norm_backward
from convnet.functional._runtime import cpu_features, empty_cache, get_num_threads, memory_stats, set_num_threads
from convnet.functional._update import Updates, adam_update, rmsprop_update, sgd_update

__all__ = [
    "Plan",
    "Updates",
    "activation",
    "activation_backward",
    "adam_update",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "add",
    "add_relu",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_relu_pool",
    "batch_norm_relu_pool_backward",
    "concat",
    "conv2d",
    "conv2d_algorithm",
    "conv2d_backward",
    "conv2d_relu",
    "conv2d_relu_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cpu_features",
    "dense",
    "dense_backward",
    "dropout",
    "empty_cache",
    "flatten",
    "get_algorithm",
    "get_num_threads",
    "group_norm",
    "group_norm_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "memory_stats",
    "multiply",
    "multiply_backward",
    "pad2d",
    "pad2d_backward",
    "prelu",
    "prelu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "rmsprop_update",
    "set_algorithm",
    "set_num_threads",
    "sgd_update",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "unflatten",
    "upsample2d",
    "upsample2d_backward",
]
