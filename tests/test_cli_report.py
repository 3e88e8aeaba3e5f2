"""What the report of a run is made of: answers, mistakes, curves."""

import math
import re

import numpy as np
import pytest

from convnet import SoftmaxCrossEntropy, Trainer, models, optim
from convnet.cli._answers import answers
from convnet.cli._chart import chart
from convnet.cli._data import Data
from convnet.cli._report import Report
from convnet.cli._settings import Settings

CLASSES = ("a", "b", "c")
SURE = np.array([[3, 0, 0], [0, 5, 0], [9, 0, 0], [0, 0, 4], [7, 0, 0], [0, 2, 0]], np.float32)
TRUE = np.array([0, 0, 1, 2, 2, 0])


@pytest.fixture
def told():
    """Answers to six images, each of which is its own number: 2, 4, 1 and 5 are wrong, the surest first."""
    x = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    return answers(lambda images: SURE[images.ravel()], (x, TRUE), CLASSES, batch_size=4, worst=3)


def test_the_surest_mistakes_are_kept_in_order(told):
    assert [int(each.image.item()) for each in told.mistakes] == [2, 4, 1]
    assert [(each.name, each.true, each.told) for each in told.mistakes] == [
        ("number 2", "b", "a"),
        ("number 4", "c", "a"),
        ("number 1", "a", "b"),
    ]
    assert told.mistakes[0].probability == pytest.approx(math.exp(9) / (math.exp(9) + 2), rel=1e-5)


def test_the_figures_are_those_of_all_images(told):
    assert (told.images, told.accuracy, told.top_5) == (6, 2 / 6, None)
    assert told.loss == pytest.approx(SoftmaxCrossEntropy().forward(SURE, TRUE), rel=1e-6)
    assert told.matrix.tolist() == [[1, 2, 0], [1, 0, 0], [1, 0, 1]]


def test_a_report_shows_the_mistakes_and_names_the_mix_ups(told):
    pytest.importorskip("PIL")
    images = np.zeros((6, 1, 28, 28), np.uint8), TRUE
    trainer = Trainer(models.lenet(3, rng=0), SoftmaxCrossEntropy(), optim.SGD(0.1))
    data = Data(images, None, images, CLASSES, (1, 28, 28), "pictures")
    page = Report(Settings(), data, trainer, told, "held-out pictures").html()
    assert page.count("data:image/png;base64,") == 3
    assert 'title="a, taken for b: 2 (66.7 %)"' in page
    assert "4 of 6 wrong" in page


def numbers(picture, element, name):
    return [float(value) for value in re.findall(rf'<{element} [^>]*\b{name}="(-?[\d.]+)"', picture)]


@pytest.mark.parametrize(
    "curve",
    [[0.5], [0.5, 0.5], [1.0, 0.25, 0.125], [1e-9, 3e-9], [0.0, 0.0], [12000.0, 3.0], [1.0, None, math.nan, 0.5]],
)
def test_curves_stay_in_their_picture(curve):
    picture = chart(
        "loss", list(range(1, len(curve) + 1)), {"training": curve, "validation": [None] * len(curve)}, 1, percent=False
    )
    shown = [value for value in curve if value is not None and math.isfinite(value)]
    x, y = numbers(picture, "circle", "cx"), numbers(picture, "circle", "cy")
    assert len(y) == len(shown)
    assert all(52 <= each <= 408 for each in x)
    assert all(12 <= each <= 200 for each in y)
    assert sorted(y) == [each for _, each in sorted(zip(shown, y, strict=True), reverse=True)]
    labels = re.findall(r'text-anchor="end">([^<]+)<', picture)
    assert 2 <= len(labels) == len(set(labels))


def test_without_numbers_there_is_no_curve():
    assert chart("loss", [1, 2], {"validation": [None, None]}, None, percent=True) == ""
