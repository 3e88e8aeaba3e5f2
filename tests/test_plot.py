"""Pictures, by what they hold: values of the artists and texts; none needs a display."""

import subprocess
import sys

import numpy as np
import pytest

from convnet import History, metrics, plot
from convnet.errors import DataError, DTypeError, SettingError, ShapeError, UnsupportedError
from convnet.layers import Conv2d, Dense, Flatten, ReLU, Sequential
from convnet.training import Epoch, LearningRates

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402 - only where it is installed

RUN = History(
    [
        Epoch(1, 0.9, 0.5, 0.8, 0.6, 1.0, 0.1),
        Epoch(2, 0.4, 0.8, None, None, 1.0, 0.05),
        Epoch(3, 0.2, 0.9, 0.5, 0.7, 1.0, 0.01),
    ]
)


def _lines(axes):
    return {line.get_label(): np.array(line.get_data()).tolist() for line in axes.get_lines()}


def _texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("history", [RUN, RUN.as_dict()], ids=["history", "data"])
def test_the_curves_of_a_history(history):
    figure = plot.history(history)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert _lines(figure.axes[0]) == {"training": [[1, 2, 3], [0.9, 0.4, 0.2]], "validation": [[1, 3], [0.8, 0.5]]}
    assert _lines(figure.axes[2]) == {"training": [[1, 2, 3], [0.1, 0.05, 0.01]]}
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["training", "validation"]
    assert figure.axes[2].get_legend() is None


def test_epochs_are_whole_and_accuracies_percent():
    figure = plot.history(RUN)
    figure.canvas.draw()
    ticks = figure.axes[0].get_xticks()
    assert np.array_equal(ticks, ticks.round())
    assert any(label.get_text().endswith("%") for label in figure.axes[1].get_yticklabels())


def test_what_was_not_measured_is_not_drawn():
    alone = History([Epoch(1, 0.9, None, None, None, 1.0, 0.1)])
    assert [axes.get_ylabel() for axes in plot.history(alone).axes] == ["loss", "learning rate"]


def test_other_metrics_get_a_plot():
    figure = plot.history({"learning_rate": [0.1], "val_top_5_accuracy": [0.9], "f1": [0.3], "loss": [2.0]})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "top 5 accuracy", "f1", "learning rate"]
    assert _lines(figure.axes[1]) == {"validation": [[1], [0.9]]}


def test_learning_rates_and_the_suggestion():
    found = LearningRates(np.array([0.01, 0.1, 1.0]), np.array([2.0, 1.0, 3.0]), 0.012)
    axes = plot.learning_rates(found).axes[0]
    assert axes.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [0.01, 0.012]
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), found.losses)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["suggestion 0.012"]


def test_the_confusion_matrix():
    axes, bar = plot.confusion_matrix([[1200, 0], [25, 75]], ["cat", "mouse"]).axes
    assert _texts(axes) == ["1,200", "25", "75"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (0, 1), (1, 1)]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 0], [0.25, 0.75]])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["cat", "mouse"]
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("predicted", "true", "of the true class")
    assert [text.get_color() for text in axes.texts] == ["white", "black", "white"]


def test_the_confusion_matrix_of_outputs():
    outputs, targets = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 1])
    drawn = plot.confusion_matrix((outputs, targets)).axes[0].images[0].get_array()
    np.testing.assert_array_equal(drawn, [[1, 0], [0.5, 0.5]])
    assert len(plot.confusion_matrix((np.array([0]), np.array([1])), "abc").axes[0].get_xticks()) == 3


def test_many_classes_have_no_numbers_and_fewer_labels():
    axes = plot.confusion_matrix(np.eye(120, dtype=int)).axes[0]
    assert _texts(axes) == []
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["0", "3", "6"]


def test_pictures_go_into_axes_of_ones_own():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot.confusion_matrix(np.eye(2), ax=left) is figure
    assert plot.heatmap(np.zeros((1, 4, 4)), np.eye(4), ax=right) is figure
    assert [len(axes.images) for axes in (left, right)] == [1, 2]
    assert len(figure.axes) == 3  # a bar for the matrix


X = np.arange(5 * 16, dtype=np.uint8).reshape(5, 1, 4, 4)
OUTPUTS = np.log([[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6], [0.02, 0.95, 0.03], [0.1, 0.2, 0.7]])
TARGETS = np.array([0, 2, 0, 0, 2])  # wrong: 1, 2, 3; the surest of them 3, then 1


