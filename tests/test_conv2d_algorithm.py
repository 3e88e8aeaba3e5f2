"""Which algorithm a convolution runs: chosen by shape, for the process, for a call."""

import numpy as np
import pytest
from bounds import assert_same_bits
from geometries import Conv

import convnet
from convnet.errors import DTypeError, SettingError, ShapeError, UnsupportedError
from convnet.functional import conv2d, conv2d_algorithm, conv2d_backward, conv2d_relu, conv2d_relu_backward

LARGE = Conv(4, 32, 20, 20, 48, (3, 3), padding=1)
X, W, Y = np.ones((2, 3, 6, 6), np.float32), np.ones((4, 3, 3, 3), np.float32), np.ones((2, 4, 4, 4), np.float32)
ALL_DIRECT, ALL_WINOGRAD = ("direct",) * 3, ("winograd",) * 3


def _of(geometry, **settings):
    return conv2d_algorithm(geometry.x_shape, geometry.w_shape, **(geometry.settings | settings))


def _results(x, w, b, dy, geometry, algorithm):
    settings = geometry.settings | {"algorithm": algorithm}
    return conv2d(x, w, b, **settings), *conv2d_backward(dy, x, w, **settings)[:2]


def test_by_shape(set_algorithm):
    set_algorithm("auto")
    for shape in (4, 256, 56, 56), (4, 64, 224, 224), (4, 512, 28, 28), (4, 512, 14, 14), (64, 32, 16, 16):
        assert conv2d_algorithm(shape, (shape[1], shape[1], 3, 3), padding=1) == ALL_WINOGRAD
    assert conv2d_algorithm((100, 1, 28, 28), (8, 1, 3, 3), padding=1) == ALL_DIRECT  # few channels
    assert conv2d_algorithm((4, 3, 224, 224), (64, 3, 3, 3), padding=1) == ("direct", "winograd", "direct")
    assert conv2d_algorithm((1, 512, 4, 4), (512, 512, 3, 3), padding=1).forward == "direct"  # few tiles
    assert conv2d_algorithm((0, 64, 32, 32), (64, 64, 3, 3)) == ALL_DIRECT


@pytest.mark.parametrize("name", ["auto", "winograd"])
def test_where_winograd_does_not_apply_it_is_direct(name, set_algorithm):
    set_algorithm(name)
    shape, w_shape = LARGE.x_shape, LARGE.w_shape
    assert conv2d_algorithm(shape, (48, 32, 5, 5)) == ALL_DIRECT
    assert conv2d_algorithm(shape, (48, 32, 3, 1)) == ALL_DIRECT
    assert conv2d_algorithm(shape, w_shape, stride=2) == ALL_DIRECT
    assert conv2d_algorithm(shape, w_shape, dilation=(1, 2)) == ALL_DIRECT
    assert conv2d_algorithm(shape, (48, 16, 3, 3), groups=2) == ALL_DIRECT
    assert conv2d_algorithm(shape, w_shape, pool=3) == ("direct", "winograd", "winograd")
    assert conv2d_algorithm(shape, w_shape, pool=2) == ALL_WINOGRAD


def test_float64_is_direct_unless_asked(set_algorithm):
    set_algorithm("auto")
    assert _of(LARGE, dtype=np.float32) == ALL_WINOGRAD
    assert _of(LARGE, dtype=np.float64) == ALL_DIRECT
    set_algorithm("winograd")
    assert _of(LARGE, dtype=np.float64) == ALL_WINOGRAD


@pytest.mark.parametrize("name", ["auto", "direct", "winograd"])
def test_the_choice_is_what_runs(name, dtype, rng, set_algorithm):
    set_algorithm(name)
    assert convnet.get_algorithm() == name
    arrays = LARGE.reals(rng, dtype)
    given = _results(*arrays, LARGE, None)
    for number, algorithm in enumerate(_of(LARGE, dtype=dtype)):
        assert algorithm == (name if name != "auto" else "direct" if dtype == np.float64 else "winograd")
        assert_same_bits(given[number], _results(*arrays, LARGE, algorithm)[number])


def test_a_call_overrides_the_process(rng, set_algorithm):
    arrays = LARGE.reals(rng, np.float32)
    direct, winograd = (_results(*arrays, LARGE, name) for name in ("direct", "winograd"))
    set_algorithm("direct")
    for got, expected, other in zip(_results(*arrays, LARGE, "auto"), winograd, direct, strict=True):
        assert_same_bits(got, expected)
        assert got.tobytes() != other.tobytes()
    set_algorithm("winograd")
    for got, expected in zip(_results(*arrays, LARGE, "direct"), direct, strict=True):
        assert_same_bits(got, expected)


