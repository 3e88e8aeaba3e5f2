"""What conv2d and conv2d_backward do with the arrays they are given: any layout, nothing written, gradients added."""

import numpy as np
import pytest
from bounds import assert_equal, assert_same_bits
from geometries import Conv
from layouts import LAYOUTS, freeze, is_channels_last

from convnet.functional import conv2d, conv2d_backward

GEOMETRIES = [
    Conv(3, 5, 9, 8, 7, (3, 2), stride=2, padding=1),
    Conv(2, 16, 8, 8, 32, (3, 3), padding=1),
    Conv(2, 1, 8, 8, 6, (5, 5)),
    Conv(2, 6, 7, 7, 6, (3, 3), groups=6),
    Conv(2, 24, 6, 6, 16, (1, 1)),
]


def _all(x, w, b, dy, geometry):
    return conv2d(x, w, b, **geometry.settings), *conv2d_backward(dy, x, w, **geometry.settings)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_changes_no_bit(geometry, layout, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    expected = _all(x, w, b, dy, geometry)
    again = LAYOUTS[layout]
    for got in _all(again(x), w, b, again(dy), geometry), _all(x, again(w), again(b), dy, geometry):
        for name, result, bits in zip(("y", "dx", "dw", "db"), got, expected, strict=True):
            assert_same_bits(result, bits, name)


def test_broadcast_arrays(rng):
    x, w, _, dy = Conv(1, 3, 6, 6, 5, (3, 3)).reals(rng, np.float32)
    x, dy = np.broadcast_to(x, (4, 3, 6, 6)), np.broadcast_to(dy[:, :, :1, :1], (4, 5, 4, 4))
    assert_same_bits(conv2d(x, w), conv2d(x.copy(), w))
    for got, expected in zip(conv2d_backward(dy, x, w), conv2d_backward(dy.copy(), x.copy(), w), strict=True):
        assert_same_bits(got, expected)


def test_a_memory_mapped_file(rng, tmp_path):
    x, w, b, _ = Conv(4, 3, 6, 6, 5, (3, 3)).reals(rng, np.float32)
    x.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=x.shape)
    y = conv2d(mapped, w, b)
    assert_same_bits(y, conv2d(x, w, b))
    assert type(y) is np.ndarray


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_no_argument_is_written_to(geometry, dtype, rng):
    arrays = geometry.reals(rng, dtype)
    before = freeze(*arrays)
    _all(*arrays, geometry)
    assert [a.tobytes() for a in arrays] == before


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_results_are_fresh_writable_and_channels_last(geometry, dtype, rng):
    x, w, b, dy = geometry.reals(rng, dtype)
    y, dx, dw, db = _all(x, w, b, dy, geometry)
    assert is_channels_last(y)
    assert is_channels_last(dx)
    assert dw.flags.c_contiguous
    for result in y, dx, dw, db:
        assert result.flags.writeable
        assert not any(np.shares_memory(result, a) for a in (x, w, b, dy))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_results_do_not_change_with_the_next_call(geometry, rng):
    """Memory is reused, but not while somebody holds a part of it."""
    x, w, b, dy = geometry.integers(rng, np.float32)
    parts = [result[1:] for result in _all(x, w, b, dy, geometry)]
    copies = [part.copy() for part in parts]
    _all(x + 1, w + 1, b + 1, dy + 1, geometry)
    for part, copy in zip(parts, copies, strict=True):
        assert_equal(part, copy)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_gradients_are_added_into_given_arrays(geometry, dtype, rng):
    x, w, _, dy = geometry.integers(rng, dtype)
    _, dw, db = conv2d_backward(dy, x, w, **geometry.settings)
    dw_sum, db_sum = rng.integers(-9, 9, dw.shape).astype(dtype), rng.integers(-9, 9, db.shape).astype(dtype)
    expected = dw_sum + dw, db_sum + db
    _, dw_same, db_same = conv2d_backward(dy, x, w, dw=dw_sum, db=db_sum, **geometry.settings)
    assert dw_same is dw_sum
    assert db_same is db_sum
    assert_equal(dw_sum, expected[0], "dw")
    assert_equal(db_sum, expected[1], "db")


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 0, 0)], ids=str)
def test_only_the_wanted_gradients_are_given(wanted, rng):
    geometry = Conv(2, 5, 7, 7, 6, (3, 3), padding=1)
    x, w, _, dy = geometry.reals(rng, np.float32)
    every = conv2d_backward(dy, x, w, padding=1)
    flags = dict(zip(("dx", "dw", "db"), map(bool, wanted), strict=True))
    for want, got, expected in zip(wanted, conv2d_backward(dy, x, w, padding=1, **flags), every, strict=True):
        if want:
            assert_same_bits(got, expected)
        else:
            assert got is None


def test_an_empty_batch_adds_nothing(rng):
    x, w, _, dy = Conv(0, 3, 6, 6, 5, (3, 3)).reals(rng, np.float32)
    dw, db = np.full(w.shape, 3, np.float32), np.full(5, 4, np.float32)
    conv2d_backward(dy, x, w, dw=dw, db=db)
    assert_equal(dw, np.full(w.shape, 3))
    assert_equal(db, np.full(5, 4))
