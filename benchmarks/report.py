"""Put the figures of runs into docs/performance.md, and their charts into docs/performance/.

    python benchmarks/report.py runs

takes from the folder what the programs wrote with ``--json``: networks.json and shapes.json from `compare.py`,
mnist.json, scaling.json and roofline-*.json. Each part of the page lies between two comments, as in
``<!-- scaling -->`` and ``<!-- /scaling -->``; a part that no file is for stays as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import charts
import mnist_epoch
import roofline
import scaling
import tables

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

Run = dict[str, Any]


class Part(NamedTuple):
    """What a kind of file becomes."""

    report: Callable[[Run], str]
    draw: Callable[[Run, str], None] | None = None
    title: str = ""
    """Of the chart."""


PARTS = {
    "networks": Part(tables.report, charts.chart_comparison, "Networks: times faster than the best of the others"),
    "shapes": Part(tables.report, charts.chart_comparison, "Convolutions: times faster than the best of the others"),
    "scaling": Part(scaling.report, charts.chart_scaling, "Time and memory of a training step as it grows"),
    "mnist": Part(mnist_epoch.report),
}
ROOFLINE = Part(roofline.report, charts.chart_roofline, "Time of each layer, and the least that the machine allows")


def main() -> None:
    """Write the page and the charts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder of the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page than docs/performance.md")
    options = parser.parse_args()
    text = options.page.read_text("utf-8")
    pictures = options.page.with_suffix("")
    pictures.mkdir(exist_ok=True)
    for name, part in PARTS.items():
        file = options.runs / f"{name}.json"
        if file.exists():
            text = replaced(text, name, _section(part, file, pictures))
    drawn = [_image(part, name, pictures) for name, part in PARTS.items() if (pictures / f"{name}.svg").exists()]
    text = replaced(text, "charts", "\n\n".join(drawn))
    if files := sorted(options.runs.glob("roofline-*.json")):
        text = replaced(text, "rooflines", "\n\n".join(_roofline(file, pictures) for file in files))
    options.page.write_text(text, "utf-8")


def replaced(text: str, name: str, part: str) -> str:
    """The page with something else between the two comments."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"expected the lines {begin.strip()} and {end.strip()} in the page, got a page without them")
    return f"{before}{begin}\n{part}\n\n{end}{after}"


def _section(part: Part, file: Path, pictures: Path) -> str:
    """The tables of a run; its chart is drawn on the way."""
    run = json.loads(file.read_text("utf-8"))
    if part.draw:
        part.draw(run, str(pictures / f"{file.stem}.svg"))
    return part.report(run)


def _image(part: Part, stem: str, pictures: Path) -> str:
    return f"![{part.title}]({pictures.name}/{stem}.svg)"


def _roofline(file: Path, pictures: Path) -> str:
    shown = _section(ROOFLINE, file, pictures)
    return f"### {file.stem.removeprefix('roofline-')}\n\n{_image(ROOFLINE, file.stem, pictures)}\n\n{shown}"


if __name__ == "__main__":
    main()
