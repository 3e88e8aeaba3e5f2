"""More operations written from their formulas, as in oracles.py: float64, plain loops, nothing from the package."""

import math

import numpy as np
from oracles import along_channels, moments, pair, products

# ---- transposed convolution ------------------------------------------------------------------------------------------


def conv_transpose2d_shape(x_shape, w_shape, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Shape (n, out, oh, ow) of the result of a transposed convolution."""
    settings = (pair(value) for value in (stride, padding, output_padding, dilation))
    size = [
        (length - 1) * s - 2 * p + d * (k - 1) + more + 1
        for length, k, s, p, more, d in zip(x_shape[2:], w_shape[2:], *settings, strict=True)
    ]
    return x_shape[0], w_shape[1] * groups, *size


def conv_transpose2d_products(x_shape, w_shape, *, output_padding=0, **settings):
    """For every product its position in y, in x and in w: those of the convolution that makes x's shape of y's."""
    y_shape = conv_transpose2d_shape(x_shape, w_shape, output_padding=output_padding, **settings)
    for at_x, at_y, at_w in products(y_shape, w_shape, **settings):
        if at_x[2] < x_shape[2] and at_x[3] < x_shape[3]:  # the output's padding may hold windows of its own
            yield at_y, at_x, at_w


def conv_transpose2d(x, w, b=None, **geometry):
    """The transposed convolution of x (n, c, h, w) with w (c, out / groups, kh, kw), in float64."""
    y = np.zeros(conv_transpose2d_shape(x.shape, w.shape, **geometry))
    for at_y, at_x, at_w in conv_transpose2d_products(x.shape, w.shape, **geometry):
        y[at_y] += np.float64(x[at_x]) * np.float64(w[at_w])
    return y if b is None else y + np.float64(b)[:, None, None]


def conv_transpose2d_backward(dy, x, w, **geometry):
    """The gradients (dx, dw, db) of sum(y * dy), in float64."""
    dy, x, w = np.float64(dy), np.float64(x), np.float64(w)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for at_y, at_x, at_w in conv_transpose2d_products(x.shape, w.shape, **geometry):
        dx[at_x] += dy[at_y] * w[at_w]
        dw[at_w] += dy[at_y] * x[at_x]
    return dx, dw, dy.sum(axis=(0, 2, 3))


# ---- normalisations --------------------------------------------------------------------------------------------


def group_moments(x, groups):
    """The mean and the mean squared deviation from it of each group of each image's channels: two (n, groups)."""
    n = len(x)
    mean, var = moments(x.reshape(1, n * groups, -1))
    return mean.reshape(n, groups), var.reshape(n, groups)


def over_channels(values, channels):
    """One number a group of each image, to be combined with maps."""
    return np.repeat(np.float64(values), channels // values.shape[1], axis=1)[:, :, None, None]


def group_norm(x, mean, var, w, b, eps):
    """y = (x - mean) / sqrt(var + eps) w + b, mean and var (n, groups)."""
    mean, var = (over_channels(values, x.shape[1]) for values in (mean, var))
    return (np.float64(x) - mean) / np.sqrt(var + eps) * along_channels(w) + along_channels(b)


def group_norm_backward(dy, x, mean, var, w, eps):
    """The gradients (dx, dw, db) of sum(y * dy), where mean and var are those of x."""
    c = x.shape[1]
    normal = group_norm(x, mean, var, np.ones(c), np.zeros(c), eps)
    dy = np.float64(dy)
    first, second = (
        over_channels((along_channels(w) * terms).reshape(*mean.shape, -1).mean(axis=2), c)
        for terms in (dy, dy * normal)
    )
    dx = (along_channels(w) * dy - first - normal * second) / np.sqrt(over_channels(var, c) + eps)
    return dx, (dy * normal).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))


def response(x, size, alpha, k):
    """What each number is divided by to the power beta: k + alpha / size times the sum of squares of its window."""
    d = np.full(x.shape, np.float64(k))
    for c in range(x.shape[1]):
        for j in range(c - size // 2, c - size // 2 + size):
            if 0 <= j < x.shape[1]:
                d[:, c] += alpha / size * np.float64(x[:, j]) ** 2
    return d


def local_response_norm(x, size, alpha, beta, k):
    """y = x d^-beta."""
    return x * response(x, size, alpha, k) ** -beta


def local_response_norm_backward(dy, x, size, alpha, beta, k):
    """The gradient of sum(y * dy) in two parts, whose difference it is: through x, and through d."""
    d = response(x, size, alpha, k)
    through_d, term = np.zeros(x.shape), dy * np.float64(x) * d ** (-beta - 1)
    for i in range(x.shape[1]):
        for c in range(i - size // 2, i - size // 2 + size):
            if 0 <= c < x.shape[1]:
                through_d[:, c] += 2 * alpha * beta / size * x[:, c] * term[:, i]
    return dy * d**-beta, through_d


# ---- activations -----------------------------------------------------------------------------------------------------


def _numbers(function, x):
    """A function of each number, in float64."""
    values = [function(value) for value in np.float64(x).reshape(-1).tolist()]
    return np.array(values, np.float64).reshape(x.shape)


def logistic(x):
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _below(x):
    """The share of the normal distribution below x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def _twice_cubic(x):
    return math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)


def _hard(x):
    return min(max(x + 3, 0), 6) / 6


FUNCTIONS = {
    "leaky_relu": lambda x, a: x if x > 0 else a * x,
    "elu": lambda x, a: x if x > 0 else a * math.expm1(x),
    "gelu": lambda x, a: x * _below(x),
    "gelu_tanh": lambda x, a: x * logistic(_twice_cubic(x)),
    "silu": lambda x, a: x * logistic(x),
    "hard_swish": lambda x, a: x * _hard(x),
    "hard_sigmoid": lambda x, a: _hard(x),
    "sigmoid": lambda x, a: logistic(x),
    "tanh": lambda x, a: math.tanh(x),
}


def _steep(t, pace):
    return logistic(t) + logistic(t) * logistic(-t) * pace


DERIVATIVES = {  # of sigmoid and tanh from the result
    "leaky_relu": lambda x, a: 1 if x > 0 else a,
    "elu": lambda x, a: 1 if x > 0 else a * math.exp(x),
    "gelu": lambda x, a: _below(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "gelu_tanh": lambda x, a: _steep(_twice_cubic(x), math.sqrt(8 / math.pi) * (x + 3 * 0.044715 * x**3)),
    "silu": lambda x, a: _steep(x, x),
    "hard_swish": lambda x, a: 0 if x <= -3 else x / 3 + 0.5 if x < 3 else 1,
    "hard_sigmoid": lambda x, a: 1 / 6 if -3 < x < 3 else 0,
    "sigmoid": lambda y, a: y * (1 - y),
    "tanh": lambda y, a: (1 - y) * (1 + y),
}


def activation(x, name, a):
    """One of FUNCTIONS of each number."""
    return _numbers(lambda value: FUNCTIONS[name](value, a), x)


def derivative(saved, name, a):
    """One of DERIVATIVES of each number."""
    return _numbers(lambda value: DERIVATIVES[name](value, a), saved)
