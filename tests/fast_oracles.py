"""The convolution once more, one NumPy matrix product a kernel tap: for shapes too large for seven loops.

test_oracles.py proves it equal to oracles.py; nothing here imports the package.
"""

import numpy as np
from oracles import conv2d_shape, conv2d_sides, pair


def _taps(x, w, stride, padding, dilation):
    """The zero-padded x, and for every kernel tap (r, s) the slices of it that meet that tap."""
    stride, dilation = pair(stride), pair(dilation)
    sides = conv2d_sides(padding, x.shape[2:], w.shape[2:], stride, dilation)
    _, _, oh, ow = conv2d_shape(x.shape, w.shape, stride=stride, padding=padding, dilation=dilation)
    at = {}
    for r, s in np.ndindex(*w.shape[2:]):
        top, left = r * dilation[0], s * dilation[1]
        rows = slice(top, top + (oh - 1) * stride[0] + 1, stride[0])
        at[r, s] = ..., rows, slice(left, left + (ow - 1) * stride[1] + 1, stride[1])
    return np.pad(np.float64(x), ((0, 0), (0, 0), *sides)), at


def _grouped(channels_first, groups):
    """(n, c, h, w) as (groups, n, h, w, c / groups): matrices with one row a pixel."""
    n, c, h, w = channels_first.shape
    return channels_first.reshape(n, groups, c // groups, h, w).transpose(1, 0, 3, 4, 2)


def conv2d(x, w, b=None, *, stride=1, padding=0, dilation=1, groups=1):
    """As oracles.conv2d."""
    x_padded, taps = _taps(x, w, stride, padding, dilation)
    n, out, oh, ow = conv2d_shape(x.shape, w.shape, stride=stride, padding=padding, dilation=dilation)
    y = np.zeros((groups, n * oh * ow, out // groups))
    w_grouped = np.float64(w).reshape(groups, out // groups, *w.shape[1:])
    for (r, s), at in taps.items():
        pixels = _grouped(x_padded[at], groups).reshape(groups, n * oh * ow, w.shape[1])
        y += pixels @ w_grouped[:, :, :, r, s].transpose(0, 2, 1)
    y = y.reshape(groups, n, oh, ow, out // groups).transpose(1, 0, 4, 2, 3).reshape(n, out, oh, ow)
    return y if b is None else y + np.float64(b)[:, None, None]


def conv2d_backward(dy, x, w, *, stride=1, padding=0, dilation=1, groups=1):
    """As oracles.conv2d_backward."""
    x_padded, taps = _taps(x, w, stride, padding, dilation)
    n, out, oh, ow = dy.shape
    dx_padded, dw = np.zeros_like(x_padded), np.zeros(w.shape)
    w_grouped = np.float64(w).reshape(groups, out // groups, *w.shape[1:])
    dy_rows = _grouped(np.float64(dy), groups).reshape(groups, n * oh * ow, out // groups)
    for (r, s), at in taps.items():
        pixels = _grouped(x_padded[at], groups).reshape(groups, n * oh * ow, w.shape[1])
        dw[:, :, r, s] = (dy_rows.transpose(0, 2, 1) @ pixels).reshape(out, w.shape[1])
        spread = (dy_rows @ w_grouped[:, :, :, r, s]).reshape(groups, n, oh, ow, w.shape[1])
        dx_padded[at] += spread.transpose(1, 0, 4, 2, 3).reshape(n, x.shape[1], oh, ow)
    (top, _), (left, _) = conv2d_sides(padding, x.shape[2:], w.shape[2:], pair(stride), pair(dilation))
    dx = dx_padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return dx, dw, np.float64(dy).sum(axis=(0, 2, 3))