@pytest.mark.parametrize("outputs", [OUTPUTS, np.exp(OUTPUTS), (OUTPUTS + 7).astype(np.float32)])
def test_the_worst_mistakes_come_first(outputs):
    figure = plot.mistakes(X, outputs, TARGETS, ["cat", "dog", "cow"], count=2)
    assert figure.get_suptitle() == "the 2 worst of 3 mistakes in 5 images"
    expected = ["predicted dog (95 %)\ntrue cat (2 %)", "predicted dog (70 %)\ntrue cow (10 %)"]
    assert [axes.get_xlabel() for axes in figure.axes] == expected
    for axes, i in zip(figure.axes, (3, 1), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), X[i, 0] / 255)


def test_mistakes_of_probabilities_as_targets():
    figure = plot.mistakes(X, OUTPUTS, np.eye(3)[TARGETS])
    assert figure.axes[0].get_xlabel() == "predicted 1 (95 %)\ntrue 0 (2 %)"
    assert figure.get_suptitle() == "3 mistakes in 5 images"


def test_no_mistake_is_certain():
    figure = plot.mistakes(X[:1], np.array([[0.0, 9.0]]), np.array([0]))
    assert figure.axes[0].get_xlabel() == "predicted 1 (> 99 %)\ntrue 0 (< 1 %)"
    assert figure.get_suptitle() == "1 mistake in 1 images"


def test_no_mistakes():
    figure = plot.mistakes(X, OUTPUTS, OUTPUTS.argmax(axis=1))
    assert figure.get_suptitle() == "0 mistakes in 5 images"
    assert not any(axes.images for axes in figure.axes)


def test_colours_and_other_scales_are_shown():
    x = np.stack([np.zeros((3, 2, 2)), np.linspace(-1, 3, 12).reshape(3, 2, 2)])
    figure = plot.mistakes(x, np.eye(2), np.array([1, 0]))
    assert figure.axes[0].images[0].get_array().shape == (2, 2, 3)
    stretched = figure.axes[1].images[0].get_array()
    assert (stretched.min(), stretched.max()) == (0, 1)


def test_filters_of_one_channel():
    weights = np.arange(8.0).reshape(2, 1, 2, 2) - 4
    axes = plot.filters(weights).axes[0]
    drawn = axes.images[0].get_array()
    np.testing.assert_array_equal(drawn.filled(99), [[-4, -3, 99, 0, 1], [-2, -1, 99, 2, 3]])
    assert axes.images[0].get_clim() == (-4, 4)


def test_filters_of_colours():
    weights = np.stack([np.full((3, 2, 2), -2.0), np.full((3, 2, 2), 1.0)])
    figure = plot.filters(weights)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn[0].tolist() == [[0, 0, 0, 1]] * 2 + [[1, 1, 1, 0]] + [[0.75, 0.75, 0.75, 1]] * 2
    assert len(figure.axes) == 1  # no bar


def test_filters_of_many_channels_are_rows():
    conv = Conv2d(20, 6, 3, rng=0)
    axes = plot.filters(conv, count=4).axes[0]
    assert axes.get_title() == "4 of 6 filters of 20x3x3"
    drawn = axes.images[0].get_array()
    assert drawn.shape == (4 * 4 - 1, 16 * 4 - 1)
    np.testing.assert_array_equal(drawn[4:7, 8:11], conv.weight.value[1, 2])


def test_feature_maps():
    model = Sequential(Conv2d(1, 3, 1, rng=0), ReLU(), Flatten(), Dense(48, 2, rng=0))
    image, maps, _ = plot.feature_maps(model, X[:1], "1", count=2).axes
    np.testing.assert_allclose(image.images[0].get_array(), X[0, 0] / np.float32(255), rtol=1e-6)
    expected = model[:2](X[:1].astype(np.float32) / 255)[0]
    np.testing.assert_allclose(maps.images[0].get_array()[:, :4], expected[0], rtol=1e-6)
    assert maps.get_title() == "1: 2 of 3 maps of 4x4"


