"""Small plots as SVG text, for reports: lines and bars with intervals.

In: numbers and names. Out: a standalone SVG of 560 by 300 points that needs no script and no style sheet; every text is
escaped. The ground is white and the ink dark, so that it reads the same in an `img` on any page. Above:
`evaluate_report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Final

from workbench.static_view import COLOURS

WIDTH: Final = 560
HEIGHT: Final = 300
LEFT: Final = 60
RIGHT: Final = 545
TOP: Final = 40
BOTTOM: Final = 250
INK: Final = "#222222"
PALE: Final = "#dddddd"


@dataclass(frozen=True, slots=True)
class Point:
    """A value at x, with its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A line through points. dashed: something to compare with, not measured."""

    name: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value with its interval."""

    name: str
    value: float
    low: float
    high: float


def line_plot(title: str, x_title: str, y_title: str, series: Sequence[Series], *, top: float | None = None) -> str:
    """Lines over common axes; y begins at 0, x at the first point. top: the highest y, by default that of the data."""
    points = [point for one in series for point in one.points]
    if not points:
        return _svg(title, x_title, y_title, _text(RIGHT / 2, 150, "nothing was measured"))
    left, right = min(point.x for point in points), max(point.x for point in points)
    highest = top or max(point.high or point.y for point in points) or 1.0
    x, y = _scale(left, right, LEFT + 10, RIGHT - 10), _scale(0.0, highest, BOTTOM, TOP)
    parts = [_y_axis(highest, y)]
    ticks = sorted({point.x for point in series[0].points})
    shown = ticks if len(ticks) <= 9 else _ticks(left, right)
    parts += [_text(x(tick), BOTTOM + 16, _number(tick)) for tick in shown if left <= tick <= right]
    for at, one in enumerate(series):
        colour, path = COLOURS[at % len(COLOURS)], " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in one.points)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if not one.dashed and len(one.points) <= 12:
            for point in one.points:
                parts.append(f'<circle cx="{x(point.x):.1f}" cy="{y(point.y):.1f}" r="3.5" fill="{colour}"/>')
                parts.append(_whisker(x(point.x), y, point.low, point.high))
        parts.append(_key(at, one.name, colour))
    return _svg(title, x_title, y_title, "".join(parts))


def bar_plot(title: str, y_title: str, bars: Sequence[Bar], *, top: float | None = None) -> str:
    """Bars from 0 on, each with its interval and its value."""
    highest = top or max((bar.high for bar in bars), default=0.0) or 1.0
    y, slot = _scale(0.0, highest, BOTTOM, TOP), (RIGHT - LEFT) / max(1, len(bars))
    parts = [_y_axis(highest, y)]
    for at, bar in enumerate(bars):
        middle, width = LEFT + slot * (at + 0.5), min(70.0, slot * 0.6)
        parts.append(
            f'<rect x="{middle - width / 2:.1f}" y="{y(bar.value):.1f}" width="{width:.1f}" '
            f'height="{BOTTOM - y(bar.value):.1f}" fill="{COLOURS[at % len(COLOURS)]}"/>'
        )
        parts.append(_whisker(middle, y, bar.low, bar.high))
        parts.append(_text(middle + width / 2 + 4, y(bar.value) - 4, _number(bar.value), anchor="start"))
        parts.append(_text(middle, BOTTOM + 16, bar.name))
    return _svg(title, "", y_title, "".join(parts))


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From a value between low and high to a place between start and end; what is beyond stays at the edge."""
    span = (high - low) or 1.0
    return lambda value: start + (end - start) * min(1.0, max(0.0, (value - low) / span))


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers from low to high.

    >>> _ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or 1.0
    step = 10.0 ** floor(log10(span))
    step = step / 5 if span / step < 2 else step / 2 if span / step < 5 else step
    first = floor(low / step)
    return [round(step * (first + at), 10) for at in range(12) if low <= step * (first + at) <= high * (1 + 1e-9)]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _y_axis(highest: float, y: Callable[[float], float]) -> str:
    return "".join(
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{PALE}"/>'
        + _text(LEFT - 6, y(tick) + 4, _number(tick), anchor="end")
        for tick in _ticks(0.0, highest)
    )


def _whisker(x: float, y: Callable[[float], float], low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    ends = "".join(f"M{x - 4:.1f} {y(end):.1f}h8" for end in (low, high))
    return f'<path d="M{x:.1f} {y(low):.1f}V{y(high):.1f}{ends}" stroke="{INK}" fill="none"/>'


def _key(at: int, name: str, colour: str) -> str:
    """The name of a series, beside its colour, to the right of the title."""
    x = RIGHT - 76 * at
    return f'<rect x="{x - 10}" y="13" width="10" height="10" fill="{colour}"/>' + _text(x - 14, 22, name, anchor="end")


def _text(x: float, y: float, text: str, *, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{more}>{escape(text)}</text>'


def _svg(title: str, x_title: str, y_title: str, inner: str) -> str:
    turned = f' transform="rotate(-90 16 {(TOP + BOTTOM) / 2})"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        + _text(LEFT, 22, title, anchor="start", more=' font-size="14" font-weight="bold"')
        + _text((LEFT + RIGHT) / 2, HEIGHT - 14, x_title)
        + _text(16, (TOP + BOTTOM) / 2, y_title, more=turned)
        + inner
        + "</svg>"
    )
