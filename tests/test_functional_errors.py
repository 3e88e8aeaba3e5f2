"""Every refusal of convnet.functional: the exception, and a text that says who, what was expected and what came."""

import re

import numpy as np
import pytest

from convnet.errors import ConvnetError, DataError, DTypeError, SettingError, ShapeError
from convnet.functional import (
    Updates,
    activation,
    activation_backward,
    adam_update,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    add,
    add_relu,
    avg_pool2d,
    avg_pool2d_backward,
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    batch_norm_relu_pool,
    batch_norm_relu_pool_backward,
    conv2d,
    conv2d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    dense,
    dense_backward,
    flatten,
    group_norm,
    group_norm_backward,
    local_response_norm,
    local_response_norm_backward,
    max_pool2d,
    max_pool2d_backward,
    pad2d,
    pad2d_backward,
    prelu,
    prelu_backward,
    relu,
    relu_backward,
    rmsprop_update,
    set_num_threads,
    sgd_update,
    softmax,
    softmax_backward,
    softmax_cross_entropy,
    unflatten,
    upsample2d,
    upsample2d_backward,
)

X, W, B = np.ones((2, 3, 5, 5), np.float32), np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
DY, Z = np.ones((2, 4, 3, 3), np.float32), np.zeros((3, 4), np.float32)
FEW = np.ones(2, np.float32)
ROWS, MATRIX = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
POOLED, CODES = max_pool2d(X, 2, return_codes=True)


def _pool_backward(dy, codes):
    return batch_norm_relu_pool_backward(dy, codes, X, B[:3], B[:3], pool=2)


def _vector(dtype=np.float32):
    return np.ones(5, dtype)


ADAM = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}


def _adam(**changes):
    arrays = {name: _vector() for name in ("value", "grad", "mean", "variance")}
    adam_update(**(arrays | ADAM | {"step": 1} | changes))


def _rmsprop(*state, **settings):
    rmsprop_update(_vector(), _vector(), *state, **({"lr": 0.1, "alpha": 0.9, "eps": 1e-8} | settings))


def _updates(arrays):
    """Of one parameter: value, grad and no velocity, or mean and variance."""
    return Updates([(_vector(), _vector(), None) if arrays == 3 else tuple(_vector() for _ in range(arrays))])


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


