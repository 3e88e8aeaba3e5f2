"""Every operation written from its formula: float64, plain loops, nothing imported from the package.

These functions are slow and obvious on purpose; the kernels are compared with them. Evaluated on absolute values
the linear ones give S = sum |a b|, the scale of the error bound in bounds.py.
"""

import itertools
import math

import numpy as np


def pair(value):
    """One number for both axes, or (vertical, horizontal)."""
    return (value, value) if isinstance(value, int) else tuple(value)


# ---- geometry --------------------------------------------------------------------------------------------------------


def conv2d_sides(padding, size, kernel, stride, dilation):
    """((top, bottom), (left, right)) of every way to write a padding."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [
            max((math.ceil(length / s) - 1) * s + d * (k - 1) + 1 - length, 0)
            for length, k, s, d in zip(size, kernel, stride, dilation, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple(pair(side) for side in pair(padding))


def conv2d_shape(x_shape, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """Shape (n, out, oh, ow) of the result of a convolution."""
    size, kernel, stride, dilation = x_shape[2:], w_shape[2:], pair(stride), pair(dilation)
    sides = conv2d_sides(padding, size, kernel, stride, dilation)
    oh, ow = (
        (length + before + after - d * (k - 1) - 1) // s + 1
        for length, (before, after), k, s, d in zip(size, sides, kernel, stride, dilation, strict=True)
    )
    return x_shape[0], w_shape[0], oh, ow


def pool2d_shape(x_shape, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Shape (n, c, oh, ow) of the result of a pooling.

    Counted, not computed: without ceil mode the windows that fit into the padded map, with it also those that
    overhang its end but start before the trailing padding, as long as at least one window fits.
    """
    kernel, pads, dilation = pair(kernel_size), pair(padding), pair(dilation)
    stride = kernel if stride is None else pair(stride)
    counts = []
    for length, k, s, p, d in zip(x_shape[2:], kernel, stride, pads, dilation, strict=True):
        starts = range(-p, length + p, s)
        fits = [start for start in starts if start + d * (k - 1) < length + p]
        overhangs = [start for start in starts if start not in fits and start < length]
        # One overhanging window is enough to cover what the last fitting one left over.
        covered = (fits[-1] + d * (k - 1) + 1) == length + p
        counts.append(len(fits) + (1 if ceil_mode and overhangs and not covered else 0))
    return x_shape[0], x_shape[1], *counts


# ---- convolution -----------------------------------------------------------------------------------------------------


def products(x_shape, w_shape, *, stride=1, padding=0, dilation=1, groups=1):
    """The seven loops: for every product of a convolution its position in y, in x and in w.

    y[n, o, i, j] = sum over c, r, s of x[n, g c_in + c, i sh + r dh - top, j sw + s dw - left] w[o, c, r, s],
    where g is the group of output channel o; what lies outside x is zero and left out.
    """
    batch, _, height, width = x_shape
    out, c_in, kh, kw = w_shape
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    (top, _), (left, _) = conv2d_sides(padding, x_shape[2:], w_shape[2:], (sh, sw), (dh, dw))
    _, _, oh, ow = conv2d_shape(x_shape, w_shape, stride=stride, padding=padding, dilation=dilation)
    for n, o, i, j in itertools.product(range(batch), range(out), range(oh), range(ow)):
        first_channel = o // (out // groups) * c_in
        for c, r, s in itertools.product(range(c_in), range(kh), range(kw)):
            row, column = i * sh + r * dh - top, j * sw + s * dw - left
            if 0 <= row < height and 0 <= column < width:
                yield (n, o, i, j), (n, first_channel + c, row, column), (o, c, r, s)


def conv2d(x, w, b=None, **geometry):
    """The convolution y of x (n, c, h, w) with w (out, c / groups, kh, kw), in float64."""
    x, w = np.float64(x), np.float64(w)
    y = np.zeros(conv2d_shape(x.shape, w.shape, **geometry))
    for at_y, at_x, at_w in products(x.shape, w.shape, **geometry):
        y[at_y] += x[at_x] * w[at_w]
    return y if b is None else y + np.float64(b)[:, None, None]


def conv2d_backward(dy, x, w, **geometry):
    """The gradients (dx, dw, db) of sum(y * dy), in float64."""
    dy, x, w = np.float64(dy), np.float64(x), np.float64(w)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for at_y, at_x, at_w in products(x.shape, w.shape, **geometry):
        dx[at_x] += dy[at_y] * w[at_w]
        dw[at_w] += dy[at_y] * x[at_x]
    return dx, dw, dy.sum(axis=(0, 2, 3))


# ---- pooling ---------------------------------------------------------------------------------------------------------


