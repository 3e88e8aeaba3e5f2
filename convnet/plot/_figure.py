"""What the pictures share: figures without pyplot, images as they are shown, names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convnet.errors import ShapeError, UnsupportedError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NEGATIVE", "POSITIVE", "bare", "class_names", "displayed", "new_figure", "root", "show"]

# Blue and vermilion of Okabe and Ito's colours, which all eyes can tell apart.
NEGATIVE, POSITIVE = "#0072B2", "#D55E00"


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that no window and no list of open figures knows.

    Raises
    ------
    UnsupportedError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            'plot: expected the package matplotlib, got none; to install it: pip install "convnet-cpu[plot]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def root(ax: Axes) -> Figure:
    """The figure that axes are in, however deep."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # these axes were drawn into
    return figure


def class_names(who: str, classes: Sequence[str] | None, count: int) -> list[str]:
    """Names as texts, by default the indices.

    Raises
    ------
    ShapeError
        If they are not ``count``.
    """
    names = list(map(str, range(count) if classes is None else classes))
    if len(names) != count:
        raise ShapeError(f"{who} classes: expected {count} names, got {len(names)}")
    return names


def show(ax: Axes, image: np.ndarray) -> None:
    """Draw an image (c, h, w)."""
    pixels = displayed(image)
    ax.imshow(pixels if pixels.shape[-1] == 3 else pixels.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
    bare(ax)


def bare(ax: Axes) -> None:
    """Draw no ticks."""
    ax.set(xticks=[], yticks=[])


def displayed(image: np.ndarray) -> np.ndarray:
    """An image (c, h, w) as (h, w, c) with numbers from 0 to 1: bytes divided by 255, others stretched if they must."""
    pixels = np.moveaxis(image / 255 if image.dtype == np.uint8 else image.astype(np.float64), 0, -1)
    low, high = pixels.min(initial=0), pixels.max(initial=1)
    stretched: np.ndarray = (pixels - low) / (high - low)
    return stretched
