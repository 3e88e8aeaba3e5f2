"""Explanations over their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convnet.errors import ShapeError
from convnet.plot._figure import NEGATIVE, POSITIVE, bare, displayed, new_figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = ["heatmap"]


def heatmap(image: ArrayLike, values: ArrayLike, ax: Axes | None = None) -> Figure:
    """Lay a map of `convnet.explain` over its image.

    Parameters
    ----------
    image : array of shape (c, h, w)
    values : array of shape (h, w)
        Positive ones tint the image, drawn in grey, vermilion; negative ones blue; the more the farther from 0.
    ax : matplotlib.axes.Axes, optional
        Without it there is a bar that tells the values.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If image and map do not fit each other.

    Examples
    --------
    >>> figure = heatmap(np.zeros((3, 8, 8)), np.eye(8))
    >>> len(figure.axes[0].images)
    2
    """
    pixels, heat = np.asarray(image), np.asarray(values)
    if pixels.ndim != 3 or heat.shape != pixels.shape[1:]:
        expected = "an image (c, h, w) and a map (h, w)"
        raise ShapeError(f"plot.heatmap: expected {expected}, got {pixels.shape} and {heat.shape}")
    own = ax is None
    if ax is None:
        ax = new_figure(4, 3.4).subplots()
    largest = float(np.abs(heat).max(initial=0)) or 1.0
    ax.imshow(displayed(pixels).mean(axis=-1), cmap="gray", vmin=0, vmax=1)
    picture = ax.imshow(heat, cmap=_tint(), vmin=-largest, vmax=largest)
    bare(ax)
    if own:
        bar = ax.figure.colorbar(picture, ax=ax)
        if heat.min() >= 0:
            bar.ax.set_ylim(bottom=0)
    return root(ax)


def _tint() -> Colormap:
    """Two colours, ever more transparent towards 0: nothing is laid over what does not matter."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    negative, positive = ([to_rgba(colour, alpha) for alpha in (0.9, 0)] for colour in (NEGATIVE, POSITIVE))
    stops = zip((0, 0.5, 0.5, 1), (*negative, *reversed(positive)), strict=True)
    return LinearSegmentedColormap.from_list("tint", list(stops))
