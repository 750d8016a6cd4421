"""A picture of the run: messages a second of each sender, near and far. Plain SVG."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from bench.cases import SENDERS
from bench.results import FOLDER, CaseResult, Results

PLOT: Final = FOLDER / "bench.svg"
_PANELS: Final = (("base", "no round trip"), ("1 ms", "1 ms"), ("10 ms", "10 ms"))
_WIDTH: Final = 760
_LEFT: Final = 290
_RIGHT: Final = 70
_BAR: Final = 18
_STEP: Final = 25
_TITLE: Final = 34
_OURS: Final = "#0b6e5a"
_LIMIT: Final = "#9aa5b1"
_OTHERS: Final = "#d3d9df"
_INK: Final = "#1f2933"


def write_plot(results: Results, path: Path = PLOT) -> None:
    """Draw one panel for each round trip, each to its own scale."""
    drawn: list[str] = []
    top = 8
    for name, title in _PANELS:
        case = results.case(name)
        drawn += _panel(case, f"40 KB, 10 connections, {title}: messages a second", top)
        top += _TITLE + _STEP * len(case.rows) + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}">\n'
        f'<rect width="{_WIDTH}" height="{top}" fill="white"/>\n'
    )
    path.write_text(head + "\n".join(drawn) + "\n</svg>\n", encoding="utf-8")


def _panel(case: CaseResult, title: str, top: int) -> Iterator[str]:
    longest = max(row.rate for row in case.rows)
    yield f'<text x="12" y="{top + 20}" font-weight="600">{escape(title)}</text>'
    for number, row in enumerate(case.rows):
        y = top + _TITLE + number * _STEP
        width = max(1.0, row.rate / longest * (_WIDTH - _LEFT - _RIGHT))
        name = f"({row.sender}) {SENDERS[row.sender]}"  # type: ignore[index]
        weight = ' font-weight="600"' if row.sender in "bc" else ""
        base = y + _BAR - 5
        yield f'<text x="{_LEFT - 10}" y="{base}" text-anchor="end"{weight}>{escape(name)}</text>'
        yield (
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" '
            f'fill="{_colour(row.sender)}"/>'
        )
        yield f'<text x="{_LEFT + width + 6:.1f}" y="{base}"{weight}>{row.rate:,.0f}</text>'


def _colour(sender: str) -> str:
    return _OURS if sender in "bc" else _LIMIT if sender == "a" else _OTHERS
