"""Winograd's convolution from its definition: the matrices, exact, from the points; the passes with NumPy in float64.

Along one axis, m outputs of a filter with r taps are AT [(G g) * (BT d)], d being m + r - 1 elements of the map. This
is the transposed product of two polynomials, by evaluation at m + r - 2 points and infinity and by interpolation:
* G evaluates the filter: rows 1, p, p^2, ..., divided by the product of p's differences to the other points,
* AT is its counterpart for m coefficients: columns 1, p, p^2, ...,
* BT has the coefficients of the product of (x - q) over the other points q; for infinity over all points.
With absolute values of matrices and data the same sums bound what roundings can do: `absolute` gives them.
Nothing here imports the package.
"""

from fractions import Fraction

import numpy as np

POINTS = [Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)]


def _monic(roots, length):
    """Coefficients of the product of (x - root), lowest first, filled with zeros."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        for power, coefficient in enumerate(coefficients):
            shifted[power] -= root * coefficient
        coefficients = shifted
    return coefficients + [Fraction(0)] * (length - len(coefficients))


def matrices(m, r, points=POINTS):
    """(AT, G, BT) for m outputs of r taps, as lists of rows of fractions."""
    n = m + r - 1
    assert len(points) == n - 1
    others = [[q for q in points if q != p] for p in points]
    differences = [np.prod([p - q for q in rest]) for p, rest in zip(points, others, strict=True)]
    g = [[p**power / d for power in range(r)] for p, d in zip(points, differences, strict=True)]
    at = [[p**power for p in points] + [Fraction(power == m - 1)] for power in range(m)]
    bt = [_monic(rest, n) for rest in others] + [_monic(points, n)]
    return at, [*g, [Fraction(power == r - 1) for power in range(r)]], bt


class Transforms:
    """The matrices in float64, or their absolute values."""

    def __init__(self, m, r, absolute):
        size = np.abs if absolute else np.asarray
        self.at, self.g, self.bt = (size(np.array(matrix, float)) for matrix in matrices(m, r))


def _both_sides(matrix, tiles):
    return np.einsum("pi,...ij,qj->...pq", matrix, tiles, matrix)


def _tiles(maps, span, before, count):
    """Tiles of span x span pixels, 4 apart, the first `before` pixels outside the map: (n, c, *count, span, span)."""
    canvas = np.zeros((*maps.shape[:2], *(4 * k + span for k in count)))
    (top, left), (h, w) = before, maps.shape[2:]
    rows, cols = slice(max(top, 0), top + h), slice(max(left, 0), left + w)
    inside = maps[:, :, max(-top, 0) :, max(-left, 0) :]
    part = canvas[:, :, rows, cols]
    part[...] = inside[:, :, : part.shape[2], : part.shape[3]]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (span, span), axis=(2, 3))
    return windows[:, :, : 4 * count[0] : 4, : 4 * count[1] : 4]


def forward(x, w, b, before, size, absolute=False):
    """The convolution whose output has this size, for padding `before` (top, left); negative padding crops."""
    f = Transforms(4, 3, absolute)
    count = tuple(-(-length // 4) for length in size)
    values = _both_sides(f.bt, _tiles(np.float64(x), 6, before, count))
    products = np.einsum("ncyxpq,ocpq->noyxpq", values, _both_sides(f.g, np.float64(w)), optimize=True)
    y = _both_sides(f.at, products).transpose(0, 1, 2, 4, 3, 5)
    y = y.reshape(*y.shape[:2], 4 * count[0], 4 * count[1])[:, :, : size[0], : size[1]]
    return y if b is None else y + np.float64(b)[:, None, None]


def data_gradient(dy, w, before, size, absolute=False):
    """dx of this size: the convolution of dy with the flipped filters, inputs and outputs exchanged."""
    flipped = np.asarray(w)[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return forward(dy, flipped, None, (2 - before[0], 2 - before[1]), size, absolute)


def weight_gradient(dy, x, before, absolute=False):
    """dw: tiles of dy are filters of 4 x 4 taps, of which 3 x 3 outputs are wanted."""
    f = Transforms(3, 4, absolute)
    count = tuple(-(-length // 4) for length in dy.shape[2:])
    values = _both_sides(f.bt, _tiles(np.float64(x), 6, before, count))
    gradients = _both_sides(f.g, _tiles(np.float64(dy), 4, (0, 0), count))
    return _both_sides(f.at, np.einsum("ncyxpq,noyxpq->ocpq", values, gradients, optimize=True))
