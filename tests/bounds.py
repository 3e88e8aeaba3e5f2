"""How far a floating-point result may lie from the float64 oracle: derived, with one constant, never loosened.

A kernel adds K products one after the other, in some order, each fused multiply-add rounding its partial sum s_i to
s_i (1 + d), |d| <= u = eps / 2. As |s_i| <= S = sum |a b|, the error is at most K u S, and as a rule far less:
roundings behave like independent errors of standard deviation at most u S / sqrt(3) (uniform within half a unit in
the last place), so that their sum has a standard deviation of at most sqrt(K) u S / sqrt(3).

The bound c eps sqrt(K) S with c = 4 is therefore
* certain for K <= 64, where K u <= 4 eps sqrt(K),
* 13.8 standard deviations for any larger K; 9.8 where the float64 oracle errs as much as a float64 kernel,
while one product of typical size, S / K, that is missing or wrong exceeds it up to K of about 16,000 in float32.
Winograd's convolution rounds more often than it adds products: along each path from a factor to a result, first
order, 4 times in the transform of the map, 8 in that of the filters, 6 in that of the result, once for the bias; for
the weight gradient 4, 4, 10 and once to add it. That is at most WINOGRAD = 19 roundings besides those of its sum over
channels, or over tiles. Each is at most u times the same sums over absolute values of matrices and data, which
winograd_oracle.py evaluates; with that scale and K + 19 roundings the bound holds as above: certain for up to 45
channels. Of the matrices' absolute row sums (at most 5.3, 1.6 and 8.3, squared in two dimensions) it is the actual
entries that count, tile by tile.
See Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019).
"""

import numpy as np

DIRECT = 4
WINOGRAD = 19


def assert_within(actual, exact, scale, products, what="result"):
    """Demand |actual - exact| <= DIRECT eps sqrt(products) scale everywhere; scale is S for each element.

    Products that underflow may be flushed to zero, hence the smallest normal number per product.
    """
    assert actual.shape == exact.shape, f"{what}: expected shape {exact.shape}, got {actual.shape}"
    precision = np.finfo(actual.dtype)
    limit = DIRECT * precision.eps * np.sqrt(products) * scale + products * precision.tiny
    excess = np.abs(np.float64(actual) - exact) - limit
    if not np.all(excess <= 0):
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        allowed = np.broadcast_to(limit, excess.shape)[worst]
        position = tuple(map(int, worst))
        raise AssertionError(f"{what}{position}: expected {exact[worst]} within {allowed:.3g}, got {actual[worst]}")


def assert_equal(actual, exact, what="result"):
    """Demand the exact values (integers in floating point), NaN equal to NaN."""
    assert actual.shape == exact.shape, f"{what}: expected shape {exact.shape}, got {actual.shape}"
    np.testing.assert_array_equal(actual, exact, err_msg=what, strict=False)


def assert_same_bits(actual, expected, what="result"):
    """Demand equal shape, dtype and bits, the sign of zero and the payload of NaN included."""
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), what
    assert actual.tobytes() == expected.tobytes(), f"{what}: bits differ"