SHAPE_ERRORS = [
    (lambda: conv2d(X[0], W), "conv2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: conv2d(X, W[0]), "conv2d: expected w of shape (out, in / groups, kh, kw), got (3, 3, 3)"),
    (lambda: conv2d(X, W[:, :2]), "conv2d: expected x of shape (n, 2, h, w)", "got (2, 3, 5, 5)"),
    (lambda: conv2d(X, W[:, :1], groups=2), "conv2d: expected x of shape (n, 2, h, w)", "groups=2", "got (2, 3, 5, 5)"),
    (lambda: conv2d(X, W[:, :1], groups=3), "conv2d: expected", "multiple of groups=3", "got", "(4, 1, 3, 3)"),
    (lambda: conv2d(X, W, B[:3]), "conv2d: expected b of shape (4,), got (3,)"),
    (lambda: conv2d(X, W, dilation=3), "conv2d: expected a padded height of at least 7", "got 5"),
    (lambda: conv2d(X[:, :, :2], W), "conv2d: expected a padded height of at least 3", "got 2"),
    (lambda: conv2d_backward(DY[0], X, W), "conv2d_backward: expected dy of shape", "got (4, 3, 3)"),
    (lambda: conv2d_backward(DY[:, :, 1:], X, W), "expected dy of shape (2, 4, 3, 3), got (2, 4, 2, 3)"),
    (lambda: conv2d_backward(DY, X[:1], W), "conv2d_backward: expected dy of shape (1, 4, 3, 3), got (2, 4, 3, 3)"),
    (lambda: conv2d_backward(DY, X, W, dw=W[1:]), "expected dw of shape (4, 3, 3, 3), got (3, 3, 3, 3)"),
    (lambda: conv2d_backward(DY, X, W, db=B[1:]), "conv2d_backward: expected db of shape (4,), got (3,)"),
    (lambda: conv2d_backward(DY, X, W, dw=W.copy("F")), "conv2d_backward: expected dw", "writeable C-contiguous"),
    (lambda: conv2d_backward(DY, X, W, dw=_read_only(W)), "conv2d_backward: expected dw", "writeable C-contiguous"),
    (lambda: max_pool2d(X[0], 2), "max_pool2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: avg_pool2d(X[0], 2), "avg_pool2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: max_pool2d(X, 6), "pool2d: expected a padded height of at least 6", "got 5"),
    (lambda: max_pool2d_backward(POOLED[:1], CODES, X.shape, 2), "expected dy of shape (2, 3, 2, 2), got (1, 3, 2, 2)"),
    (lambda: max_pool2d_backward(POOLED, CODES[:1], X.shape, 2), "expected codes of shape (2, 3, 2, 2)", "got (1,"),
    (lambda: max_pool2d_backward(POOLED, CODES, (3, 5, 5), 2), "expected input_shape", "(n, c, h, w)", "got (3, 5, 5)"),
    (lambda: avg_pool2d_backward(POOLED, (2, 3, 9, 5), 2), "expected dy of shape (2, 3, 4, 2), got (2, 3, 2, 2)"),
    (lambda: avg_pool2d_backward(POOLED, (3, 5, 5), 2), "expected input_shape", "(n, c, h, w)", "got (3, 5, 5)"),
    (lambda: adaptive_avg_pool2d(X[0], 1), "adaptive_avg_pool2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (
        lambda: adaptive_max_pool2d(X[:, :, :0], 1),
        "adaptive_max_pool2d: expected x of at least one pixel, got (2, 3, 0",
    ),
    (lambda: adaptive_avg_pool2d_backward(POOLED[:1], X.shape), "expected dy of shape (2, 3, 2, 2), got (1, 3, 2, 2)"),
    (lambda: adaptive_avg_pool2d_backward(X[..., :0], X.shape), "expected dy of at least one pixel, got (2, 3, 5, 0)"),
    (lambda: adaptive_avg_pool2d_backward(X, (2, 3, 0, 5)), "expected input_shape of at least one pixel, got (2, 3, 0"),
    (lambda: adaptive_max_pool2d_backward(X, X[:1].astype(np.uint8), X.shape), "expected codes of shape (2, 3, 5, 5)"),
    (lambda: batch_norm(X[0]), "batch_norm: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: batch_norm(X, FEW), "batch_norm: expected weight of shape (3,), got (2,)"),
    (lambda: batch_norm(X, None, FEW), "batch_norm: expected bias of shape (3,), got (2,)"),
    (lambda: batch_norm(X, add=DY), "batch_norm: expected add of shape (2, 3, 5, 5), got (2, 4, 3, 3)"),
    (lambda: batch_norm_inference(X, FEW, B[:3]), "batch_norm_inference: expected mean of shape (3,), got (2,)"),
    (lambda: batch_norm_inference(X, B[:3], FEW), "batch_norm_inference: expected var of shape (3,), got (2,)"),
    (lambda: batch_norm_backward(DY, X, B[:3], B[:3]), "batch_norm_backward: expected dy of shape (2, 3, 5, 5), got"),
    (
        lambda: batch_norm_backward(X, X, B[:3], B[:3], relu=True, output=DY),
        "batch_norm_backward: expected output of shape (2, 3, 5, 5), got (2, 4, 3, 3)",
    ),
    (
        lambda: batch_norm_backward(X, X, B[:3], B[:3], dweight=B),
        "batch_norm_backward: expected dweight of shape (3,), got (4,)",
    ),
    (lambda: batch_norm_relu_pool(X, pool=6), "batch_norm_relu_pool: expected pool of at most (5, 5)", "got (6, 6)"),
    (lambda: batch_norm_relu_pool(X, FEW, pool=2), "batch_norm_relu_pool: expected weight of shape (3,), got (2,)"),
    (lambda: batch_norm_relu_pool(X, mean=B[:3], var=FEW, pool=2), "expected var of shape (3,), got (2,)"),
    (lambda: _pool_backward(X, CODES), "batch_norm_relu_pool_backward: expected dy of shape (2, 3, 2, 2), got"),
    (lambda: _pool_backward(POOLED, CODES[:1]), "expected codes of shape (2, 3, 2, 2), got (1, 3, 2, 2)"),
    (lambda: group_norm(X[0], 3), "group_norm: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (
        lambda: group_norm(X, 2),
        "group_norm: expected channels that are a multiple of num_groups=2, got x of shape (2, 3,",
    ),
    (lambda: group_norm(X, 3, FEW), "group_norm: expected weight of shape (3,), got (2,)"),
    (lambda: group_norm(X, 3, None, FEW), "group_norm: expected bias of shape (3,), got (2,)"),
    (lambda: group_norm_backward(DY, X, Z[:2], Z[:2]), "group_norm_backward: expected dy of shape (2, 3, 5, 5), got"),
    (
        lambda: group_norm_backward(X, X, FEW, FEW),
        "group_norm_backward: expected mean of shape (2, num_groups), got (2,)",
    ),
    (
        lambda: group_norm_backward(X, X, Z[:2, :3], Z[:2]),
        "group_norm_backward: expected var of shape (2, 3), got (2, 4)",
    ),
    (lambda: local_response_norm(X[0], 5), "local_response_norm: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: local_response_norm_backward(DY, X, 5), "local_response_norm_backward: expected dy of shape (2, 3, 5, 5)"),
    (
        lambda: activation_backward(ROWS, ROWS[:1], "elu"),
        "activation_backward: expected dy of shape (1, 3), got (2, 3)",
    ),
    (lambda: prelu(ROWS, FEW), "prelu: expected weight of shape (1,) or (3,), got (2,)"),
    (
        lambda: prelu(ROWS[0], B[:3]),
        "prelu: expected x of shape (n, c) or (n, c, h, w) for a weight a channel, got (3,)",
    ),
    (lambda: prelu_backward(ROWS[:1], ROWS, B[:3]), "prelu_backward: expected dy of shape (2, 3), got (1, 3)"),
    (lambda: prelu_backward(ROWS, ROWS, B[:3], dweight=B), "prelu_backward: expected dweight of shape (3,), got (4,)"),
    (
        lambda: softmax_backward(Z[0], Z[0]),
        "softmax_backward: expected y of shape (n, classes) or (n, classes, h, w), got",
    ),
    (lambda: softmax_backward(Z[:1], Z), "softmax_backward: expected dy of shape (3, 4), got (1, 4)"),
    (lambda: conv_transpose2d(X[0], W), "conv_transpose2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (
        lambda: conv_transpose2d(X, W),
        "conv_transpose2d: expected w of shape (3, out / groups, kh, kw)",
        "got (4, 3, 3, 3)",
    ),
    (
        lambda: conv_transpose2d(X, W[:3], groups=2),
        "conv_transpose2d: expected w",
        "a multiple of groups=2",
        "got (3, 3",
    ),
    (lambda: conv_transpose2d(X, W[:3], B), "conv_transpose2d: expected b of shape (3,), got (4,)"),
    (
        lambda: conv_transpose2d(X, W[:3], padding=4),
        "expected an input and an output of at least one pixel",
        "becomes -1",
    ),
    (
        lambda: conv_transpose2d_backward(X, X, W[:3]),
        "conv_transpose2d_backward: expected dy of shape (2, 3, 7, 7), got",
    ),
    (lambda: pad2d(X[0], 1), "pad2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: pad2d(X, 5, mode="reflect"), "pad2d: expected a height of at least 6 for padding=", "mode='reflect', got"),
    (lambda: pad2d(X[..., :0], 1, mode="replicate"), "pad2d: expected a width of at least 1", "got size=(5, 0)"),
    (lambda: pad2d_backward(X, (5, 5), 1), "pad2d_backward: expected dy of shape (2, 3, 7, 7), got (2, 3, 5, 5)"),
    (lambda: upsample2d(X[0], 9), "upsample2d: expected x of shape (n, c, h, w), got (3, 5, 5)"),
    (lambda: upsample2d(X, scale_factor=0.1), "upsample2d: expected maps of at least one pixel, got size=(5, 5) that"),
    (
        lambda: upsample2d_backward(X, (3, 3), 7),
        "upsample2d_backward: expected dy of shape (2, 3, 7, 7), got (2, 3, 5, 5)",
    ),
    (lambda: dense(ROWS[0], MATRIX), "dense: expected x of shape (n, 3)", "got (3,)"),
    (lambda: dense(X, MATRIX), "dense: expected x of shape (n, 3)", "got (2, 3, 5, 5)"),
    (lambda: dense(ROWS, MATRIX[:, :2]), "dense: expected x of shape (n, 2)", "got (2, 3)"),
    (lambda: dense(ROWS, MATRIX[0]), "dense: expected w of shape (out, in), got (3,)"),
    (lambda: dense(ROWS, MATRIX, B[:3]), "dense: expected b of shape (4,), got (3,)"),
    (lambda: dense_backward(ROWS, ROWS, MATRIX), "dense_backward: expected dy of shape (2, 4), got (2, 3)"),
    (lambda: dense_backward(Z[:2], ROWS, MATRIX, dw=Z), "dense_backward: expected dw of shape (4, 3), got (3, 4)"),
    (
        lambda: dense_backward(Z[:2], ROWS, MATRIX, relu_output=Z),
        "dense_backward: expected relu_output of shape (2, 4)",
    ),
    (lambda: flatten(ROWS), "flatten: expected x of shape (n, c, h, w), got (2, 3)"),
    (lambda: unflatten(ROWS, (2, 3, 2, 2)), "unflatten: expected dy of shape (2, 12), got (2, 3)"),
    (lambda: unflatten(ROWS, (2, 3)), "unflatten: expected shape", "(n, c, h, w)", "got (2, 3)"),
    (lambda: relu_backward(ROWS, ROWS[:1]), "relu_backward: expected dy of shape (1, 3), got (2, 3)"),
    (lambda: add(ROWS, ROWS[:1]), "add: expected b of shape (2, 3), got (1, 3)"),
    (lambda: add_relu(X, DY), "add_relu: expected b of shape (2, 3, 5, 5), got (2, 4, 3, 3)"),
    (lambda: softmax(Z[0]), "softmax: expected logits of shape (n, classes) or (n, classes, h, w), got (4,)"),
    (lambda: softmax_cross_entropy(Z[0], np.zeros(1, np.int64)), "expected logits of shape (n, classes), got (4,)"),
    (lambda: softmax_cross_entropy(Z, np.zeros(2, np.int64)), "expected targets of shape (3,) or (3, 4), got (2,)"),
    (lambda: softmax_cross_entropy(Z, Z[:, 1:]), "expected targets of shape (3, 4), got (3, 3)"),
    (lambda: softmax_cross_entropy(Z, Z[None]), "expected targets of shape (3,) or (3, 4), got (1, 3, 4)"),
    (lambda: sgd_update(_vector(), B, None, lr=0.1), "sgd_update: expected grad of shape (5,), got (4,)"),
    (lambda: sgd_update(_vector(), _vector(), B, lr=0.1), "sgd_update: expected velocity of shape (5,), got (4,)"),
    (lambda: sgd_update(W.copy("F"), W, None, lr=0.1), "sgd_update: expected value", "C-contiguous"),
    (lambda: sgd_update(_vector(), _read_only(_vector()), None, lr=0.1), "sgd_update: expected grad", "writeable"),
    (lambda: _adam(mean=B), "adam_update: expected mean of shape (5,), got (4,)"),
    (lambda: _rmsprop(B), "rmsprop_update: expected square of shape (5,), got (4,)"),
    (lambda: _rmsprop(_vector(), B), "rmsprop_update: expected velocity of shape (5,), got (4,)"),
    (lambda: _rmsprop(_vector(), None, B), "rmsprop_update: expected mean of shape (5,), got (4,)"),
]

DATA_ERRORS = [
    (lambda: softmax_cross_entropy(Z, np.array([0, 4, -1])), "expected labels from 0 to 3, got 4 at position 1"),
    (lambda: softmax_cross_entropy(Z, np.array([0, 1, -1])), "expected labels from 0 to 3, got -1 at position 2"),
    (lambda: softmax_cross_entropy(Z, np.array([2**63, 1, 2], np.uint64)), "got 9223372036854775808 at position 0"),
]

DTYPE_ERRORS = [
    (lambda: group_norm(X, 3, np.ones(3)), "group_norm: expected weight of dtype float32", "got float64"),
    (lambda: activation(np.ones(3, int), "elu"), "activation: expected x of dtype float32 or float64, got int64"),
    (lambda: prelu(X, np.ones(3)), "prelu: expected weight of dtype float32", "got float64"),
    (lambda: conv_transpose2d(X, np.float64(W)), "conv_transpose2d: expected w of dtype float32", "got float64"),
    (lambda: pad2d(X.astype(np.uint8), 1), "pad2d: expected x of dtype float32 or float64, got uint8", "/ 255"),
    (
        lambda: upsample2d(X.astype(np.uint8), 9),
        "upsample2d: expected x of dtype float32 or float64, got uint8",
        "/ 255",
    ),
    (lambda: conv2d(X.astype(np.uint8), W), "conv2d: expected x of dtype float32 or float64, got uint8", "/ 255"),
    (lambda: conv2d(X.astype(np.float16), W), "conv2d: expected x of dtype float32 or float64, got float16"),
    (lambda: conv2d(X.astype(">f4"), W), "conv2d: expected x of dtype float32 or float64, got >f4"),
    (lambda: conv2d(None, W), "conv2d: expected x of dtype float32 or float64, got object"),
    (lambda: conv2d(X, np.float64(W)), "conv2d: expected w of dtype float32", "got float64"),
    (lambda: conv2d(X, W, np.float64(B)), "conv2d: expected b of dtype float32", "got float64"),
    (lambda: conv2d_backward(np.float64(DY), X, W), "conv2d_backward: expected dy of dtype float32", "got float64"),
    (lambda: conv2d_backward(DY, X, W, dw=np.float64(W)), "conv2d_backward: expected dw of dtype float32, got float64"),
    (lambda: conv2d_backward(DY, X, W, dw=1), "conv2d_backward: expected dw", "got"),
    (lambda: conv2d_backward(DY, X, W, db=None), "conv2d_backward: expected db", "got"),
    (lambda: max_pool2d(X.astype(np.int64), 2), "max_pool2d: expected x of dtype float32 or float64, got int64"),
    (lambda: avg_pool2d(X.astype(np.int64), 2), "avg_pool2d: expected x of dtype float32 or float64, got int64"),
    (lambda: max_pool2d_backward(POOLED, np.int64(CODES), X.shape, 2), "expected codes of dtype uint8, got int64"),
    (lambda: max_pool2d_backward(np.int64(POOLED), CODES, X.shape, 2), "expected dy of dtype", "got int64"),
    (lambda: adaptive_avg_pool2d(np.int64(X), 1), "adaptive_avg_pool2d: expected x of dtype float32 or", "got int64"),
    (lambda: adaptive_max_pool2d_backward(X, np.int64(X), X.shape), "expected codes of dtype uint8, got int64"),
    (lambda: batch_norm(X.astype(np.uint8)), "batch_norm: expected x of dtype float32 or float64, got uint8", "/ 255"),
    (lambda: batch_norm(X, np.float64(B[:3])), "batch_norm: expected weight of dtype float32", "got float64"),
    (lambda: batch_norm(X, add=np.float64(X)), "batch_norm: expected add of dtype float32", "got float64"),
    (lambda: batch_norm_backward(X, X, B[:3], B[:3], dbias=1), "batch_norm_backward: expected dbias", "got 1"),
    (lambda: _pool_backward(POOLED, np.int64(CODES)), "expected codes of dtype uint8, got int64"),
    (lambda: dense(ROWS.astype(np.int64), MATRIX), "dense: expected x of dtype float32 or float64, got int64"),
    (lambda: dense(ROWS, np.float64(MATRIX)), "dense: expected w of dtype float32", "got float64"),
    (lambda: dense_backward(Z[:2], ROWS, MATRIX, dw=1), "dense_backward: expected dw", "got"),
    (
        lambda: dense_backward(Z[:2], ROWS, MATRIX, relu_output=np.float64(Z[:2])),
        "expected relu_output of dtype float32",
    ),
    (lambda: relu(np.arange(3)), "relu: expected x of dtype float32 or float64, got int64"),
    (lambda: relu_backward(np.float64(ROWS), ROWS), "relu_backward: expected dy of dtype float32", "got float64"),
    (lambda: add(np.arange(3), np.arange(3)), "add: expected a of dtype float32 or float64, got int64"),
    (lambda: add_relu(ROWS, np.float64(ROWS)), "add_relu: expected b of dtype float32", "got float64"),
    (lambda: softmax(Z.astype(np.int64)), "softmax: expected logits of dtype float32 or float64, got int64"),
    (lambda: softmax_cross_entropy(Z, np.zeros(3)), "expected targets of an integer dtype", "got float64"),
    (lambda: softmax_cross_entropy(Z, np.zeros(3, bool)), "expected targets of an integer dtype", "got bool"),
    (lambda: softmax_cross_entropy(Z, np.float64(Z)), "expected targets of dtype float32", "got float64"),
    (lambda: sgd_update(*[_vector(np.int64)] * 2, None, lr=0.1), "expected value of dtype float32", "got int64"),
    (lambda: sgd_update(_vector(), _vector(np.float64), None, lr=0.1), "expected grad of dtype float32, got float64"),
    (lambda: _adam(variance=_vector(np.float64)), "expected variance of dtype float32, got float64"),
    (lambda: _rmsprop(_vector(np.float64)), "expected square of dtype float32, got float64"),
]

SETTING_ERRORS = [
    (lambda: batch_norm_relu_pool(X, pool=1), "batch_norm_relu_pool: expected pool windows of 2 to 255 elements"),
    (lambda: group_norm(X, 0), "group_norm num_groups: expected an integer of at least 1, got 0"),
    (lambda: group_norm(X, 3, eps=-1), "group_norm eps: expected a finite number of at least 0, got -1"),
    (lambda: local_response_norm(X, 0), "local_response_norm size: expected an integer of at least 1, got 0"),
    (lambda: local_response_norm(X, 5, beta=-1), "local_response_norm beta: expected a finite number of at least 0"),
    (lambda: activation(X, "relu7"), "activation: expected one of elu, gelu", "got 'relu7'"),
    (lambda: activation_backward(X, X, "relu7"), "activation_backward: expected one of elu, gelu", "got 'relu7'"),
    (
        lambda: conv_transpose2d(X, W[:3], output_padding=1),
        "output_padding: expected less than stride=(1, 1)",
        "got (1, 1)",
    ),
    (lambda: conv_transpose2d(X, W[:3], stride=0), "conv_transpose2d stride: expected an integer of at least 1, got 0"),
    (lambda: conv_transpose2d(X, W[:3], padding=-1), "conv_transpose2d padding: expected an integer of at least 0"),
    (lambda: pad2d(X, -1), "pad2d padding: expected an integer of at least 0, got -1"),
    (lambda: pad2d(X, "same"), "pad2d padding: expected integers, got 'same'"),
    (lambda: pad2d(X, 1, mode="wrap"), "pad2d mode: expected 'zeros', 'reflect' or 'replicate', got 'wrap'"),
    (lambda: upsample2d(X), "upsample2d: expected either size or scale_factor, got size=None, scale_factor=None"),
    (lambda: upsample2d(X, 3, scale_factor=2), "upsample2d: expected either size or scale_factor, got size=3"),
    (lambda: upsample2d(X, 0), "upsample2d size: expected an integer of at least 1, got 0"),
    (
        lambda: upsample2d(X, scale_factor=(1, 2, 3)),
        "scale_factor: expected a number or a pair of numbers, got (1, 2, 3)",
    ),
    (
        lambda: upsample2d(X, scale_factor="2"),
        "upsample2d scale_factor: expected a finite number of at least 0, got '2'",
    ),
    (lambda: upsample2d(X, 3, mode="cubic"), "upsample2d mode: expected 'nearest' or 'bilinear', got 'cubic'"),
    (lambda: upsample2d(X, 3, align_corners=True), "upsample2d align_corners: expected False for mode='nearest', got"),
    (lambda: conv2d(X, W, stride=0), "conv2d stride: expected", "at least 1, got 0"),
    (lambda: conv2d(X, W, stride=(1, -1)), "conv2d stride: expected", "at least 1, got -1"),
    (lambda: conv2d(X, W, stride=1.5), "conv2d stride: expected an integer, got 1.5"),
    (lambda: conv2d(X, W, stride=(1, 2, 3)), "conv2d stride: expected an integer or a pair of integers, got (1, 2, 3)"),
    (lambda: conv2d(X, W, padding=-1), "conv2d padding: expected", "at least 0, got -1"),
    (lambda: conv2d(X, W, padding=((0, 0), (-2, 0))), "conv2d padding: expected", "at least 0, got -2"),
    (lambda: conv2d(X, W, padding="full"), "conv2d padding: expected 'same', 'valid' or integers, got 'full'"),
    (
        lambda: conv2d(X, W, padding=((1, 2), 3)),
        "conv2d padding: expected ((top, bottom), (left, right)), got ((1, 2), 3)",
    ),
    (lambda: conv2d(X, W, dilation=0), "conv2d dilation: expected", "at least 1, got 0"),
    (lambda: conv2d(X, W, groups=0), "conv2d groups: expected an integer of at least 1, got 0"),
    (lambda: conv2d(X, W[:, :, :0]), "conv2d kernel_size: expected", "at least 1, got 0"),
    (lambda: max_pool2d(X, 0), "pool2d kernel_size: expected", "at least 1, got 0"),
    (lambda: max_pool2d(X, 2, 0), "pool2d stride: expected", "at least 1, got 0"),
    (lambda: max_pool2d(X, 2, padding=2), "pool2d padding: expected at most half the window", "got (2, 2)"),
    (lambda: avg_pool2d(X, 2, padding=2), "pool2d padding: expected at most half the window", "got (2, 2)"),
    (lambda: adaptive_avg_pool2d(X, 0), "adaptive_avg_pool2d output_size: expected", "at least 1, got 0"),
    (
        lambda: adaptive_max_pool2d(X, (1, 2, 3)),
        "adaptive_max_pool2d output_size: expected an integer or a pair of integers, got (1, 2, 3)",
    ),
    (lambda: sgd_update(_vector(), _vector(), None, lr=0.1, momentum=0.9), "sgd_update: expected", "velocity", "got"),
    (lambda: _adam(step=0), "adam_update step: expected", "step", "got 0"),
    (lambda: _updates(3).sgd(lr=0.1, momentum=0.9), "Updates: expected momentum=0 without a velocity, got 0.9"),
    (lambda: _updates(3).adam(**ADAM, steps=[1]), "Updates: expected mean and variance for each", "got fewer"),
    (lambda: _updates(4).adam(**ADAM, steps=[1, 1]), "Updates: expected 1 steps, got 2"),
    (lambda: _updates(3).sgd(lr=0.1, weight_decay=[0, 0]), "Updates: expected 1 weight decays, got 2"),
    (lambda: _updates(4).rmsprop(lr=0.1, alpha=0.9, eps=0), "Updates: expected a mean square for each", "got fewer"),
    (lambda: _rmsprop(_vector(), momentum=0.5), "rmsprop_update: expected momentum=0 without a velocity, got 0.5"),
    (lambda: set_num_threads(0), "set_num_threads: expected 1 to", "got 0"),
    (lambda: set_num_threads(1.5), "set_num_threads: expected an integer, got 1.5"),
]


def _check(call, error, *fragments):
    with pytest.raises(error, match="expected") as caught:
        call()
    assert type(caught.value) is error
    for fragment in fragments:
        assert re.search(re.escape(fragment), str(caught.value)), f"{fragment!r} is not in {str(caught.value)!r}"


def _name(case):
    return case[1] if isinstance(case, tuple) else None


@pytest.mark.parametrize("case", SHAPE_ERRORS, ids=_name)
def test_shape_errors(case):
    _check(case[0], ShapeError, *case[1:])


@pytest.mark.parametrize("case", DATA_ERRORS, ids=_name)
def test_data_errors(case):
    _check(case[0], DataError, *case[1:])


@pytest.mark.parametrize("case", DTYPE_ERRORS, ids=_name)
def test_dtype_errors(case):
    _check(case[0], DTypeError, *case[1:])


@pytest.mark.parametrize("case", SETTING_ERRORS, ids=_name)
def test_setting_errors(case):
    _check(case[0], SettingError, *case[1:])


def test_the_exceptions_are_python_exceptions_too():
    assert all(issubclass(error, ConvnetError) for error in (ShapeError, DTypeError, SettingError, DataError))
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert issubclass(SettingError, ValueError)


@pytest.mark.parametrize(
    ("used", "refused"), [(1, 1.0), (1, np.float32(1)), ((1, 1), (1.0, 1.0)), ((1, 1), (1, np.float64(1)))], ids=repr
)
def test_a_setting_is_refused_although_an_equal_one_was_used_before(used, refused):
    conv2d(X, W, stride=used)
    with pytest.raises(SettingError, match="stride: expected"):
        conv2d(X, W, stride=refused)
    max_pool2d(X, 2, used)
    with pytest.raises(SettingError, match="stride: expected"):
        max_pool2d(X, 2, refused)


def test_an_error_leaves_the_gradients_alone():
    dw, db = np.zeros_like(W), np.zeros(3, np.float32)
    with pytest.raises(ShapeError):
        conv2d_backward(DY, X, W, dw=dw, db=db)
    assert not dw.any()
