"""The curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convnet.errors import SettingError, ShapeError
from convnet.plot._figure import NEGATIVE, POSITIVE, new_figure, root
from convnet.training import History, LearningRates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["history", "learning_rates"]

_TRAINING, _VALIDATION = NEGATIVE, POSITIVE
_NO_CURVE = ("epoch", "seconds")


def history(history: History | Mapping[str, Sequence[float | None]]) -> Figure:
    """Draw the curves of a training: loss, accuracy (and other metrics), learning rate.

    Parameters
    ----------
    history : History, or mapping
        What `Trainer.fit` returns, or `History.as_dict` of it: a list for each name, one number an epoch or None. What
        is called ``val_`` and a name goes into the plot of this name. Names without a number are left out.

    Returns
    -------
    matplotlib.figure.Figure
        One plot for each figure, side by side.

    Raises
    ------
    ShapeError
        If there is no epoch.

    Examples
    --------
    >>> figure = history({"epoch": [1, 2], "loss": [0.9, 0.4], "val_loss": [0.8, 0.5], "learning_rate": [0.1, 0.1]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'learning rate']
    """
    columns = history.as_dict() if isinstance(history, History) else dict(history)
    curves = {name: _points(columns, name) for name in columns if name not in _NO_CURVE}
    curves = {name: points for name, points in curves.items() if points[0]}
    if not curves:
        raise ShapeError("plot.history: expected at least one epoch, got none")
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    names.sort(key=lambda name: (name != "loss", name == "learning_rate"))
    figure = new_figure(4.2 * len(names), 3.4)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_curves(axes, name, curves.get(name), curves.get(f"val_{name}"))
    return figure


def _points(columns: Mapping[str, Sequence[float | None]], name: str) -> tuple[list[float], list[float]]:
    """The epochs in which there is a number, and the numbers."""
    epochs = columns.get("epoch", range(1, len(columns[name]) + 1))
    points = [(epoch, y) for epoch, y in zip(epochs, columns[name], strict=True) if epoch is not None and y is not None]
    return [float(epoch) for epoch, _ in points], [float(y) for _, y in points]


def _draw_curves(ax: Axes, name: str, training: Any, validation: Any) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    curves = (("training", training, _TRAINING, "o-"), ("validation", validation, _VALIDATION, "s-"))
    for label, points, colour, style in curves:
        if points is not None:
            ax.plot(*points, style, color=colour, label=label, markersize=3 if len(points[0]) > 1 else 6)
    ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if name.endswith("accuracy"):
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    if validation is not None:
        ax.legend()
    ax.grid(alpha=0.3)


def learning_rates(found: LearningRates, ax: Axes | None = None) -> Figure:
    """Draw what `Trainer.find_learning_rate` saw: the loss over the learning rate, and the suggestion.

    Parameters
    ----------
    found : LearningRates
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        If ``found`` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> found = LearningRates(np.array([0.01, 0.1, 1.0]), np.array([2.0, 1.0, 3.0]), 0.01)
    >>> learning_rates(found).axes[0].get_xscale()
    'log'
    """
    if not isinstance(found, LearningRates):
        raise SettingError(f"plot.learning_rates: expected what Trainer.find_learning_rate returns, got {found!r}")
    if ax is None:
        ax = new_figure(4.6, 3.4).subplots()
    ax.semilogx(found.rates, found.losses, color=_TRAINING)
    ax.axvline(found.suggestion, color=_VALIDATION, linestyle="--", label=f"suggestion {found.suggestion:.2g}")
    ax.set(xlabel="learning rate", ylabel="loss")
    ax.legend()
    ax.grid(alpha=0.3)
    return root(ax)
