"""Small SVG pictures in the colours of the page around them: parallel coordinates, scatter, bars."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from mlops_workbench.base.values import cell, is_number

_BLUE = "#3b82d0"
_ORANGE = "#d1873d"
_FONT = 'font-family="inherit" font-size="11" fill="currentColor"'
_MOST_LINES = 500

ParallelRows = Sequence[tuple[str, Sequence[Any]]]


def _svg(wide: float, high: float, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="max-width:100%;height:auto;display:block;'
        f'margin:8px 0" role="img"><title>{html.escape(title)}</title>{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT} {extra}>{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="currentColor" stroke-opacity=".3"/>'
    )


class _Axis:
    """Values to places between 0 and 1: numbers by size (by magnitude where they span a hundredfold, as rates and
    penalties do), anything else each at its own place."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        known = [v for v in values if v is not None]
        self.numbers = bool(known) and all(is_number(v) and math.isfinite(v) for v in known)
        if self.numbers:
            self.low, self.high = min(known), max(known)
            self.logarithmic = self.low > 0 and self.high >= 100 * self.low
            self.ticks = _powers(self.low, self.high) if self.logarithmic else _ticks(self.low, self.high)
        else:
            self.levels = sorted({str(v) for v in known})
            self.ticks = []

    def place(self, value: Any) -> float | None:
        if value is None:
            return None
        if self.numbers:
            scale = math.log if self.logarithmic else float
            low, high = scale(self.low), scale(self.high)
            return 0.5 if high == low else (scale(value) - low) / (high - low)
        return 0.5 if len(self.levels) == 1 else self.levels.index(str(value)) / (len(self.levels) - 1)

    def marks(self) -> list[tuple[float, str]]:
        if self.numbers:
            return [(self.place(tick) or 0.0, cell(float(tick)).replace("-", "−")) for tick in self.ticks]
        step = max(1, len(self.levels) // 12)
        return [(self.place(v) or 0.0, _short(v)) for v in self.levels[::step]]


def _short(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten, at most about six."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(first, last + 1, (last - first) // 6 + 1)]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five, the range within them where that is near."""
    if high <= low:
        return [low]
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next((k * unit for k in (1, 2, 2.5, 5, 10) if k * unit >= raw * 0.999), raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)] or [low]


def parallel(names: Sequence[str], rows: ParallelRows) -> str:
    """A line a run through an axis a name; the colour grows with the last name's value."""
    axes = [_Axis(name, [values[i] for _, values in rows]) for i, name in enumerate(names)]
    gap, top, bottom = 128, 34, 200
    left = 60
    wide, high = left + gap * (len(axes) - 1) + 90, bottom + 16
    parts = []
    for run, values in rows[:_MOST_LINES]:
        places = [axis.place(v) for axis, v in zip(axes, values, strict=True)]
        points = [
            (left + gap * i, bottom - p * (bottom - top)) for i, p in enumerate(places) if p is not None
        ]
        if len(points) < 2:
            continue
        share = places[-1]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        opacity = 0.18 if share is None else 0.2 + 0.7 * share
        shown = ", ".join(f"{n} {cell(v)}" for n, v in zip(names, values, strict=True))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{_BLUE}" stroke-width="1.5" '
            f'stroke-opacity="{opacity:.2f}"><title>{html.escape(f"{run}: {shown}")}</title></polyline>'
        )
    for i, axis in enumerate(axes):
        x = left + gap * i
        parts.append(_line(x, top, x, bottom))
        parts.append(_text(x, 16, _short(axis.name.split("__")[-1], 18), "middle", 'font-weight="600"'))
        for place, mark in axis.marks():
            y = bottom - place * (bottom - top)
            parts += [_line(x - 3, y, x, y), _text(x - 6, y + 4, mark, "end", 'opacity=".75"')]
    return _svg(wide, high, "Runs as lines through their parameters and metrics", parts)


def scatter(x_name: str, y_name: str, points: Sequence[tuple[str, Any, Any]]) -> str:
    """A point a run."""
    across = _Axis(x_name, [x for _, x, _ in points])
    upward = _Axis(y_name, [y for _, _, y in points])
    left, right, top, bottom = 96.0, 560.0, 16.0, 250.0
    parts = [_line(left, bottom, right, bottom), _line(left, top, left, bottom)]
    for place, mark in across.marks():
        x = left + place * (right - left)
        parts += [_line(x, bottom, x, bottom + 3), _text(x, bottom + 16, mark, "middle", 'opacity=".75"')]
    for place, mark in upward.marks():
        y = bottom - place * (bottom - top)
        parts += [_line(left - 3, y, left, y), _text(left - 6, y + 4, mark, "end", 'opacity=".75"')]
    for run, x_value, y_value in points:
        x = left + (across.place(x_value) or 0.0) * (right - left)
        y = bottom - (upward.place(y_value) or 0.0) * (bottom - top)
        shown = html.escape(f"{run}: {x_name} {cell(x_value)}, {y_name} {cell(y_value)}")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_BLUE}" fill-opacity=".7"><title>{shown}</title></circle>'
        )
    middle = (top + bottom) / 2
    parts.append(_text((left + right) / 2, bottom + 34, x_name, "middle", 'font-weight="600"'))
    turned = f'transform="rotate(-90 14 {middle:.0f})" font-weight="600"'
    parts.append(_text(14, middle, y_name, "middle", turned))
    return _svg(right + 24, bottom + 42, f"{y_name} by {x_name}, a point a run", parts)


def pairs(heads: tuple[str, str], rows: Sequence[tuple[str, float | None, float | None]]) -> str:
    """Two bars a metric: scores and rates on one scale from 0 to 1; what is larger (an error in the label's unit) on
    its own, from 0."""
    left, wide, slot = 150.0, 320.0, 30.0
    parts = []
    for i, (head, colour) in enumerate(zip(heads, (_ORANGE, _BLUE), strict=True)):
        x = left + i * 150
        parts.append(f'<rect x="{x}" y="3" width="10" height="10" rx="2" fill="{colour}" fill-opacity=".8"/>')
        parts.append(_text(x + 15, 12, _short(head, 20)))
    for n, (name, *values) in enumerate(rows):
        y = 26 + n * slot
        most = max(1.0, *(abs(v) for v in values if v is not None))
        parts.append(_text(left - 8, y + 13, _short(name, 24), "end"))
        for i, (value, colour) in enumerate(zip(values, (_ORANGE, _BLUE), strict=True)):
            if value is None:
                continue
            long = max(1.0, wide * abs(value) / most)
            parts.append(
                f'<rect x="{left}" y="{y + i * 10}" width="{long:.1f}" height="8" rx="2" '
                f'fill="{colour}" fill-opacity=".8"/>'
            )
            parts.append(_text(left + wide + 10 + i * 70, y + 13, cell(float(value)), extra='opacity=".8"'))
    return _svg(left + wide + 150, 30 + slot * len(rows), f"Metrics of {heads[0]} and {heads[1]}", parts)
