"""Right and wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convnet import metrics
from convnet.errors import ShapeError
from convnet.functional import softmax
from convnet.plot._figure import class_names, new_figure, root, show
from convnet.settings import integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion_matrix", "mistakes"]


def confusion_matrix(
    matrix: ArrayLike | tuple[ArrayLike, ArrayLike], classes: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """Draw what was taken for what; cells are shaded by their share of the row.

    Parameters
    ----------
    matrix : array of shape (classes, classes), or pair (outputs, targets)
        A `convnet.metrics.confusion_matrix`, or what to make one of. A row is a true class.
    classes : sequence of str, optional
        Names; by default the indices.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
        Counts stand in the cells of up to 25 classes; cells without images stay empty.

    Raises
    ------
    ShapeError, DTypeError, DataError
        If the matrix is not square, the names are not as many, or the pair does not fit.

    Examples
    --------
    >>> figure = confusion_matrix([[9, 1], [0, 10]], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['9', '1', '10']
    """
    if isinstance(matrix, tuple):
        outputs, targets = map(np.asarray, matrix)
        matrix = metrics.confusion_matrix(outputs, targets, None if classes is None else len(classes))
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(f"plot.confusion_matrix: expected a matrix of shape (classes, classes), got {counts.shape}")
    names = class_names("plot.confusion_matrix", classes, len(counts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if ax is None:
        side = min(max(0.45 * len(counts) + 1.4, 3.4), 12)
        ax = new_figure(side + 0.8, side).subplots()
    _draw_shares(ax, shares)
    if len(counts) <= 25:
        for i, j in np.argwhere(counts):
            colour = "white" if shares[i, j] > 0.4 else "black"
            ax.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=colour, fontsize=8)
    places = range(0, len(names), -(-len(names) // 50))
    steep = max(len(names[i]) for i in places) > 3
    ax.set_xticks(places, [names[i] for i in places], rotation=90 if steep else 0)
    ax.set_yticks(places, [names[i] for i in places])
    ax.set(xlabel="predicted", ylabel="true")
    return root(ax)


def mistakes(
    x: ArrayLike, outputs: ArrayLike, targets: ArrayLike, classes: Sequence[str] | None = None, count: int = 20
) -> Figure:
    """Draw the worst mistakes: the images that were most surely taken for something else.

    Parameters
    ----------
    x : array of shape (n, c, h, w)
        Images.
    outputs : array of shape (n, classes)
        Logits, or rows of probabilities (not negative, with the sum 1).
    targets : array
        As in `convnet.metrics.correct`.
    classes : sequence of str, optional
        Names; by default the indices.
    count : int
        How many at most.

    Returns
    -------
    matplotlib.figure.Figure
        Under each image the class that was predicted and the true one, with their probabilities; the worst first.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> x, outputs = np.zeros((2, 1, 4, 4), np.uint8), np.array([[0.9, 0.1], [0.8, 0.2]])
    >>> mistakes(x, outputs, np.array([0, 1]), ["cat", "dog"]).axes[0].get_xlabel().splitlines()
    ['predicted cat (80 %)', 'true dog (20 %)']
    """
    who, images, scores, targets = "plot.mistakes", np.asarray(x), np.asarray(outputs), np.asarray(targets)
    if images.ndim != 4 or scores.ndim != 2 or len(images) != len(scores):
        raise ShapeError(
            f"{who}: expected x (n, c, h, w) and outputs (n, classes), got {images.shape} and {scores.shape}"
        )
    metrics.confusion_matrix(scores, targets)  # which says what does not fit
    names, count = class_names(who, classes, scores.shape[1]), integer(count, f"{who} count")
    p, told = _probabilities(scores), scores.argmax(axis=1)
    true = targets if targets.ndim == 1 else targets.argmax(axis=1)
    wrong = np.flatnonzero(told != true)
    worst = wrong[np.argsort(-p[wrong, told[wrong]], kind="stable")][:count]

    def line(word: str, i: int, label: int) -> str:
        return f"{word} {names[label]} ({_percent(p[i, label])})"

    labels = [f"{line('predicted', i, told[i])}\n{line('true', i, true[i])}" for i in worst]
    part = f"the {len(worst)} worst of " if len(worst) < len(wrong) else ""
    plural = "" if len(wrong) == 1 else "s"
    return _draw_mistakes(images[worst], labels, f"{part}{len(wrong):,} mistake{plural} in {len(images):,} images")


def _draw_shares(ax: Axes, shares: np.ndarray) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    norm = PowerNorm(0.5, 0, 1)  # the root of the share: single mistakes must show
    picture = ax.imshow(shares, cmap="Blues", norm=norm)
    ticks = [0, 0.01, 0.1, 0.25, 0.5, 1]
    ax.figure.colorbar(picture, ax=ax, label="of the true class", ticks=ticks, format=PercentFormatter(1))


def _draw_mistakes(images: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    columns = min(max(len(labels), 2), 5)
    rows = max(-(-len(labels) // columns), 1)
    figure = new_figure(1.7 * columns, 2.1 * rows + 0.4)
    figure.suptitle(title, fontsize=11)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, image, label in zip(cells, images, labels, strict=False):
        show(ax, image)
        ax.set_xlabel(label, fontsize=8)
    for ax in cells[len(labels) :]:
        ax.axis("off")
    return figure


def _percent(p: float) -> str:
    """No mistake is certain: what is nearly 0 or 1 is told so."""
    return f"{100 * p:.0f} %" if 0.005 < p < 0.995 else "< 1 %" if p < 0.5 else "> 99 %"


def _probabilities(scores: np.ndarray) -> np.ndarray:
    rows = scores.astype(np.float64)
    if rows.size and np.all(rows >= 0) and np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        return rows
    return softmax(rows)
