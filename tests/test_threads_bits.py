"""The number of threads changes no bit of any result: work is cut by shape alone."""

import numpy as np
import pytest
from bounds import assert_same_bits
from geometries import Conv

from convnet import Context, functional, fuse, models

CONVOLUTIONS = [
    Conv(100, 1, 28, 28, 8, (3, 3), padding=1),  # simple_cnn
    Conv(32, 6, 12, 12, 16, (5, 5)),  # lenet
    Conv(8, 32, 24, 24, 64, (3, 3), padding=1),
    Conv(1, 64, 33, 33, 40, (3, 3), padding=1),  # one image
    Conv(2, 3, 64, 64, 16, (7, 7), stride=2, padding=3),
    Conv(4, 48, 20, 20, 48, (3, 3), padding=1, groups=48),
    Conv(3, 203, 15, 40, 203, (5, 5), stride=2, padding=2, groups=203),
    Conv(3, 72, 35, 60, 36, (3, 3), padding=1, groups=9),  # small groups: blocks of rows, tiles of columns
    Conv(300, 128, 3, 3, 8, (3, 3)),  # one pixel, a long sum
    Conv(64, 96, 6, 6, 96, (1, 1)),
]


def _convolution(geometry, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    dw, db = np.ones_like(w), np.ones_like(b)
    yield functional.conv2d(x, w, b, **geometry.settings)
    yield from functional.conv2d_backward(dy, x, w, **geometry.settings)
    yield from functional.conv2d_backward(dy, x, w, dw=dw, db=db, **geometry.settings)


def _the_rest(dtype, rng):
    f = functional
    x = rng.standard_normal((64, 19, 22, 22)).astype(dtype)
    y, codes = f.max_pool2d(x, 3, 2, 1, return_codes=True)
    yield from (y, codes, f.max_pool2d_backward(y, codes, x.shape, 3, 2, 1))
    yield f.avg_pool2d(x, 3, 1, 1)
    yield f.avg_pool2d_backward(y, x.shape, 3, 2, 1)
    for size in 1, (5, 9):
        y, codes = f.adaptive_max_pool2d(x, size, return_codes=True)
        yield from (y, codes, f.adaptive_max_pool2d_backward(y, codes, x.shape))
        yield from (f.adaptive_avg_pool2d(x, size), f.adaptive_avg_pool2d_backward(y, x.shape))
    weight, bias = rng.standard_normal((2, 19)).astype(dtype)
    for settings in ({}, {"relu": True}, {"relu": True, "ceiling": 1.0}, {"relu": True, "add": x[::-1]}):
        y, mean, var = f.batch_norm(x, weight, bias, **settings)
        given = {**settings, "output": y} if settings.pop("add", None) is not None else settings
        gradients = f.batch_norm_backward(x[:, ::-1], x, mean, var, weight, bias, **given)
        yield from (y, mean, var, *(gradient for gradient in gradients if gradient is not None))
    yield f.batch_norm_inference(x, mean, var)
    for pool in 2, (3, 4):
        y, codes, mean, var = f.batch_norm_relu_pool(x, weight, bias, pool=pool)
        yield from (y, codes, mean, var)
        yield from f.batch_norm_relu_pool_backward(np.cos(y), codes, x, mean, var, weight, pool=pool)
    yield from (f.relu6(3 * x), f.relu6_backward(x, f.relu6(3 * x)))
    yield from (f.relu(x), f.relu_backward(x, f.relu(x)), f.add(x, x[::-1]), f.add_relu(x, x[::-1]), f.flatten(x))
    for name in "gelu", "tanh":
        yield from (f.activation(x, name), f.activation_backward(x, f.activation(x, name), name))
    yield from (f.prelu(x, weight), *f.prelu_backward(x[::-1], x, weight), *f.prelu_backward(x[::-1], x, weight[:1]))
    yield f.dropout(x, 0.3, 5)
    yield from (f.softmax(x), f.softmax_backward(x[::-1], f.softmax(x)))
    yield from (f.local_response_norm(x, 5), f.local_response_norm_backward(x[::-1], x, 5))
    for images in x, x[:1].repeat(9, 2):
        y, mean, var = f.group_norm(images[:, :18], 6, weight[:18], bias[:18])
        yield from (y, mean, var, *f.group_norm_backward(y[::-1], images[:, :18], mean, var, weight[:18]))
    filters = rng.standard_normal((19, 7, 3, 3)).astype(dtype)
    y = f.conv_transpose2d(x, filters, stride=2, padding=1)
    yield from (y, *f.conv_transpose2d_backward(y, x, filters, stride=2, padding=1))
    yield from (f.pad2d(x, 3, mode="reflect"), f.pad2d_backward(f.pad2d(x, 3), (22, 22), 3, mode="reflect"))
    y = f.upsample2d(x, 50, mode="bilinear")
    yield from (y, f.upsample2d_backward(y, (22, 22), 50, mode="bilinear"))
    flat, w, b = f.flatten(x[:, :4]), *(rng.standard_normal(shape).astype(dtype) for shape in ((120, 1936), (120,)))
    logits = f.dense(flat, w, b)
    yield from (logits, *f.dense_backward(logits, flat, w))
    rows, w = (rng.standard_normal(shape).astype(dtype) for shape in ((9, 2100), (700, 2100)))
    few = f.dense(rows, w)
    yield from (few, *f.dense_backward(few, rows, w))
    loss, dlogits = f.softmax_cross_entropy(np.tile(logits, (40, 1)), rng.integers(0, 120, 2560))
    yield from (np.float64(loss), dlogits, f.softmax(np.tile(logits, (40, 1))))
    value, grad, velocity = rng.standard_normal((3, 300_001)).astype(dtype)
    f.sgd_update(value, grad.copy(), velocity, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    yield from (value.copy(), velocity)
    mean, variance = np.zeros_like(value), np.zeros_like(value)
    f.adam_update(value, grad, mean, variance, lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=1e-4, step=1)
    yield from (value, mean, variance)
    value, velocity, mean, variance = (a.copy() for a in (value, velocity, mean, variance))
    f.rmsprop_update(value, velocity.copy(), variance, velocity, mean, lr=0.1, alpha=0.9, eps=1e-8, momentum=0.5)
    yield from (value.copy(), velocity.copy(), mean, variance)
    updates = f.Updates([(value, velocity)])
    yield np.float64(updates.clip_norm(1.0))
    updates.average(0.3)
    yield from (value, velocity)


def _assert_equal_for_all_numbers_of_threads(compute, set_num_threads):
    set_num_threads(1)
    expected = list(compute())
    assert all(np.all(np.isfinite(result)) for result in expected)
    for threads in 2, 3, 4, 7:
        set_num_threads(threads)
        assert functional.get_num_threads() == threads
        for number, (got, alone) in enumerate(zip(compute(), expected, strict=True)):
            assert_same_bits(got, alone, f"result {number} with {threads} threads")


@pytest.mark.parametrize("geometry", CONVOLUTIONS, ids=str)
def test_convolutions(geometry, dtype, set_num_threads):
    _assert_equal_for_all_numbers_of_threads(
        lambda: _convolution(geometry, dtype, np.random.default_rng(5)), set_num_threads
    )


def test_everything_else(dtype, set_num_threads):
    _assert_equal_for_all_numbers_of_threads(lambda: _the_rest(dtype, np.random.default_rng(6)), set_num_threads)


@pytest.mark.parametrize("rewrite", [lambda model: model, fuse], ids=["plain", "fused"])
def test_a_step_of_a_residual_network(rewrite, set_num_threads):
    def step():
        rng = np.random.default_rng(7)
        model, ctx = models.resnet18(10, width=16, rng=rng), Context()
        run = rewrite(model)
        y = run.forward(rng.random((6, 3, 64, 64), np.float32), ctx)
        yield from (y, run.backward(np.cos(y), ctx), *(p.grad for p in model.parameters()))
        yield from (np.array(buffer) for _, buffer in model.named_buffers())

    _assert_equal_for_all_numbers_of_threads(step, set_num_threads)


def test_a_call_again_gives_the_same_bits(dtype, set_num_threads):
    """Work is handed out as threads come; partial sums still meet in the same order."""
    set_num_threads(3)
    geometry = CONVOLUTIONS[2]
    first = list(_convolution(geometry, dtype, np.random.default_rng(5)))
    for _ in range(10):
        for got, expected in zip(_convolution(geometry, dtype, np.random.default_rng(5)), first, strict=True):
            assert_same_bits(got, expected)
