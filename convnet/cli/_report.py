"""The report of a run: one page that shows how the training went and what the model gets wrong."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from convnet.cli._answers import Answers, Mistake
from convnet.cli._chart import chart
from convnet.cli._data import Data
from convnet.cli._page import page, section, table, tiles
from convnet.cli._recipe import number
from convnet.cli._settings import Settings
from convnet.layers import Frozen, Layer
from convnet.parameter import Parameter
from convnet.versions import show_versions

if TYPE_CHECKING:
    from convnet.training import Trainer

__all__ = ["Report"]

MOST_CLASSES = 32
"""A matrix of more does not fit on a page."""

SIDE_BY_SIDE = 12
"""Classes whose table and matrix are narrow enough to stand beside each other."""

PAIRS = 12
"""Mix-ups that are named."""


class Report:
    """What is known at the end of a run, as a page.

    Parameters
    ----------
    settings : Settings
    data : Data
    trainer : Trainer
    told : Answers
        On what was held out.
    name : str
        What these images are called.
    """

    def __init__(self, settings: Settings, data: Data, trainer: "Trainer", told: Answers, name: str) -> None:
        self.settings, self.data, self.trainer, self.told, self.name = settings, data, trainer, told, name
        self.history = trainer.history

    def html(self) -> str:
        """The page."""
        title = f"{self.settings.model} on {self.settings.data}"
        return page(
            title,
            f"<header><h1>{escape(title)}</h1></header>",
            tiles(self._figures()),
            section("Training", self._about_curves(), self._curves()),
            _side_by_side(
                section("Classes", self._about_classes(), self._classes()),
                section("What was taken for what", _about_matrix(self.told.matrix), self._matrix(), self._pairs()),
                when=len(self.data.classes) <= SIDE_BY_SIDE,
            ),
            section("Worst mistakes", "The images that were most surely taken for something else.", self._mistakes()),
            _side_by_side(
                section("Settings", "", self._settings()), section("Environment", "", _words(dict(show_versions())))
            ),
        )

    def _best(self) -> int | None:
        return self.history.best(self.settings.monitor or self.history.monitored) if self.history else None

    def _figures(self) -> list[tuple[str, str]]:
        told, best = self.told, self._best()
        figures = [
            (f"accuracy on {told.images:,} {self.name}", f"{100 * told.accuracy:.2f} %"),
            ("loss on them", f"{told.loss:.4f}"),
        ]
        if told.top_5 is not None:
            figures.append(("right class among the first five", f"{100 * told.top_5:.2f} %"))
        figures.append((f"training {self.data.noun}", f"{number(self.data.train):,}"))
        if best is not None:
            figures.append((f"epochs, the best one number {best + 1}", str(len(self.history))))
        figures.append(_parameters(self.trainer.model))
        figures.append(("training time", _time(sum(epoch.seconds for epoch in self.history))))
        return figures

    def _about_curves(self) -> str:
        monitor = (self.settings.monitor or "").replace("val_", "validation ")
        return f"The weights of the epoch with the best {monitor} are kept, at the dashed line." if self.history else ""

    def _curves(self) -> str:
        columns = self.history.as_dict()
        epochs = [epoch.epoch for epoch in self.history]
        best = self._best()
        mark = None if best is None else epochs[best]
        charts = (
            [
                chart("loss", epochs, {"training": columns["loss"], "validation": columns["val_loss"]}, mark, False),
                chart(
                    "accuracy",
                    epochs,
                    {"training": columns["accuracy"], "validation": columns["val_accuracy"]},
                    mark,
                    True,
                ),
                chart("learning rate of the last step", epochs, {"": columns["learning_rate"]}, mark, False),
            ]
            if epochs
            else []
        )
        return f'<div class="charts">{"".join(charts)}</div>' if charts else ""

    def _about_classes(self) -> str:
        chosen = self.data.test is None and self.data.validation is not None
        caution = " The weights were chosen by them: on others the model will do a little worse." if chosen else ""
        return f"Of {self.told.images:,} {self.name}.{caution}"

    def _classes(self) -> str:
        report = self.told.table
        rows = [_class_row(row) for row in report.rows]
        rows += [_class_row(row) for row in (report.macro, report.weighted)]
        return table(rows, ("", "precision", "recall", "F1", "images"))

    def _matrix(self) -> str:
        matrix, names = self.told.matrix, self.data.classes
        if len(names) > MOST_CLASSES:
            return ""
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        kind = ' class="long"' if max(map(len, names)) > 3 else ""
        head = "".join(f'<th scope="col"{kind}><span>{escape(name)}</span></th>' for name in names)
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th>'
            + "".join(_cell(matrix, shares, names, i, j) for j in range(len(names)))
            + "</tr>"
            for i, name in enumerate(names)
        )
        top = f"<thead><tr><th></th>{head}</tr></thead>"
        return f'<div class="scroll"><table class="matrix">{top}<tbody>{rows}</tbody></table></div>'

    def _pairs(self) -> str:
        names, wrong = self.data.classes, self.told.matrix.copy()
        if len(names) <= 10:
            return ""  # the matrix shows it
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
        pairs = [divmod(int(at), len(names)) for at in order if wrong.flat[at]]
        rows = [(escape(names[i]), escape(names[j]), f"{wrong[i, j]:,}") for i, j in pairs]
        return table(rows, ("most often", "taken for", "times")) if rows else ""

    def _mistakes(self) -> str:
        if not self.told.mistakes:
            return ""
        try:
            import PIL.Image  # noqa: F401 - is it there?
        except ImportError:
            return '<p>The pictures need Pillow: pip install "convnet-cpu[images]".</p>'
        return f'<div class="mistakes">{"".join(map(_figure, self.told.mistakes))}</div>'

    def _settings(self) -> str:
        values: dict[str, Any] = {each.name: getattr(self.settings, each.name) for each in fields(Settings)}
        values |= dict(values.pop("model_options"))
        return _words({name.replace("_", " "): _word(value) for name, value in values.items()})


def _parameters(model: Layer) -> tuple[str, str]:
    """How many there are, and how many are trained."""
    trained = sum(parameter.size for parameter in model.parameters())
    frozen = sum(parameter.size for parameter in _frozen(model))
    return (f"parameters, {trained:,} of them trained" if frozen else "parameters", f"{trained + frozen:,}")


def _frozen(layer: Layer) -> Iterator[Parameter]:
    if isinstance(layer, Frozen):
        yield from layer.layer.parameters()
    for _, child in layer.named_children():
        yield from _frozen(child)


def _side_by_side(*parts: str, when: bool = True) -> str:
    content = "\n".join(parts)
    return f'<div class="columns">{content}</div>' if when else content


def _about_matrix(matrix: np.ndarray) -> str:
    n, wrong = int(matrix.sum()), int(matrix.sum() - np.trace(matrix))
    return f"{wrong:,} of {n:,} wrong. A row is what the images are, a column what they were taken for."


def _class_row(row: Any) -> tuple[str, ...]:
    bar = f'<span class="bar"><i style="width: {100 * row.f1:.1f}%"></i></span>'
    scores = (f"{100 * score:.1f} %" for score in (row.precision, row.recall))
    return escape(row.name), *scores, f"{100 * row.f1:.1f} %{bar}", f"{row.images:,}"


def _cell(matrix: np.ndarray, shares: np.ndarray, names: Sequence[str], i: int, j: int) -> str:
    number, share = int(matrix[i, j]), float(shares[i, j])
    kind = "right" if i == j else "wrong" if number else "none"
    strength = 60 * share if i == j else (12 + 70 * share**0.5) * (number > 0)  # single mistakes must show
    title = escape(f"{names[i]}, taken for {names[j]}: {number:,} ({100 * share:.1f} %)")
    return f'<td class="{kind}" style="--share: {strength:.0f}%" title="{title}">{number:,}</td>'


def _figure(mistake: Mistake) -> str:
    height, width = mistake.image.shape[1:]
    small = ' class="small"' if max(height, width) < 130 else ""
    picture = f'<img{small} src="{_data_uri(mistake.image)}" alt="{escape(mistake.true)}" loading="lazy">'
    told = f'<span class="told">{escape(mistake.told)}</span> {100 * mistake.probability:.1f}&nbsp;%'
    words = f"{escape(mistake.true)}, taken for {told}"
    name = escape(mistake.name)
    return f'<figure>{picture}<figcaption>{words}<small title="{name}">{name}</small></figcaption></figure>'


def _data_uri(image: np.ndarray) -> str:
    """A uint8 image (c, h, w), as it stands in the page; a photograph as JPEG, a small one without loss."""
    import PIL.Image

    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    kind = "png" if max(pixels.shape[:2]) < 130 else "jpeg"
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(file, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _words(values: dict[str, str]) -> str:
    return table([(escape(name), escape(value)) for name, value in values.items()], kind="words")


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return str(value)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