def windows(x_shape, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """For every pooled pixel its position in y, the positions of its window in x, and its area.

    The positions run row by row and leave out the padding; the area counts the padding but not what overhangs
    the padded map (ceil mode).
    """
    (kh, kw), (ph, pw), (dh, dw) = pair(kernel_size), pair(padding), pair(dilation)
    sh, sw = (kh, kw) if stride is None else pair(stride)
    height, width = x_shape[2:]
    shape = pool2d_shape(x_shape, kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    for n, c, i, j in itertools.product(*map(range, shape)):
        rows = [i * sh - ph + r * dh for r in range(kh)]
        columns = [j * sw - pw + s * dw for s in range(kw)]
        area = sum(row < height + ph for row in rows) * sum(column < width + pw for column in columns)
        inside = [
            (n, c, row, column)
            for row, column in itertools.product(rows, columns)
            if 0 <= row < height and 0 <= column < width
        ]
        yield (n, c, i, j), inside, area


def maximum(x, window):
    """Position of the largest element of a window: the first of equals, but the last NaN if there is any."""
    best = window[0]
    for at in window[1:]:
        if x[at] > x[best] or math.isnan(x[at]):
            best = at
    return best


def max_pool2d(x, kernel_size, **geometry):
    """The largest element of every window; -inf for a (dilated) window with no element of x."""
    x = np.float64(x)
    y = np.empty(pool2d_shape(x.shape, kernel_size, **geometry))
    for at_y, window, _ in windows(x.shape, kernel_size, **geometry):
        y[at_y] = x[maximum(x, window)] if window else -math.inf
    return y


def max_pool2d_backward(dy, x, kernel_size, **geometry):
    """Each dy goes to the element of x that was the maximum of its window."""
    x, dx = np.float64(x), np.zeros(x.shape)
    for at_y, window, _ in windows(x.shape, kernel_size, **geometry):
        if window:
            dx[maximum(x, window)] += dy[at_y]
    return dx


def avg_pool2d(x, kernel_size, count_include_pad=True, **geometry):
    """The mean of every window; the padding counts as zeros or not at all."""
    x = np.float64(x)
    y = np.zeros(pool2d_shape(x.shape, kernel_size, **geometry))
    for at_y, window, area in windows(x.shape, kernel_size, **geometry):
        y[at_y] = sum(x[at] for at in window) / (area if count_include_pad else len(window))
    return y


def avg_pool2d_backward(dy, x_shape, kernel_size, count_include_pad=True, **geometry):
    """Each dy is spread evenly over the window it was the mean of."""
    dx = np.zeros(x_shape)
    for at_y, window, area in windows(x_shape, kernel_size, **geometry):
        for at in window:
            dx[at] += np.float64(dy[at_y]) / (area if count_include_pad else len(window))
    return dx


def adaptive_windows(x_shape, size):
    """For every output: its index and the indices of its window, from floor(i h / o) to ceil((i + 1) h / o)."""
    batch, channels, height, width = x_shape
    for n, c, i, j in itertools.product(range(batch), range(channels), *map(range, pair(size))):
        spans = [
            range(k * length // count, math.ceil((k + 1) * length / count))
            for k, length, count in zip((i, j), (height, width), pair(size), strict=True)
        ]
        yield (n, c, i, j), [(n, c, row, column) for row, column in itertools.product(*spans)]


def adaptive_avg_pool2d(x, size):
    """The mean of every window."""
    y = np.zeros((*x.shape[:2], *pair(size)))
    for at_y, window in adaptive_windows(x.shape, size):
        y[at_y] = sum(np.float64(x[at]) for at in window) / len(window)
    return y


def adaptive_avg_pool2d_backward(dy, x_shape):
    """Each dy is spread evenly over the window it was the mean of."""
    dx = np.zeros(x_shape)
    for at_y, window in adaptive_windows(x_shape, dy.shape[2:]):
        for at in window:
            dx[at] += np.float64(dy[at_y]) / len(window)
    return dx


def adaptive_max_pool2d(x, size):
    """The largest element of every window."""
    y = np.zeros((*x.shape[:2], *pair(size)))
    for at_y, window in adaptive_windows(x.shape, size):
        y[at_y] = x[maximum(x, window)]
    return y


def adaptive_max_pool2d_backward(dy, x):
    """Each dy goes to the element of x that was the maximum of its window."""
    dx = np.zeros(x.shape)
    for at_y, window in adaptive_windows(x.shape, dy.shape[2:]):
        dx[maximum(x, window)] += dy[at_y]
    return dx


# ---- batch normalisation ---------------------------------------------------------------------------------------------


def moments(x):
    """The mean and the mean squared deviation from it of each channel."""
    channels = [image.tolist() for image in np.moveaxis(np.float64(x), 1, 0).reshape(x.shape[1], -1)]
    means = [math.fsum(values) / len(values) for values in channels]
    squares = [math.fsum((v - m) ** 2 for v in values) for values, m in zip(channels, means, strict=True)]
    return np.array(means), np.array([s / len(values) for s, values in zip(squares, channels, strict=True)])


def along_channels(values):
    """One number a channel, to be combined with maps."""
    return np.float64(values)[:, None, None]


def batch_norm(x, mean, var, w, b, eps):
    """y = (x - mean) / sqrt(var + eps) w + b."""
    mean, var, w, b = map(along_channels, (mean, var, w, b))
    return (np.float64(x) - mean) / np.sqrt(var + eps) * w + b


def batch_norm_backward(dy, x, mean, var, w, eps):
    """The gradients (dx, dw, db) of sum(y * dy), where mean and var are those of x."""
    root = np.sqrt(np.float64(var) + eps)
    normal, dy = batch_norm(x, mean, var, np.ones_like(root), np.zeros_like(root), eps), np.float64(dy)
    dw, db, count = (dy * normal).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3)), x[:, 0].size
    dx = along_channels(w / root) * (dy - along_channels(db) / count - normal * along_channels(dw) / count)
    return dx, dw, db


# ---- dense layers, activations, the loss -----------------------------------------------------------------------------


def dense(x, w, b=None):
    """y[n, o] = sum over i of x[n, i] w[o, i] + b[o]."""
    y = np.zeros((len(x), len(w)))
    for n, o, i in itertools.product(range(len(x)), range(len(w)), range(x.shape[1])):
        y[n, o] += np.float64(x[n, i]) * np.float64(w[o, i])
    return y if b is None else y + np.float64(b)


def dense_backward(dy, x, w):
    """The gradients (dx, dw, db) of sum(y * dy)."""
    dy, x, w = np.float64(dy), np.float64(x), np.float64(w)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n, o, i in itertools.product(range(len(x)), range(len(w)), range(x.shape[1])):
        dx[n, i] += dy[n, o] * w[o, i]
        dw[o, i] += dy[n, o] * x[n, i]
    return dx, dw, dy.sum(axis=0)


def relu(x):
    """Keep x where it is positive or NaN, else zero."""
    return np.where((x > 0) | np.isnan(x), x, 0)


def relu_backward(dy, y):
    """Keep dy where the result was positive or NaN, else zero."""
    return np.where((y > 0) | np.isnan(y), dy, 0)


def relu6(x):
    """Keep x where it is between 0 and 6 or NaN, else the nearer of the two."""
    return np.where(x > 6, 6, relu(x))


def relu6_backward(dy, y):
    """Keep dy where the result was between 0 and 6 or NaN, else zero."""
    return np.where(y >= 6, 0, relu_backward(dy, y))


def softmax(logits):
    """exp(z_k) / sum of exp(z_j), row by row, shifted by the largest logit."""
    p = np.zeros(logits.shape)
    for row, z in zip(p, np.float64(logits).tolist(), strict=True):
        largest = max(z)
        powers = [math.exp(value - largest) for value in z]
        row[:] = [power / math.fsum(powers) for power in powers]
    return p


def softmax_cross_entropy(logits, targets):
    """(loss, dlogits): the mean over the rows of -sum t_k log p_k, for class indices or probabilities t."""
    n, classes = logits.shape
    t = np.float64(targets) if targets.ndim == 2 else np.eye(classes)[targets]
    loss = 0.0
    for z, target in zip(np.float64(logits).tolist(), t.tolist(), strict=True):
        largest = max(z)
        log_sum = largest + math.log(math.fsum(math.exp(value - largest) for value in z))
        loss += math.fsum(t_k * (log_sum - z_k) for t_k, z_k in zip(target, z, strict=True) if t_k != 0) / n
    return loss, (softmax(logits) * t.sum(axis=1, keepdims=True) - t) / n


# ---- updates ---------------------------------------------------------------------------------------------------------


def sgd(value, grad, velocity, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """One step of stochastic gradient descent: the new (value, velocity)."""
    grad = np.float64(grad) + weight_decay * np.float64(value)
    velocity = momentum * np.float64(velocity) + grad
    return value - lr * (grad + momentum * velocity if nesterov else velocity), velocity


def adam(value, grad, mean, variance, *, lr, betas, eps, weight_decay, step, decoupled=False):
    """Step number ``step`` (from 1) of Adam, or AdamW when decoupled: the new (value, mean, variance)."""
    value, grad, mean, variance = map(np.float64, (value, grad, mean, variance))
    if decoupled:
        value = value * (1 - lr * weight_decay)
    else:
        grad = grad + weight_decay * value
    mean = betas[0] * mean + (1 - betas[0]) * grad
    variance = betas[1] * variance + (1 - betas[1]) * grad**2
    corrected_mean, corrected_variance = mean / (1 - betas[0] ** step), variance / (1 - betas[1] ** step)
    return value - lr * corrected_mean / (np.sqrt(corrected_variance) + eps), mean, variance
