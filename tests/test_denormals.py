"""Denormal numbers: flushed inside the kernels, where they cost a hundredfold, and the caller's mode put back."""

import platform

import numpy as np
import pytest
from bounds import assert_equal

from convnet import functional
from convnet.errors import ShapeError

FLUSHES = platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")


@pytest.fixture
def arrays(dtype):
    """(x, w, b, dy) of ordinary size, large enough to use more than one thread."""
    rng = np.random.default_rng(1)
    shapes = (8, 16, 24, 24), (32, 16, 3, 3), (32,), (8, 32, 22, 22)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _denormals(shape, dtype):
    return np.full(shape, np.finfo(dtype).tiny / 1024, dtype)


def _caller_computes_denormals(dtype):
    """Whether arithmetic in this thread neither flushes denormal results nor takes denormal arguments for zero."""
    tiny = np.finfo(dtype).tiny
    halves, wholes = np.full(64, tiny, dtype) * dtype(0.5), _denormals(64, dtype) * dtype(2)
    return bool(np.all(halves > 0) and np.all(wholes > 0))


def _everything(x, w, b, dy):
    """Call every function that computes, one after the other; give a name and its result."""
    f = functional
    yield "conv2d", f.conv2d(x, w, b)
    yield "conv2d_backward", f.conv2d_backward(dy, x, w)
    y, codes = f.max_pool2d(x, 2, return_codes=True)
    yield "max_pool2d_backward", f.max_pool2d_backward(y, codes, x.shape, 2)
    yield "avg_pool2d_backward", f.avg_pool2d_backward(f.avg_pool2d(x, 2), x.shape, 2)
    pooled = f.adaptive_avg_pool2d(x, 5)
    yield "adaptive_avg_pool2d_backward", f.adaptive_avg_pool2d_backward(pooled, x.shape)
    normal, *moments = f.batch_norm(x)
    yield "batch_norm_backward", f.batch_norm_backward(normal, x, *moments)
    yield "batch_norm_inference", f.batch_norm_inference(x, *moments)
    normal, codes, *moments = f.batch_norm_relu_pool(x, pool=2)
    yield "batch_norm_relu_pool_backward", f.batch_norm_relu_pool_backward(normal, codes, x, *moments, pool=2)
    flat, matrix = f.flatten(x), np.ones((10, x[0].size), x.dtype)
    logits = f.dense(flat, matrix)
    yield "dense_backward", f.dense_backward(logits, flat, matrix)
    yield "relu_backward", f.relu_backward(dy, f.relu(dy))
    yield "add_relu", f.add_relu(f.add(x, x), x)
    yield "softmax", f.softmax(logits)
    yield "softmax_cross_entropy", f.softmax_cross_entropy(logits, np.zeros(len(logits), np.int64))
    yield "sgd_update", f.sgd_update(x.copy(), x.copy(), x.copy(), lr=0.1, momentum=0.9)
    settings = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "step": 1}
    yield "adam_update", f.adam_update(x.copy(), x.copy(), x.copy(), np.abs(x), **settings)
    yield "rmsprop_update", f.rmsprop_update(x.copy(), x.copy(), np.abs(x), lr=0.1, alpha=0.9, eps=1e-8)
    updates = f.Updates([(x.copy(), x.copy())])
    yield "clip_norm", updates.clip_norm(1.0)
    yield "average", updates.average(0.5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_mode_of_the_caller_is_put_back(threads, arrays, dtype, set_num_threads):
    set_num_threads(threads)
    assert _caller_computes_denormals(dtype)
    for name, _ in _everything(*arrays):
        assert _caller_computes_denormals(dtype), name


def test_the_mode_is_put_back_after_an_error(arrays, dtype):
    x, w, b, _ = arrays
    with pytest.raises(ShapeError, match="expected x"):
        functional.conv2d(x, w[:, :5], b)
    assert _caller_computes_denormals(dtype)


@pytest.mark.skipif(not FLUSHES, reason="no mode that flushes denormals is known for this processor")
@pytest.mark.parametrize("threads", [1, 2])
def test_denormal_arguments_count_as_zero(threads, arrays, dtype, set_num_threads):
    set_num_threads(threads)
    x, w, b, dy = arrays
    small_x, small_w, small_dy = (_denormals(a.shape, dtype) for a in (x, w, dy))
    assert_equal(functional.conv2d(small_x, np.ones_like(w)), np.zeros(dy.shape), "y")
    assert_equal(functional.conv2d(x, small_w, b), functional.conv2d(x, np.zeros_like(w), b), "y")
    for gradient in functional.conv2d_backward(small_dy, np.ones_like(x), np.ones_like(w))[:2]:
        assert_equal(gradient, np.zeros(gradient.shape))
    flat = _denormals((64, 1600), dtype)
    assert_equal(functional.dense(flat, np.ones((40, 1600), dtype)), np.zeros((64, 40)), "dense")


@pytest.mark.skipif(not FLUSHES, reason="no mode that flushes denormals is known for this processor")
def test_updates_leave_no_denormals(dtype):
    """A velocity that decays towards zero gets there."""
    value, velocity = np.ones(100_000, dtype), np.full(100_000, np.finfo(dtype).tiny, dtype)
    functional.sgd_update(value, np.zeros_like(value), velocity, lr=0.1, momentum=0.5)
    assert_equal(velocity, np.zeros(velocity.shape))


def test_some_denormals_change_nothing_else(arrays, dtype):
    x, w, b, _ = arrays
    zeroed, small = x.copy(), x.copy()
    zeroed[:, ::3], small[:, ::3] = 0, np.finfo(dtype).tiny / 8
    tolerance = np.abs(w).sum(axis=(1, 2, 3))[:, None, None] * np.finfo(dtype).tiny
    difference = np.abs(functional.conv2d(small, w, b) - functional.conv2d(zeroed, w, b))
    assert np.all(difference <= tolerance)
