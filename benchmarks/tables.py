"""The figures of a comparison as Markdown tables, aligned to be read as they are too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import machine
from sides import OURS, SIDES

TITLES = {
    "step": "Training step, milliseconds",
    "inference": "Inference, milliseconds",
    "forward": "Convolution, forward, milliseconds",
    "data gradient": "Convolution, gradient of the data, milliseconds",
    "weight gradient": "Convolution, gradient of the weights, milliseconds",
}


def report(run: dict[str, Any]) -> str:
    """All tables of a run, and the machine it ran on."""
    parts = [_conditions(run)]
    for kind, title in TITLES.items():
        cases = [case for case in run["cases"] if case["kind"] == kind]
        if cases:
            parts.append(f"### {title}\n\n{_times(cases, run['peak_gflops'])}")
    if measured := [case for case in run["cases"] if case.get("memory")]:
        parts.append(f"### Training step, peak memory in MB\n\n{_memory(measured)}")
    if reasons := _reasons(run):
        parts.append("Left out:\n\n" + "\n".join(f"* {reason}" for reason in reasons))
    return "\n\n".join(parts)


def best_other(figures: dict[str, float]) -> str | None:
    """The side, other than ours, with the smallest figure."""
    return min((name for name in figures if name != OURS), key=figures.__getitem__, default=None)


def medians(case: dict[str, Any]) -> dict[str, float]:
    """Milliseconds by side."""
    return {name: times["ms"] for name, times in case["sides"].items()}


def _conditions(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    peak = f" Peak {run['peak_gflops']:.0f} GFLOP/s." if run["peak_gflops"] else ""
    return f"{machine.in_words(run['machine'])}{peak} Versions: {versions}."


def _times(cases: Sequence[dict[str, Any]], peak: float | None) -> str:
    present = [name for name in SIDES if any(name in case["sides"] for case in cases)]
    head = ["", "batch", *present, "times faster", "than", "GFLOP/s"]
    rows = [_time_row(case, present) for case in cases]
    if peak:
        head.append("% of peak")
        rows = [[*row, f"{100 * _rate(case) / peak:.0f}"] for row, case in zip(rows, cases, strict=True)]
    if any(case["algorithm"] for case in cases):
        head.append("algorithm")
        rows = [[*row, case["algorithm"] or "–"] for row, case in zip(rows, cases, strict=True)]
    return table(head, rows)


def _time_row(case: dict[str, Any], present: Sequence[str]) -> list[str]:
    times = medians(case)
    other = best_other(times)
    ratio = ["–", "–"] if other is None else [f"{times[other] / times[OURS]:.2f}", other]
    figures = [three_digits(times[name]) if name in times else "–" for name in present]
    return [case["name"], str(case["batch"]), *figures, *ratio, f"{_rate(case):.0f}"]


def _rate(case: dict[str, Any]) -> float:
    """GFLOP/s, counting the operations of the direct convolution whatever the algorithm."""
    return 1e-6 * case["flops"] / medians(case)[OURS]


def _memory(cases: Sequence[dict[str, Any]]) -> str:
    present = [name for name in SIDES if any(name in case["memory"] for case in cases)]
    rows = []
    for case in cases:
        peaks = {name: value / 1e6 for name, value in case["memory"].items()}
        other = best_other(peaks)
        ratio = ["–", "–"] if other is None or OURS not in peaks else [f"{peaks[other] / peaks[OURS]:.2f}", other]
        figures = [three_digits(peaks[name]) if name in peaks else "–" for name in present]
        rows.append([case["name"], str(case["batch"]), *figures, *ratio])
    return table(["", "batch", *present, "times less", "than"], rows)


def _reasons(run: dict[str, Any]) -> list[str]:
    absent = [f"{name}: {reason}" for name, reason in run["absent"].items()]
    skipped = [
        f"{name} in {case['kind']} {case['name']}: {reason}"
        for case in run["cases"]
        for name, reason in case["skipped"].items()
    ]
    return absent + skipped


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], *rows]
    return "\n".join("| " + " | ".join(_aligned(line, widths)) + " |" for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cells[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]


def three_digits(figure: float) -> str:
    """A figure with the digits that a timing deserves."""
    decimals = 0 if figure >= 99.95 else 1 if figure >= 9.995 else 2 if figure >= 0.9995 else 3
    return f"{figure:,.{decimals}f}"
