"""A model as a table: what each layer gives, holds and costs."""

from collections.abc import Iterator
from dataclasses import dataclass

from convnet.errors import SettingError
from convnet.layers import Graph, Layer

__all__ = ["Row", "Summary", "summary"]

Shape = tuple[int, ...]
Cells = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One layer: its name in the model, itself, the shape of one output, its parameters and multiply-adds an input."""

    name: str
    layer: Layer
    output_shape: Shape
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a model and their totals; a parameter that two layers share counts once in the total."""

    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int

    def __str__(self) -> str:
        table = [("", "layer", "output shape", "parameters", "multiply-adds"), *map(_cells, self.rows)]
        total = ("", "total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}")
        widths = [max(map(len, column)) for column in zip(*table, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        header, *body = [_line(cells, widths) for cells in (*table, total)]
        return "\n".join([header, rule, *body[:-1], rule, body[-1]])


def summary(model: Layer, input_shape: Shape | None = None) -> Summary:
    """Describe each layer of ``model`` for one input of ``input_shape``; nothing is computed, only shapes.

    Parameters
    ----------
    model : Layer
        A container (`Sequential`, `Parallel`, `Graph`) gets a row for each of its layers, any other layer one row.
    input_shape : tuple of int, optional
        Shape of one input without the batch; None means the ``input_shape`` of the model.

    Returns
    -------
    Summary
        ``print`` it, or read ``rows``, ``parameters`` and ``multiply_adds``.

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
       layer                        output shape   parameters  multiply-adds
    ------------------------------------------------------------------------
    0  Conv2d(3, 6, kernel_size=3)  (6, 142, 142)         168      3,266,568
    1  ReLU()                       (6, 142, 142)           0              0
    2  Flatten()                    (120984,)               0              0
    ------------------------------------------------------------------------
       total                                              168      3,266,568
    """
    if input_shape is None and isinstance(model, Graph):
        input_shape = model.input_shape
    if input_shape is None:
        raise SettingError("summary: expected an input_shape, as the model states none, got None")
    rows = tuple(_rows("", model, tuple(input_shape)))
    return Summary(rows, sum(p.size for p in model.parameters()), sum(row.multiply_adds for row in rows))


def _rows(name: str, layer: Layer, input_shape: Shape) -> Iterator[Row]:
    """Rows of a layer; those of its layers if it is a container."""
    if isinstance(layer, Graph):
        for child_name, child, before, _ in layer.walk(input_shape):
            yield from _rows(f"{name}.{child_name}" if name else child_name, child, before)
    else:
        parameters = sum(p.size for p in layer.parameters())
        yield Row(name, layer, layer.output_shape(input_shape), parameters, layer.multiply_adds(input_shape))


def _cells(row: Row) -> Cells:
    described = type(row.layer).__name__ if any(row.layer.named_children()) else repr(row.layer)
    return row.name, described, str(row.output_shape), f"{row.parameters:,}", f"{row.multiply_adds:,}"


def _line(cells: Cells, widths: list[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(texts + numbers)