def test_fused_layers_follow(rng, set_algorithm):
    set_algorithm("winograd")
    x, w, b, _ = LARGE.reals(rng, np.float32)
    y, codes = conv2d_relu(x, w, b, padding=1, pool=2, return_codes=True)
    by_name = conv2d_relu(x, w, b, padding=1, pool=2, return_codes=True, algorithm="winograd")
    assert_same_bits(y, by_name[0])
    gradients = conv2d_relu_backward(y, codes, x, w, padding=1, pool=2)
    named = conv2d_relu_backward(y, codes, x, w, padding=1, pool=2, algorithm="winograd")
    for got, expected in zip(gradients, named, strict=True):
        assert_same_bits(got, expected)
    direct = conv2d_relu(x, w, b, padding=1, pool=(1, 3), algorithm="direct")
    assert_same_bits(conv2d_relu(x, w, b, padding=1, pool=(1, 3)), direct)  # for want of an alternative


def test_the_number_of_threads_does_not_matter(set_num_threads):
    geometries = [Conv(n, c, s, s, c, (3, 3), padding=1) for n in (1, 8) for c in (8, 64, 512) for s in (4, 8, 32)]
    choices = []
    for threads in 1, 2, 16:
        set_num_threads(threads)
        choices.append([_of(geometry) for geometry in geometries])
    assert choices[0] == choices[1] == choices[2]


BAD = [
    (lambda: convnet.set_algorithm("fft"), SettingError, "set_algorithm: expected algorithm 'auto', 'direct' or"),
    (lambda: convnet.set_algorithm(None), SettingError, "'winograd', got None"),
    (lambda: conv2d(X, W, algorithm="Winograd"), SettingError, "conv2d: expected algorithm 'auto', 'direct'"),
    (lambda: conv2d_relu_backward(Y, Y, X, W, algorithm=1), SettingError, "conv2d_relu_backward: expected algorithm"),
    (
        lambda: conv2d(X, W, stride=2, algorithm="winograd"),
        UnsupportedError,
        "conv2d: expected 3 x 3 taps, stride 1, dilation 1, groups=1 for algorithm='winograd', "
        "got w of shape (4, 3, 3, 3), stride (2, 2), dilation (1, 1), groups=1",
    ),
    (
        lambda: conv2d_backward(Y[:, :, :2, :2], X, W, dilation=2, algorithm="winograd"),
        UnsupportedError,
        "conv2d_backward: expected 3 x 3 taps",
    ),
    (
        lambda: conv2d_relu(X, W, pool=3, algorithm="winograd"),
        UnsupportedError,
        "conv2d_relu: expected pool windows whose sides divide 4 for algorithm='winograd', got (3, 3)",
    ),
    (
        lambda: conv2d(X, W[:0], algorithm="winograd"),
        UnsupportedError,
        "conv2d: expected channels for algorithm='winograd', got w of shape (0, 3, 3, 3)",
    ),
    (lambda: conv2d_algorithm((2, 3, 6), W.shape), ShapeError, "conv2d_algorithm: expected input_shape (n, c, h, w)"),
    (
        lambda: conv2d_algorithm((2, 4, 6, 6), W.shape),
        ShapeError,
        "conv2d_algorithm: expected input_shape (n, 3, h, w) for weight_shape (4, 3, 3, 3) and groups=1, "
        "got (2, 4, 6, 6)",
    ),
    (lambda: conv2d_algorithm(X.shape, W.shape, dtype=np.int8), DTypeError, "expected dtype float32 or float64"),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD, ids=[text for *_, text in BAD])
def test_errors(call, error, text, set_algorithm):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_small_groups_have_kernels_of_their_own():
    chosen = conv2d_algorithm((2, 8, 9, 9), (8, 1, 3, 3), groups=8)
    assert chosen == ("depthwise",) * 3
    assert conv2d_algorithm((2, 8, 9, 9), (16, 1, 3, 3), groups=8) == ("grouped",) * 3
    assert conv2d_algorithm((2, 8, 9, 9), (8, 4, 3, 3), groups=2) == ("grouped",) * 3
    assert conv2d_algorithm((2, 10, 9, 9), (8, 5, 3, 3), groups=2) == ("direct",) * 3
    assert conv2d_algorithm((2, 8, 9, 9), (10, 4, 3, 3), groups=2) == ("direct",) * 3
    assert conv2d_algorithm((2, 8, 9, 9), (8, 1, 3, 3), groups=8, pool=2).forward == "direct"
