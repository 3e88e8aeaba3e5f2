"""Curves as SVG."""

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["chart"]

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 30

Column = Sequence[float | None]


def chart(title: str, epochs: Sequence[float], curves: Mapping[str, Column], best: float | None, percent: bool) -> str:
    """One or two curves over the epochs.

    Parameters
    ----------
    title : str
    epochs : sequence of float
    curves : mapping of str to sequence
        A number an epoch, or None. Nothing is drawn without a number.
    best : float, optional
        An epoch to mark.
    percent : bool
        Whether numbers are parts of one.
    """
    points = {
        name: [(x, y) for x, y in zip(epochs, column, strict=True) if y is not None and math.isfinite(y)]
        for name, column in curves.items()
    }
    points = {name: pairs for name, pairs in points.items() if pairs}
    if not points:
        return ""
    values = [y for pairs in points.values() for _, y in pairs]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    first, last = (min(epochs), max(epochs)) if len(epochs) > 1 else (epochs[0] - 0.5, epochs[0] + 0.5)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - first) / (last - first)
        return round(across, 1), round(TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low), 1)

    parts = []
    for tick in ticks:
        _, y = place(first, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_label(tick, percent, ticks)}</text>')
    for epoch in _epoch_ticks(epochs):
        x, _ = place(epoch, low)
        parts.append(f'<text x="{x}" y="{HEIGHT - 10}" text-anchor="middle">{epoch:g}</text>')
    if best is not None:
        x, _ = place(best, low)
        parts.append(
            f'<line class="best" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"><title>best</title></line>'
        )
    key = ""
    for (name, pairs), style in zip(points.items(), ("first", "second"), strict=False):
        at = [place(x, y) for x, y in pairs]
        if len(at) > 1:
            parts.append(f'<path class="{style}" d="M{" L".join(f"{x} {y}" for x, y in at)}"/>')
        radius = 4 if len(at) == 1 else 2.5 if len(at) <= 60 else 1.5
        for (x, y), (epoch, value) in zip(at, pairs, strict=True):
            told = f"{name or title}, epoch {epoch:g}: {f'{100 * value:.2f} %' if percent else f'{value:.4g}'}"
            parts.append(
                f'<circle class="{style}" cx="{x}" cy="{y}" r="{radius}"><title>{escape(told)}</title></circle>'
            )
        colour = "right" if style == "first" else "wrong"
        key += f'<i style="background: var(--{colour})"></i>{escape(name)}' if len(curves) > 1 else ""
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f'<figure><figcaption>{escape(title)} <span class="key">{key}</span></figcaption>{picture}</figure>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to six round numbers around all values."""
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= 5)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(start, max(end, start + 1) + 1)]


def _label(value: float, percent: bool, ticks: Sequence[float]) -> str:
    step = (ticks[1] - ticks[0]) * (100 if percent else 1)
    if not percent and (step < 1e-4 or step >= 1e5):
        return f"{value:.2g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += round(step * 10**digits, 6) != round(step * 10**digits)  # a step of 2.5
    return f"{100 * value:.{digits}f} %" if percent else f"{value:.{digits}f}"


def _epoch_ticks(epochs: Sequence[float]) -> list[float]:
    """At most eight of them, the first and the last with them if there is room."""
    every = next(
        step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000) if len(epochs) / step <= 8 or step == 5000
    )
    return [epoch for epoch in epochs if epoch % every == 0 or (epoch == 1 and every > 1)]
