"""Weights and feature maps, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convnet.data import as_floats
from convnet.errors import ShapeError
from convnet.inference.probe import probed
from convnet.layers import Layer
from convnet.parameter import Parameter
from convnet.plot._figure import new_figure, show
from convnet.settings import integer
from convnet.training._arrays import checked_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["feature_maps", "filters"]


def filters(layer: Layer | ArrayLike, count: int = 64) -> Figure:
    """Draw the weights of a convolution.

    Parameters
    ----------
    layer : Layer with a ``weight`` (out, in, kh, kw), or such an array
    count : int
        How many filters at most, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
        A tile a filter: grey is 0 in the colours of filters of 3 channels, white is 0 between the blue negative and the
        red positive weights of others. Filters of 2 or more than 3 channels are rows, with a tile for each of the first
        channels.

    Raises
    ------
    ShapeError, SettingError

    Examples
    --------
    >>> figure = filters(np.ones((10, 1, 3, 3)))
    >>> figure.axes[0].get_title()
    '10 filters of 1x3x3'
    """
    weight = getattr(layer, "weight", layer)
    weights = np.asarray(weight.value if isinstance(weight, Parameter) else weight)
    if weights.ndim != 4 or not weights.size:
        got = repr(layer) if isinstance(layer, Layer) and weights.ndim == 0 else weights.shape
        raise ShapeError(f"plot.filters: expected weights of shape (out, in, kh, kw), got {got}")
    shown, channels = weights[: integer(count, "plot.filters count")], weights.shape[1]
    largest = float(np.abs(shown).max()) or 1.0
    scale = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    if channels == 3:
        tiles, columns, scale = np.moveaxis(0.5 + shown / (2 * largest), 1, -1), _columns(len(shown)), {}
    elif channels == 1:
        tiles, columns = shown[:, 0], _columns(len(shown))
    else:
        columns = min(channels, 16)
        tiles = shown[:, :columns].reshape(-1, *shown.shape[2:])
    part = f"{len(shown)} of " if len(shown) < len(weights) else ""
    size = "x".join(map(str, weights.shape[1:]))
    return _draw_tiles(tiles, columns, f"{part}{len(weights)} filters of {size}", scale)


def feature_maps(model: Layer, x: ArrayLike, layer: str, count: int = 64) -> Figure:
    """Draw an image and what a layer in the middle of a model makes of it.

    Parameters
    ----------
    model : Layer
        A container.
    x : array of shape (1, c, h, w), uint8 or the dtype of the model
        One image; uint8 is scaled to 0-1.
    layer : str
        Name of a layer that gives maps, as `summary` prints it.
    count : int
        How many maps at most, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
        All maps share one scale, so that silent ones are dark.

    Raises
    ------
    ShapeError, DTypeError, SettingError

    Examples
    --------
    >>> from convnet.models import lenet
    >>> figure = feature_maps(lenet(rng=0), np.zeros((1, 1, 28, 28), np.uint8), "1")
    >>> figure.axes[1].get_title()
    '1: 6 maps of 24x24'
    """
    who, parameters = "plot.feature_maps", model.parameters()
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    image = as_floats(checked_images(who, x, model, dtype), dtype)
    if image.ndim != 4 or len(image) != 1:
        raise ShapeError(f"{who}: expected x of shape (1, c, h, w), one image, got {image.shape}")
    twin, probe = probed(model, layer, who)
    twin(image)
    if probe.output.ndim != 4:
        raise ShapeError(f"{who}: expected a layer that gives (n, c, h, w), got {layer!r}: {probe.output.shape}")
    maps, shown = probe.output[0], probe.output[0, : integer(count, f"{who} count")]
    part = f"{len(shown)} of " if len(shown) < len(maps) else ""
    title = f"{layer}: {part}{len(maps)} maps of {maps.shape[1]}x{maps.shape[2]}"
    return _draw_tiles(shown, _columns(len(shown)), title, {"cmap": "viridis"}, image[0])


def _columns(count: int) -> int:
    """For a grid as wide as high or up to twice as wide, whichever leaves the fewest places empty."""
    widths = range(math.ceil(math.sqrt(count)), math.ceil(math.sqrt(2 * count)) + 1)
    return min(widths, key=lambda width: -count % width)


def _draw_tiles(
    tiles: np.ndarray, columns: int, title: str, scale: Mapping[str, Any], image: np.ndarray | None = None
) -> Figure:
    """Draw pictures side by side, those of numbers (n, h, w) with a bar that tells them, behind an image."""
    rows = -(-len(tiles) // columns)
    side = min(0.55, 9 / columns, 9 / rows)  # inches
    width, height, bar = max(columns * side, 3), max(rows * side, 1.6), 0.9 if scale else 0.3
    if image is None:
        figure = new_figure(width + bar, height + 0.5)
        ax = figure.subplots()
    else:
        figure = new_figure(width + bar + 2.4, height + 0.5)
        first, ax = figure.subplots(1, 2, width_ratios=[2.4, width])
        show(first, image)
    picture = ax.imshow(_mosaic(tiles, columns), **scale)
    ax.set_title(title, fontsize=11)
    ax.axis("off")
    if scale:
        figure.colorbar(picture, ax=ax)
    return figure


def _mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles row by row with a gap of NaN, which is drawn as nothing, between them."""
    n, h, w, *colours = tiles.shape
    rows = -(-n // columns)
    gap = max(1, round(min(h, w) / 10))
    whole = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *colours), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        whole[top : top + h, left : left + w] = tile
    if not colours:
        return whole
    return np.dstack([np.nan_to_num(whole, nan=1), np.isfinite(whole[..., 0])])
