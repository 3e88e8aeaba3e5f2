"""Resize and RandomResizedCrop against the formula, Pillow, and the boxes that they ought to draw."""

import numpy as np
import pytest

from convnet.data.transforms import RandomResizedCrop, Resize, _resize

SIZES = [(5, 4), (1, 1), (2, 7), (11, 3), (15, 12)]


def triangle(line, size):
    """Means of a line of numbers, each weighted by a triangle about the centre of a new pixel."""
    scale = len(line) / size
    reach = max(scale, 1)
    means = []
    for place in range(size):
        weights = [max(0, 1 - abs(j + 0.5 - (place + 0.5) * scale) / reach) for j in range(len(line))]
        means.append(sum(w * v for w, v in zip(weights, line, strict=True)) / sum(weights))
    return means


def scaled(image, size):
    rows = np.apply_along_axis(triangle, 0, image, size[0])
    return np.apply_along_axis(triangle, 1, rows, size[1])


@pytest.mark.parametrize("size", SIZES)
def test_the_formula(rng, size, dtype):
    x = rng.random((2, 3, 5, 4)).astype(dtype)
    expected = [[scaled(channel, size) for channel in image] for image in x.astype(np.float64)]
    y = Resize(size)(x)
    # Weights of a pass are positive, add up to 1 and are rounded once, as are products and sums: at most 5 + 4 terms.
    assert np.abs(y - expected).max() <= 2 * (5 + 4) * np.finfo(dtype).eps
    assert (y.dtype, y.shape) == (dtype, (2, 3, *size))


@pytest.mark.parametrize("size", [*SIZES, (32, 40), (33, 47), (90, 100)])
def test_pillow(rng, size):
    images = pytest.importorskip("PIL.Image")
    x = rng.integers(0, 256, (1, 3, 32, 40)).astype(np.uint8)
    image = images.fromarray(np.ascontiguousarray(x[0].transpose(1, 2, 0)))
    expected = np.asarray(image.resize(size[::-1], images.Resampling.BILINEAR)).transpose(2, 0, 1)
    # Pillow rounds twice and this once: 1.5 at most, so 1 of two integers.
    assert np.abs(Resize(size)(x)[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_the_same_size_changes_nothing(rng, kind):
    x = rng.integers(0, 256, (2, 3, 9, 5)).astype(kind)
    y = Resize((9, 5))(x)
    np.testing.assert_array_equal(y, x, strict=True)
    assert not np.shares_memory(y, x)


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_one_colour_stays(value):
    x = np.full((1, 3, 37, 23), value, np.uint8)
    assert (Resize((11, 50))(x) == value).all()


def test_any_layout(rng):
    x = rng.integers(0, 256, (2, 3, 9, 7)).astype(np.uint8)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(Resize(4)(last), Resize(4)(x))


def test_parts_are_cut_and_scaled(rng):
    x = rng.random((3, 2, 12, 10))
    boxes = [(0, 0, 12, 10), (2, 3, 1, 4), (7, 0, 5, 9)]
    y = _resize._scaled(x, boxes, (4, 6))
    for image, (top, left, h, w), part in zip(x, boxes, y, strict=True):
        np.testing.assert_array_equal(part, Resize((4, 6))(image[np.newaxis, :, top : top + h, left : left + w])[0])


@pytest.fixture
def boxes(monkeypatch):
    """Draws boxes, (n, 4), for images of 200x300."""
    monkeypatch.setattr(_resize, "_scaled", lambda x, boxes, size: np.array(list(boxes)))
    return lambda n, rng, *args: RandomResizedCrop(8, *args)(np.broadcast_to(np.uint8(0), (n, 3, 200, 300)), rng)


def test_boxes_lie_inside_and_reach_everywhere(boxes, rng):
    top, left, h, w = boxes(4000, rng).T
    assert min(top.min(), left.min()) == 0
    assert ((top + h).max(), (left + w).max()) == (200, 300)
    assert min(h.min(), w.min()) >= 1


def test_areas_and_proportions_are_as_told(boxes, rng):
    scale, ratio = (0.1, 0.3), (0.5, 2.0)
    _, _, h, w = boxes(4000, rng, scale, ratio).T.astype(float)
    area, proportion = h * w / 60_000, np.log(w / h)
    # Sides, of at least 200 * sqrt(0.1 * 1.5 / 2) = 54 pixels, are rounded by half a pixel.
    assert scale[0] * 0.98 <= area.min() < 0.105 < 0.295 < area.max() <= scale[1] * 1.02
    assert abs(area.mean() - 0.2) < 6 * 0.2 / np.sqrt(12 * 4000) + 0.001
    assert -np.log(2) - 0.02 <= proportion.min() < -0.65
    assert 0.65 < proportion.max() <= np.log(2) + 0.02
    assert abs(proportion.mean()) < 6 * 2 * np.log(2) / np.sqrt(12 * 4000) + 0.001


def test_long_sides_are_cut(boxes, rng):
    top, _, h, w = boxes(100, rng, (1, 1), (1, 1)).T
    assert set(zip(top, h, w, strict=True)) == {(0, 200, 245)}  # the root of 60,000


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 1, 9), (2, 3, 3, 2)])
def test_small_images(shape, rng):
    x = np.full(shape, 7, np.uint8)
    y = RandomResizedCrop((4, 5))(x, rng)
    np.testing.assert_array_equal(y, np.full((*shape[:2], 4, 5), 7, np.uint8), strict=True)
