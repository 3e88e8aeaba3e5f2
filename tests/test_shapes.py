"""Output sizes and padding, against counting window positions one by one."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convnet.errors import SettingError, ShapeError
from convnet.shapes import conv2d_output_size, conv2d_padding, pair, pool2d_output_size, pool2d_padding

SIZES, KERNELS, STRIDES, DILATIONS, PADS = (
    st.integers(least, most) for least, most in ((1, 40), (1, 7), (1, 5), (1, 4), (0, 6))
)


def pairs(numbers):
    return st.tuples(numbers, numbers)


def reach(kernel, dilation):
    """Pixels from the first to the last that a window looks at."""
    return range(0, kernel * dilation, dilation)[-1] + 1


def positions(padded, window, stride):
    """Starts of all windows that lie inside the padded pixels."""
    return [start for start in range(0, padded, stride) if start + window <= padded]


@pytest.mark.parametrize(
    ("size", "kernel_size", "settings", "expected"),
    [
        ((144, 144), 3, {}, (142, 142)),
        ((60, 60), 3, {}, (58, 58)),
        ((20, 20), 3, {"stride": 2}, (9, 9)),
        ((28, 28), 3, {"padding": 1}, (28, 28)),
        ((28, 28), 5, {}, (24, 24)),
        ((224, 224), 11, {"stride": 4, "padding": 2}, (55, 55)),
        ((224, 224), 7, {"stride": 2, "padding": 3}, (112, 112)),
        ((32, 48), (3, 5), {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)}, (28, 23)),
        ((7, 9), 3, {"padding": ((0, 1), (2, 3))}, (6, 12)),
        ((7, 9), 3, {"padding": "valid"}, (5, 7)),
        ((7, 9), 4, {"padding": "same"}, (7, 9)),
        ((7, 9), 3, {"padding": "same", "stride": 2}, (4, 5)),
    ],
)
def test_known_convolutions(size, kernel_size, settings, expected):
    assert conv2d_output_size(size, kernel_size, **settings) == expected


@pytest.mark.parametrize(
    ("size", "kernel_size", "settings", "expected"),
    [
        ((28, 28), 2, {}, (14, 14)),
        ((5, 5), 2, {}, (2, 2)),
        ((5, 5), 2, {"ceil_mode": True}, (3, 3)),
        ((112, 112), 3, {"stride": 2, "ceil_mode": True}, (56, 56)),
        ((112, 112), 3, {"stride": 2, "padding": 1}, (56, 56)),
        ((8, 6), (2, 3), {}, (4, 2)),
        ((9, 9), 3, {"stride": 1, "dilation": 2}, (5, 5)),
        # A third window would start in the padding behind the map.
        ((3, 3), 2, {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 2)),
    ],
)
def test_known_poolings(size, kernel_size, settings, expected):
    assert pool2d_output_size(size, kernel_size, **settings) == expected


@given(pairs(SIZES), pairs(KERNELS), pairs(STRIDES), st.tuples(pairs(PADS), pairs(PADS)), pairs(DILATIONS))
def test_convolution_size_is_the_number_of_windows(size, kernel, stride, padding, dilation):
    windows = [reach(k, d) for k, d in zip(kernel, dilation, strict=True)]
    padded = [length + sum(sides) for length, sides in zip(size, padding, strict=True)]
    expected = tuple(len(positions(*axis)) for axis in zip(padded, windows, stride, strict=True))
    if 0 in expected:
        with pytest.raises(ShapeError):
            conv2d_output_size(size, kernel, stride, padding, dilation)
    else:
        assert conv2d_output_size(size, kernel, stride, padding, dilation) == expected


@st.composite
def poolings(draw):
    """Size, kernel, stride, padding, dilation along one axis such that a window fits."""
    kernel, dilation, stride = draw(KERNELS), draw(DILATIONS), draw(STRIDES)
    window = reach(kernel, dilation)
    padding = draw(st.integers(0, window // 2))
    return draw(st.integers(max(window - 2 * padding, 1), 40)), kernel, stride, padding, dilation


@given(poolings(), poolings())
def test_pooling_size_is_the_number_of_windows(vertical, horizontal):
    expected = []
    for length, kernel, stride, padding, dilation in (vertical, horizontal):
        expected.append(len(positions(length + 2 * padding, reach(kernel, dilation), stride)))
    assert pool2d_output_size(*zip(vertical, horizontal, strict=True)) == tuple(expected)


@given(poolings(), poolings())
def test_ceil_mode_adds_a_window_for_pixels_left_over(vertical, horizontal):
    expected = []
    for length, kernel, stride, padding, dilation in (vertical, horizontal):
        window, padded = reach(kernel, dilation), length + 2 * padding
        starts = positions(padded, window, stride)
        left_over = starts[-1] + window < padded
        starts_before_the_trailing_padding = starts[-1] + stride < length + padding
        expected.append(len(starts) + (left_over and starts_before_the_trailing_padding))
    assert pool2d_output_size(*zip(vertical, horizontal, strict=True), ceil_mode=True) == tuple(expected)


@given(poolings(), st.booleans())
def test_no_window_without_dilation_lies_in_the_padding(axis, ceil_mode):
    length, kernel, stride, padding, _ = axis
    padding = min(padding, kernel // 2)
    length = max(length, kernel - 2 * padding)
    count, _ = pool2d_output_size((length, length), kernel, stride, padding, 1, ceil_mode)
    for start in range(-padding, count * stride - padding, stride):
        assert set(range(start, start + kernel)) & set(range(length))


@given(pairs(SIZES), pairs(KERNELS), pairs(STRIDES), pairs(DILATIONS))
def test_same_padding(size, kernel, stride, dilation):
    sides = conv2d_padding("same", size, kernel, stride, dilation)
    out = conv2d_output_size(size, kernel, stride, "same", dilation)
    assert out == conv2d_output_size(size, kernel, stride, sides, dilation)
    for length, k, s, d, count, (before, after) in zip(size, kernel, stride, dilation, out, sides, strict=True):
        assert count == len(range(0, length, s))
        assert after - before in (0, 1)
        # One pixel less would cost a window: nothing is padded for nothing.
        assert before + after == 0 or len(positions(length + before + after - 1, reach(k, d), s)) == count - 1


@given(pairs(SIZES), pairs(st.integers(1, 7)), pairs(DILATIONS), st.booleans())
def test_same_padding_with_stride_one_keeps_the_size(size, kernel, dilation, explicit):
    assert conv2d_output_size(size, kernel, (1, 1) if explicit else 1, "same", dilation) == size


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (0, ((0, 0), (0, 0))),
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 2), (1, 2))),
    ],
)
def test_every_way_to_write_a_padding(padding, expected):
    assert conv2d_padding(padding, (9, 9), kernel_size=4) == expected


@pytest.mark.parametrize(
    ("padding", "text"),
    [
        ("full", "conv2d padding: expected 'same', 'valid' or integers, got 'full'"),
        ((1, 2, 3), "conv2d padding: expected an integer, a pair, two pairs, 'same' or 'valid', got (1, 2, 3)"),
        ((1, (2, 3)), "conv2d padding: expected ((top, bottom), (left, right)), got (1, (2, 3))"),
        (((1, 2), (3, 4, 5)), "conv2d padding: expected ((top, bottom), (left, right)), got ((1, 2), (3, 4, 5))"),
        (((1, 2),), "conv2d padding: expected ((top, bottom), (left, right)), got ((1, 2),)"),
        (-1, "conv2d padding: expected an integer of at least 0, got -1"),
        ((0, -2), "conv2d padding: expected an integer of at least 0, got -2"),
        (((0, 0), (-3, 0)), "conv2d padding: expected an integer of at least 0, got -3"),
        (1.0, "conv2d padding: expected an integer, got 1.0"),
        (((0, 0), (0, 1.5)), "conv2d padding: expected an integer, got 1.5"),
        (None, "conv2d padding: expected an integer, a pair, two pairs, 'same' or 'valid', got None"),
    ],
)
def test_wrong_padding(padding, text):
    with pytest.raises(SettingError) as caught:
        conv2d_padding(padding, (9, 9), kernel_size=3)
    assert str(caught.value) == text
    with pytest.raises(SettingError):
        conv2d_output_size((9, 9), 3, padding=padding)


@pytest.mark.parametrize("value", [3, (3, 4), [3, 4]])
def test_pair(value):
    assert pair(value, "stride") == ((3, 3) if value == 3 else (3, 4))


def test_pair_takes_numpy_integers(rng):
    number = rng.integers(3, 4)
    result = pair(number, "stride") + pair((number, number), "stride")
    assert result == (3, 3, 3, 3)
    assert {type(part) for part in result} == {int}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "an integer of at least 1, got 0"),
        ((2, -1), "an integer of at least 1, got -1"),
        ((1, 2, 3), "an integer or a pair of integers, got (1, 2, 3)"),
        ((), "an integer or a pair of integers, got ()"),
        (2.0, "an integer, got 2.0"),
        (float("nan"), "an integer, got nan"),
        ((2, "3"), "an integer, got '3'"),
        ("23", "an integer, got '23'"),
        (None, "an integer, got None"),
    ],
)
@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("output_size", [conv2d_output_size, pool2d_output_size])
def test_wrong_setting(output_size, name, value, text):
    settings = {"kernel_size": 3, "stride": 1, name: value}
    if output_size is pool2d_output_size and name == "stride" and value is None:
        pytest.skip("stride=None is the size of the pooling window")
    with pytest.raises(SettingError) as caught:
        output_size((9, 9), **settings)
    who = "conv2d" if output_size is conv2d_output_size else "pool2d"
    assert str(caught.value) == f"{who} {name}: expected {text}"


def test_pooling_stride_is_the_window_unless_given():
    assert pool2d_output_size((12, 12), (3, 4)) == pool2d_output_size((12, 12), (3, 4), stride=(3, 4)) == (4, 3)


@pytest.mark.parametrize(("kernel", "dilation", "most"), [(1, 1, 0), (2, 1, 1), (3, 1, 1), (4, 1, 2), (7, 1, 3)])
def test_pooling_padding_is_at_most_half_the_window(kernel, dilation, most):
    assert pool2d_padding(most, kernel, dilation) == (most, most)
    with pytest.raises(SettingError, match=r"^pool2d padding: expected at most half the window of kernel_size=\("):
        pool2d_padding((0, most + 1), kernel, dilation)
    with pytest.raises(SettingError, match=r"^pool2d padding: expected at most half the window"):
        pool2d_output_size((99, 99), kernel, padding=(most + 1, 0), dilation=dilation)


def test_negative_pooling_padding():
    with pytest.raises(SettingError, match=r"^pool2d padding: expected an integer of at least 0, got -1$"):
        pool2d_output_size((9, 9), 3, padding=-1)


@pytest.mark.parametrize(("output_size", "who"), [(conv2d_output_size, "conv2d"), (pool2d_output_size, "pool2d")])
@pytest.mark.parametrize(
    ("size", "kernel", "settings"),
    [((2, 9), 3, {}), ((9, 2), 3, {}), ((9, 4), 3, {"dilation": 2}), ((9, 1), 4, {"padding": 1}), ((0, 9), 1, {})],
)
def test_window_larger_than_the_map(output_size, who, size, kernel, settings):
    with pytest.raises(ShapeError, match=rf"^{who}: expected .* kernel_size=\({kernel}, {kernel}\)") as caught:
        output_size(size, kernel, **settings)
    assert f"from size={size}, padding=" in str(caught.value)


@pytest.mark.parametrize("output_size", [conv2d_output_size, pool2d_output_size])
def test_window_as_large_as_the_map(output_size):
    assert output_size((5, 3), (3, 2), dilation=(2, 2)) == (1, 1)


def test_pytorch_agrees_on_convolutions():
    torch = pytest.importorskip("torch")
    conv2d, one = torch.nn.functional.conv2d, torch.ones
    for length, k, s, p, d in product(range(1, 9), range(1, 5), range(1, 5), range(4), range(1, 4)):
        if length + 2 * p >= reach(k, d):
            expected = tuple(conv2d(one(1, 1, length, 9), one(1, 1, k, 1), None, (s, 1), (p, 0), (d, 1)).shape[2:])
            assert conv2d_output_size((length, 9), (k, 1), (s, 1), (p, 0), (d, 1)) == expected


def test_pytorch_agrees_on_poolings():
    torch = pytest.importorskip("torch")
    max_pool2d, one = torch.nn.functional.max_pool2d, torch.ones
    for length, k, s, d, ceil in product(range(1, 9), range(1, 5), range(1, 5), range(1, 4), (False, True)):
        # PyTorch allows less padding than half of a dilated window.
        for p in range(k // 2 + 1):
            if length + 2 * p >= reach(k, d):
                expected = tuple(max_pool2d(one(1, 1, length, 9), (k, 1), (s, 1), (p, 0), (d, 1), ceil).shape[2:])
                assert pool2d_output_size((length, 9), (k, 1), (s, 1), (p, 0), (d, 1), ceil) == expected
