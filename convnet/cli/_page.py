"""A page of HTML that needs nothing but itself: no network, no scripts, light and dark."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["page", "section", "table", "tiles"]

STYLE = """
:root { color-scheme: light dark; --text: #1c2330; --soft: #5b6575; --line: #dfe3ea; --paper: #ffffff;
  --card: #f6f7f9; --right: #1f6fb2; --wrong: #c8500a; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --soft: #9aa5b4; --line: #333b47; --paper: #14181e;
  --card: #1c222b; --right: #5aa9e6; --wrong: #f08a4b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--paper); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.15rem; }
p { margin: .25rem 0 .75rem; color: var(--soft); max-width: 46rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 1.5rem 0 0; }
.tiles div { background: var(--card); border-radius: .6rem; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
.charts figure { margin: 0; background: var(--card); border-radius: .6rem; padding: .75rem; }
figcaption { font-weight: 600; font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .first { stroke: var(--right); } svg .second { stroke: var(--wrong); }
svg circle.first { fill: var(--right); } svg circle.second { fill: var(--wrong); }
svg .best { stroke: var(--soft); stroke-dasharray: 3 3; }
.key { float: right; font-weight: 400; color: var(--soft); font-size: .8rem; }
.key i { display: inline-block; width: .9em; height: .2em; vertical-align: middle; margin: 0 .35em 0 .8em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 500; }
tbody th { color: var(--text); font-weight: 400; }
table.words td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.words td:first-child { color: var(--soft); white-space: nowrap; vertical-align: top; }
.bar { display: inline-block; width: 3rem; height: .5rem; border-radius: .25rem; background: var(--line);
  vertical-align: middle; margin-left: .6rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--right); }
table.matrix { border-collapse: separate; border-spacing: 2px; font-size: .8rem; }
table.matrix td, table.matrix th { border: 0; padding: .2rem .45rem; text-align: center; min-width: 2.4rem; }
table.matrix tbody th { text-align: right; }
table.matrix thead th { vertical-align: bottom; }
table.matrix thead .long span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 9rem; }
table.matrix td { border-radius: .25rem; background: color-mix(in srgb, var(--wrong) var(--share), var(--card)); }
table.matrix td.right { background: color-mix(in srgb, var(--right) var(--share), var(--card)); }
table.matrix td.none { color: transparent; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .9rem; }
.mistakes figure { margin: 0; background: var(--card); border-radius: .6rem; padding: .5rem; font-size: .82rem; }
.mistakes img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: .35rem; }
.mistakes img.small { image-rendering: pixelated; }
.mistakes figcaption { font-size: .82rem; font-weight: 400; margin-top: .35rem; line-height: 1.35; }
.mistakes small { display: block; color: var(--soft); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.told { color: var(--wrong); font-weight: 600; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 31rem), 1fr));
  gap: 0 2.5rem; }
@media (max-width: 32rem) { .bar { display: none; } th, td { padding: .28rem .3rem; } }
@media print { body { max-width: none; } .mistakes figure, .charts figure { break-inside: avoid; } }
"""


def page(title: str, *parts: str) -> str:
    """A whole page."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{escape(title)}</title>"
    body = "\n".join(filter(None, parts))
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def section(title: str, text: str, *parts: str) -> str:
    """A heading, a sentence (which may be empty), and what belongs to it; nothing without that."""
    content = "\n".join(filter(None, parts))
    if not content:
        return ""
    words = f"<p>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{words}\n{content}</section>"


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Numbers, large, each with what it is."""
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in figures)
    return f'<div class="tiles">{cells}</div>'


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), kind: str = "") -> str:
    """Rows of HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table class="{kind}">{top}<tbody>{body}</tbody></table></div>'
