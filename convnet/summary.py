"""A model as a table: what each layer gives, sees, holds and costs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError
from convnet.layers import Graph, Layer
from convnet.windows import Window

__all__ = ["Row", "Summary", "summary"]

Shape = tuple[int, ...]
Cells = tuple[str, ...]

_HEADER = ("", "layer", "output shape", "field", "parameters", "multiply-adds", "kept bytes")
_TEXTS = 3  # columns aligned to the left


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a model, for one input.

    Attributes
    ----------
    name : str
        In the model.
    layer : Layer
    output_shape : tuple of int
        Without the batch.
    receptive_field : (int, int)
        Height and width, in pixels of the input, of what one pixel of the output sees; through branches the largest.
        It may be larger than the image: the rest is padding.
    parameters : int
    multiply_adds : int
        With weights, of a forward pass.
    kept_bytes : int
        What a training pass keeps for the backward pass; an array that an earlier layer keeps too counts there.
    """

    name: str
    layer: Layer
    output_shape: Shape
    receptive_field: tuple[int, int]
    parameters: int
    multiply_adds: int
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a model and their totals; a parameter that two layers share counts once in the total.

    Attributes
    ----------
    rows : tuple of Row
    parameters, multiply_adds, kept_bytes : int
        Of the whole model; the last two for one input.
    weight_bytes : int
        Parameters and their gradients. An optimizer adds as much as the parameters for each array of state: SGD with
        momentum one, Adam two.
    """

    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int
    kept_bytes: int
    weight_bytes: int

    def __str__(self) -> str:
        table = [_HEADER, *map(_cells, self.rows)]
        total = ("", "total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", f"{self.kept_bytes:,}")
        widths = [max(map(len, column)) for column in zip(*table, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        header, *body = [_line(cells, widths) for cells in (*table, total)]
        memory = (
            f"training keeps {self.kept_bytes:,} bytes an image, and {self.weight_bytes:,} of weights and gradients"
        )
        return "\n".join([header, rule, *body[:-1], rule, body[-1], memory])


def summary(model: Layer, input_shape: Shape | None = None) -> Summary:
    """Describe each layer of ``model`` for one input of ``input_shape``; nothing is computed or changed, only shapes.

    Memory is that of a training pass over a batch without images, which every layer takes: the arrays are there, with
    their shapes. `Trainer` fuses layers and needs less.

    Parameters
    ----------
    model : Layer
        A container (`Sequential`, `Parallel`, `Graph`) gets a row for each of its layers, any other layer one row.
    input_shape : tuple of int, optional
        Shape of one input without the batch; None means the ``input_shape`` of the model.

    Returns
    -------
    Summary
        ``print`` it, or read ``rows``, ``parameters``, ``multiply_adds``, ``kept_bytes`` and ``weight_bytes``.

    Raises
    ------
    ShapeError
        If the layers do not fit the input or each other.
    SettingError
        If neither the caller nor the model gives an input shape.

    Examples
    --------
    >>> from convnet.layers import Conv2d, Flatten, ReLU, Sequential
    >>> print(summary(Sequential(Conv2d(3, 6, 3), ReLU(), Flatten()), (3, 144, 144)))
       layer                        output shape   field  parameters  multiply-adds  kept bytes
    -------------------------------------------------------------------------------------------
    0  Conv2d(3, 6, kernel_size=3)  (6, 142, 142)      3         168      3,266,568     248,832
    1  ReLU()                       (6, 142, 142)      3           0              0     483,936
    2  Flatten()                    (120984,)        144           0              0           0
    -------------------------------------------------------------------------------------------
       total                                                     168      3,266,568     732,768
    training keeps 732,768 bytes an image, and 1,344 of weights and gradients
    """
    if input_shape is None and isinstance(model, Graph):
        input_shape = model.input_shape
    if input_shape is None:
        raise SettingError("summary: expected an input_shape, as the model states none, got None")
    shape = tuple(input_shape)
    model.output_shape(shape)
    rows = tuple(_rows("", model, shape, Window(), _kept(model, shape), set()))
    parameters = model.parameters()
    return Summary(
        rows,
        sum(p.size for p in parameters),
        sum(row.multiply_adds for row in rows),
        sum(row.kept_bytes for row in rows),
        sum(2 * p.value.nbytes for p in parameters),
    )


def _kept(model: Layer, input_shape: Shape) -> Context:
    """What a training pass over a batch without images leaves."""
    parameters = model.parameters()
    ctx = Context(wants_dx=False)
    model.forward(np.empty((0, *input_shape), parameters[0].dtype if parameters else np.float32), ctx)
    return ctx


def _rows(name: str, layer: Layer, input_shape: Shape, seen: Window, ctx: Context, counted: set[int]) -> Iterator[Row]:
    """Rows of a layer whose input sees ``seen``; those of its layers if it is a container."""
    if isinstance(layer, Graph):
        windows = {layer.input: seen}
        for child_name, child, before, _ in layer.walk(input_shape):
            full = f"{name}.{child_name}" if name else child_name
            window = layer.seen_by(child_name, windows)
            yield from _rows(full, child, before, window, ctx.child(child_name), counted)
            windows[child_name] = window.then(child.window(before))
    else:
        yield Row(
            name,
            layer,
            layer.output_shape(input_shape),
            seen.then(layer.window(input_shape)).size,
            sum(p.size for p in layer.parameters()),
            layer.multiply_adds(input_shape),
            _bytes_an_input(ctx, counted),
        )


def _bytes_an_input(ctx: Context, counted: set[int]) -> int:
    """Bytes that arrays held in a context of a batch without images would have with one; each counts once."""
    arrays = {id(array): array for array in ctx.arrays() if id(array) not in counted}
    counted.update(arrays)
    return sum(math.prod(size or 1 for size in array.shape) * array.itemsize for array in arrays.values())


def _cells(row: Row) -> Cells:
    described = type(row.layer).__name__ if any(row.layer.named_children()) else repr(row.layer)
    height, width = row.receptive_field
    field = str(height) if height == width else f"{height}x{width}"
    counts = (row.parameters, row.multiply_adds, row.kept_bytes)
    return row.name, described, str(row.output_shape), field, *(f"{count:,}" for count in counts)


def _line(cells: Cells, widths: list[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells[:_TEXTS], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[_TEXTS:], widths[_TEXTS:], strict=True)]
    return "  ".join(texts + numbers)