def test_a_heatmap_is_transparent_where_nothing_matters():
    values = np.array([[0.0, 2], [-1, 0]])
    axes, _ = plot.heatmap(np.full((3, 2, 2), 0.5), values).axes
    under, over = axes.images
    assert under.get_array().tolist() == [[0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_array_equal(over.get_array(), values)
    colours = over.to_rgba(values)
    np.testing.assert_allclose(colours[..., 3], [[0, 0.9], [0.45, 0]], atol=0.9 / 255)  # one of 256 steps
    assert (colours[0, 1, 0] > 0.8, colours[1, 0, 2] > 0.6) == (True, True)  # vermilion, blue
    assert plot.heatmap(np.zeros((1, 2, 2)), np.zeros((2, 2))).axes[0].images[1].get_clim() == (-1, 1)


@pytest.mark.parametrize(("values", "limits"), [(np.eye(2), (0, 1)), (-np.eye(2), (-1, 1))])
def test_the_bar_of_a_heatmap_has_no_half_that_nothing_needs(values, limits):
    assert plot.heatmap(np.zeros((1, 2, 2)), values).axes[1].get_ylim() == limits


def test_grids_leave_few_places_empty():
    sizes = [plot.filters(np.ones((n, 1, 1, 1))).axes[0].images[0].get_array().shape for n in (1, 10, 16, 24, 32)]
    assert [(-(-h // 2), -(-w // 2)) for h, w in sizes] == [(1, 1), (2, 5), (4, 4), (4, 6), (4, 8)]


MODEL = Sequential(Conv2d(1, 3, 1, rng=0), Flatten(), Dense(48, 2, rng=0))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: plot.history(History()), ShapeError, "plot.history: expected at least one epoch, got none"),
        (lambda: plot.learning_rates(0.1), SettingError, "expected what Trainer.find_learning_rate returns, got 0.1"),
        (lambda: plot.confusion_matrix(np.ones((2, 3))), ShapeError, r"\(classes, classes\), got \(2, 3\)"),
        (lambda: plot.confusion_matrix(np.eye(2), ["cat"]), ShapeError, "classes: expected 2 names, got 1"),
        (lambda: plot.filters(Dense(2, 2)), ShapeError, r"expected weights of shape \(out, in, kh, kw\), got \(2, 2\)"),
        (lambda: plot.filters(ReLU()), ShapeError, r"expected weights of shape .*, got ReLU\(\)"),
        (lambda: plot.filters(np.ones((2, 1, 3, 3)), 0), SettingError, "plot.filters count: expected an integer"),
        (lambda: plot.feature_maps(MODEL, X, "0"), ShapeError, r"\(1, c, h, w\), one image, got \(5, 1, 4, 4\)"),
        (lambda: plot.feature_maps(MODEL, X[:1], "7"), SettingError, "plot.feature_maps layer: expected the name"),
        (lambda: plot.feature_maps(MODEL, X[:1], "1"), ShapeError, r"expected a layer that gives .* '1': \(1, 48\)"),
        (lambda: plot.feature_maps(MODEL, X[:1] / 255, "0"), DTypeError, "expected x of dtype uint8"),
        (lambda: plot.mistakes(X[:3], OUTPUTS, TARGETS), ShapeError, r"got \(3, 1, 4, 4\) and \(5, 3\)"),
        (lambda: plot.mistakes(X, OUTPUTS, TARGETS + 1), DataError, "expected targets in 0..2, got 3 at position 1"),
        (lambda: plot.mistakes(X, OUTPUTS, TARGETS, "ab"), ShapeError, "mistakes classes: expected 3 names, got 2"),
        (lambda: plot.heatmap(X[0], np.eye(3)), ShapeError, r"got \(1, 4, 4\) and \(3, 3\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UnsupportedError, match=r'expected the package matplotlib, .*pip install "convnet-cpu\[plot\]"'):
        plot.history(RUN)


def test_pyplot_is_not_involved(tmp_path):
    path = tmp_path / "a.png"
    code = f"""import sys, convnet, numpy as np
assert "matplotlib" not in sys.modules
convnet.plot.confusion_matrix(np.eye(3, dtype=int)).savefig({str(path)!r})
assert "matplotlib.pyplot" not in sys.modules"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_matrix_is_that_of_the_metrics():
    matrix = metrics.confusion_matrix(OUTPUTS, TARGETS)
    assert _texts(plot.confusion_matrix(matrix).axes[0]) == ["1", "1", "1", "1", "1"]
