"""A table of how well each class was told."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from convnet.errors import ShapeError
from convnet.metrics._classes import confusion_matrix
from convnet.metrics._scores import Average, averaged, f1_of, precision_of, recall_of

__all__ = ["ClassificationReport", "ReportRow", "classification_report"]

_AVERAGES: tuple[Average, Average] = ("macro", "weighted")
_HEADER: tuple[str, ...] = ("", "precision", "recall", "f1", "images")


class ReportRow(NamedTuple):
    """The scores of a class, or their averages."""

    name: str
    precision: float
    recall: float
    f1: float
    images: int


class ClassificationReport:
    """Precision, recall, F1 and number of images of each class, their averages, and the accuracy.

    Parameters
    ----------
    matrix : ndarray of shape (classes, classes)
        A `confusion_matrix`.
    classes : sequence of str, optional
        The names of the classes; by default their indices.
    zero_division : float
        As in `precision`.

    Attributes
    ----------
    rows : tuple of ReportRow
        ``(name, precision, recall, f1, images)`` of each class.
    macro, weighted : ReportRow
        Averages over the classes that occur, as in `precision`.
    accuracy : float

    Raises
    ------
    ShapeError
        If the matrix is not square, holds nothing, or has another size than there are names.
    """

    def __init__(self, matrix: np.ndarray, classes: Sequence[str] | None = None, zero_division: float = 0.0) -> None:
        matrix = np.asarray(matrix)
        names = list(map(str, range(len(matrix)) if classes is None else classes))
        if matrix.shape != (len(names), len(names)) or not matrix.any():
            expected = f"a confusion matrix of shape {(len(names), len(names))} that counts something"
            raise ShapeError(f"classification_report: expected {expected}, got shape {matrix.shape}")
        scores = [of(matrix, zero_division) for of in (precision_of, recall_of, f1_of)]
        images, total = matrix.sum(axis=1), int(matrix.sum())
        columns = (names, *(score.tolist() for score in scores), images.tolist())
        self.rows = tuple(map(ReportRow._make, zip(*columns, strict=True)))
        macro, weighted = ([averaged(score, matrix, kind) for score in scores] for kind in _AVERAGES)
        self.macro = ReportRow._make(("macro average", *macro, total))
        self.weighted = ReportRow._make(("weighted average", *weighted, total))
        self.accuracy = float(matrix.trace() / total)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        summary = {"accuracy": self.accuracy, "macro": self.macro._asdict(), "weighted": self.weighted._asdict()}
        return {"classes": [row._asdict() for row in self.rows], **summary}

    def __str__(self) -> str:
        summary: list[tuple[str, ...]] = [("accuracy", "", "", f"{self.accuracy:.4f}", f"{self.macro.images:,}")]
        summary += [_cells(row) for row in (self.macro, self.weighted)]
        table = [_HEADER, *map(_cells, self.rows), *summary]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([lines[0], rule, *lines[1:-3], rule, *lines[-3:]])


def classification_report(
    outputs: np.ndarray, targets: np.ndarray, classes: Sequence[str] | None = None, zero_division: float = 0.0
) -> ClassificationReport:
    """Tell how well each class was told.

    Parameters
    ----------
    outputs, targets : ndarray
        As in `correct`.
    classes : sequence of str, optional
        The names of the classes; by default their indices.
    zero_division : float
        As in `precision`.

    Returns
    -------
    ClassificationReport
        ``print`` it, or read ``rows``, ``macro``, ``weighted`` and ``accuracy``.

    Raises
    ------
    ShapeError, DTypeError, DataError, SettingError

    Examples
    --------
    >>> print(classification_report(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), ["cat", "dog"]))
                      precision  recall      f1  images
    ---------------------------------------------------
    cat                  1.0000  0.5000  0.6667       2
    dog                  0.6667  1.0000  0.8000       2
    ---------------------------------------------------
    accuracy                             0.7500       4
    macro average        0.8333  0.7500  0.7333       4
    weighted average     0.8333  0.7500  0.7333       4
    """
    matrix = confusion_matrix(outputs, targets, None if classes is None else len(classes))
    return ClassificationReport(matrix, classes, zero_division)


def _cells(row: ReportRow) -> tuple[str, ...]:
    return row.name, *(f"{score:.4f}" for score in row[1:4]), f"{row.images:,}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers])
