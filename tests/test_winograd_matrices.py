"""The matrices of Winograd's convolution, exactly; and that the C code is made for the same points."""

import re
from fractions import Fraction
from pathlib import Path

import fast_oracles
import numpy as np
import pytest
from geometries import Conv
from winograd_oracle import POINTS, data_gradient, forward, matrices, weight_gradient

HEADER = Path(__file__).parent.parent / "csrc" / "winograd.h"


def _times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _unit(size, i):
    return [Fraction(k == i) for k in range(size)]


@pytest.mark.parametrize(("m", "r"), [(4, 3), (3, 4)])
def test_they_give_the_convolution_exactly(m, r):
    """Bilinear, so unit vectors are enough: output k of tap i and element j is 1 where j = k + i."""
    at, g, bt = matrices(m, r)
    for i in range(r):
        filters = _times(g, _unit(r, i))
        for j in range(m + r - 1):
            values = _times(bt, _unit(m + r - 1, j))
            products = [a * b for a, b in zip(filters, values, strict=True)]
            assert _times(at, products) == [Fraction(j == k + i) for k in range(m)]


def test_both_passes_share_the_transform_of_the_map():
    assert matrices(4, 3)[2] == matrices(3, 4)[2]


@pytest.mark.skipif(not HEADER.exists(), reason="no sources here")
def test_the_points_of_the_c_code():
    defined = dict(re.findall(r"#define CN_([AB]) \((.*)\)", HEADER.read_text("utf-8")))
    a, b = (Fraction(defined[name].replace(".0", "").replace(" ", "")) for name in "AB")
    assert [Fraction(0), a, -a, b, -b] == POINTS


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 1), (0, 3)), ((4, 0), (3, 5))], ids=str)
def test_the_oracle(padding, rng):
    """Its passes agree with the sums themselves."""
    geometry = Conv(2, 3, 7, 6, 5, (3, 3), padding=padding)
    x, w, b, dy = geometry.reals(rng, np.float64)
    before = padding[0][0], padding[1][0]
    dx, dw, _ = fast_oracles.conv2d_backward(dy, x, w, padding=padding)
    expected = fast_oracles.conv2d(x, w, b, padding=padding)
    np.testing.assert_allclose(forward(x, w, b, before, dy.shape[2:]), expected, atol=1e-12)
    np.testing.assert_allclose(data_gradient(dy, w, before, x.shape[2:]), dx, atol=1e-12)
    np.testing.assert_allclose(weight_gradient(dy, x, before), dw, atol=1e-12)
