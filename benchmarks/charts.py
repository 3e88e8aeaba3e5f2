"""Charts of the figures that `compare.py`, `scaling.py` and `roofline.py` measured: SVG or PNG, as the file is called.

The same figures give the same SVG, byte for byte, with text as text.
"""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib
from machine import in_words
from roofline import bound_ms
from sides import OURS
from tables import TITLES, best_other, medians

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "convnet", "font.sans-serif": ["DejaVu Sans"]})

LEAST_SHARE = 0.01
"""Of the step: what takes less is not drawn."""
PASS_COLOURS = {"forward": "tab:blue", "backward": "tab:orange", "update": "tab:green"}


def chart_comparison(run: dict[str, Any], file: str) -> None:
    """Draw how many times faster convnet is than the best other side: one bar a case, one panel a kind of work."""
    kinds = {kind: _ratios(run, kind) for kind in TITLES}
    kinds = {kind: ratios for kind, ratios in kinds.items() if ratios}
    heights = [len(ratios) + 1.5 for ratios in kinds.values()]
    figure, panels = plt.subplots(
        len(kinds),
        sharex=True,
        squeeze=False,
        figsize=(9, 0.3 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for panel, (kind, ratios) in zip(panels[:, 0], kinds.items(), strict=True):
        _bars(panel, ratios)
        panel.set_title(TITLES[kind].removesuffix(", milliseconds"), loc="left", fontsize=10)
    panels[-1, 0].set_xlim(0, 1.3 * max(1.0, *(ratio for ratios in kinds.values() for _, ratio, _ in ratios)))
    panels[-1, 0].set_xlabel("times faster than the best of the others")
    figure.suptitle(f"convnet against the others: {in_words(run['machine'])}", fontsize=9)
    _save(figure, file)


def _save(figure: Any, file: str) -> None:
    figure.savefig(file, dpi=150, metadata={"Date": None} if file.endswith(".svg") else None)
    plt.close(figure)


def _ratios(run: dict[str, Any], kind: str) -> list[tuple[str, float, str]]:
    """Label, ratio and best other side of each case of a kind."""
    ratios = []
    for case in run["cases"]:
        times = medians(case)
        other = best_other(times)
        if case["kind"] == kind and other is not None:
            label = case["name"] if kind not in ("step", "inference") else f"{case['name']}, batch {case['batch']}"
            ratios.append((label, times[other] / times[OURS], other))
    return ratios


def _bars(panel: Any, ratios: list[tuple[str, float, str]]) -> None:
    labels, values, others = zip(*ratios, strict=True)
    colours = ["tab:blue" if value >= 1 else "tab:red" for value in values]
    bars = panel.barh(range(len(values)), values, color=colours)
    panel.bar_label(bars, [f"{v:.2f}  {other}" for v, other in zip(values, others, strict=True)], padding=3, fontsize=8)
    panel.set_yticks(range(len(values)), labels, fontsize=8)
    panel.invert_yaxis()
    panel.axvline(1, color="silver", linewidth=0.8, zorder=0)
    panel.spines[["top", "right"]].set_visible(False)


def chart_scaling(run: dict[str, Any], file: str) -> None:
    """Draw time and memory of each sweep, both axes logarithmic: one column a sweep, the dashed line is the work."""
    sweeps = run["sweeps"]
    figure, panels = plt.subplots(
        2, len(sweeps), squeeze=False, sharex="col", figsize=(0.5 + 2.7 * len(sweeps), 6), layout="constrained"
    )
    for (above, below), (name, sweep) in zip(panels.T, sweeps.items(), strict=True):
        _growth(above, sweep["points"], "ms", 1)
        _growth(below, sweep["points"], "memory", 1e-6)
        above.set_title("\n".join(textwrap.wrap(sweep["title"], 30)), fontsize=9)
        above.tick_params(bottom=False)
        below.set_xlabel(name)
    figure.suptitle(f"Training steps of convnet: {in_words(run['machine'])}", fontsize=9)
    panels[0, 0].set_ylabel("milliseconds a step")
    panels[1, 0].set_ylabel("peak memory, MB")
    _save(figure, file)


def _growth(panel: Any, points: list[dict[str, Any]], what: str, scale: float) -> None:
    measured = [point for point in points if point[what]]
    x, y = [point["x"] for point in measured], [scale * point[what] for point in measured]
    if what == "ms":
        ideal = [point["work"] * y[-1] / measured[-1]["work"] for point in measured]
        panel.plot(x, ideal, "--", color="grey", linewidth=0.8)
    panel.plot(x, y, "o-", markersize=3)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2 if max(y) < 16 * min(y) else 10)
    panel.set_ylim(min(y) / 1.5, 1.5 * max(y))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    panel.tick_params(left=False)
    panel.grid(axis="y", alpha=0.3)


def chart_roofline(run: dict[str, Any], file: str) -> None:
    """Draw the time of each layer, forward and backward, and the least that the machine allows."""
    rows = [row for row in run["rows"] if _ms(row) >= LEAST_SHARE * run["step_ms"]]
    figure, panel = plt.subplots(figsize=(9, 1.2 + 0.22 * len(rows)), layout="constrained")
    begun = [0.0] * len(rows)
    for which, colour in PASS_COLOURS.items():
        ms = [row["passes"].get(which, {"ms": 0.0})["ms"] for row in rows]
        panel.barh(range(len(rows)), ms, left=begun, color=colour, label=which)
        begun = [start + length for start, length in zip(begun, ms, strict=True)]
    least = [sum(bound_ms(run, figures) for figures in row["passes"].values()) for row in rows]
    panel.scatter(least, range(len(rows)), marker="|", s=90, color="black", label="roofline: the least", zorder=3)
    panel.set_yticks(range(len(rows)), [f"{row['name']} {row.get('type', '')}" for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("milliseconds a step")
    title = f"{run['network']}, {run['batch']} images a step: what takes 1 % and more\n{in_words(run['machine'])}"
    panel.set_title(title, loc="left", fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=8)
    _save(figure, file)


def _ms(row: dict[str, Any]) -> float:
    return float(sum(figures["ms"] for figures in row["passes"].values()))
