"""A quality report as one static piece of HTML: a line with its interval for each metric, then the table."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mlops_workbench.base.values import html_table

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE = "#2f81d6"
BASELINE = "#959ba6"
ESTIMATE = "#c08400"
WIDTH, HEIGHT, EDGE = 260, 72, 4
_SHOWN = 60


class Bounded(Protocol):
    """A value with its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class Drawn(Protocol):
    """A window of time."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def estimated(self) -> Mapping[str, Any]: ...


def report_html(report: Any) -> str:
    """`report`: a QualityReport. Every text in it is escaped."""
    parts = [
        '<div class="mlops-quality" style="font-size:13px;line-height:1.45">',
        f'<div style="font-weight:600;font-size:14px">{html.escape(report.title)}</div>',
        f'<div style="opacity:.75">{html.escape(report.summary)}</div>',
        *(f"<div>{html.escape(text)}</div>" for text in report.remarks),
    ]
    names = list(dict.fromkeys([*report.metric_names, *(n for w in report.windows for n in w.estimated)]))
    pictures = [_picture(name, report.windows, report.baseline.get(name)) for name in names]
    if any(pictures):
        parts.append(_legend(report))
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:10px 22px">{"".join(pictures)}</div>')
    parts.append(_table(*report.table()))
    if report.segments:
        parts.append(_table(*report.segment_table()))
    parts.append(f'<div style="opacity:.6;font-size:12px">{html.escape(report.method)}</div>')
    return "".join([*parts, "</div>"])


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    more = f'<div style="opacity:.7">And {len(rows) - _SHOWN} more.</div>' if len(rows) > _SHOWN else ""
    return f'<div style="overflow-x:auto">{html_table(heads, rows[:_SHOWN])}</div>{more}'


def _legend(report: Any) -> str:
    def mark(colour: str, text: str, dashes: str = "") -> str:
        return (
            f'<svg width="22" height="8" aria-hidden="true" style="max-width:none"><path d="M0 4H20" '
            f'stroke="{colour}" stroke-width="1.6"{dashes}/></svg> {text}&emsp;'
        )

    marks = mark(LINE, "measured, with its interval")
    if report.baseline:
        marks += mark(BASELINE, "at registration", ' stroke-dasharray="4 3"')
    if report.estimate is not None:
        marks += mark(ESTIMATE, "estimated", ' stroke-dasharray="2 2"')
    return f'<div style="margin:6px 0;font-size:12px">{marks}</div>'


def _picture(name: str, windows: Sequence[Drawn], baseline: float | None) -> str:
    """Empty where no window has the metric."""
    measured = [(_middle(w), w.metrics[name]) for w in windows if name in w.metrics]
    expected = [(_middle(w), w.estimated[name]) for w in windows if name in w.estimated]
    if not measured and not expected:
        return ""
    values = [v for _, one in (*measured, *expected) for v in (one.value, one.low, one.high) if v is not None]
    values += [] if baseline is None else [baseline]
    low, high = min(values), max(values)
    space = (high - low) or abs(high) or 1.0
    scale = _Scale(windows[0].start, windows[-1].end, low - 0.05 * space, high + 0.05 * space)
    drawing = [_band(measured, scale, LINE), _band(expected, scale, ESTIMATE)]
    if baseline is not None:
        y = scale.y(baseline)
        drawing.append(f'<path d="M0 {y}H{WIDTH}" stroke="{BASELINE}" stroke-dasharray="4 3"/>')
    drawing += [_line(expected, scale, ESTIMATE, ' stroke-dasharray="2 2"'), _line(measured, scale, LINE)]
    label = html.escape(f"{name}: {low:.4g} to {high:.4g}")
    return (
        f'<figure style="margin:0"><figcaption style="font-size:12px"><b>{html.escape(name)}</b> '
        f'<span style="opacity:.6">{low:.4g} to {high:.4g}</span></figcaption>'
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" '
        f'fill="none" style="display:block;max-width:none;background:rgba(128,128,128,.07)">'
        f"{''.join(drawing)}</svg></figure>"
    )


class _Scale:
    def __init__(self, start: float, end: float, low: float, high: float) -> None:
        self._start, self._seconds = start, max(end - start, 1e-9)
        self._low, self._span = low, max(high - low, 1e-300)

    def x(self, at: float) -> str:
        return f"{EDGE + (WIDTH - 2 * EDGE) * (at - self._start) / self._seconds:.1f}"

    def y(self, value: float) -> str:
        return f"{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - self._low) / self._span:.1f}"


def _band(points: Sequence[tuple[float, Bounded]], scale: _Scale, colour: str) -> str:
    known = [(at, one.low, one.high) for at, one in points if one.low is not None and one.high is not None]
    if not known:
        return ""
    if len(known) == 1:
        ((at, low, high),) = known
        return (
            f'<path d="M{scale.x(at)} {scale.y(low)}V{scale.y(high)}" stroke="{colour}" stroke-opacity=".4"/>'
        )
    upper = [f"{scale.x(at)} {scale.y(high)}" for at, _, high in known]
    lower = [f"{scale.x(at)} {scale.y(low)}" for at, low, _ in reversed(known)]
    return f'<path d="M{"L".join([*upper, *lower])}Z" fill="{colour}" fill-opacity=".2"/>'


def _line(points: Sequence[tuple[float, Bounded]], scale: _Scale, colour: str, dashes: str = "") -> str:
    if not points:
        return ""
    places = [f"{scale.x(at)} {scale.y(one.value)}" for at, one in points]
    dots = "".join(
        f'<circle cx="{place.split()[0]}" cy="{place.split()[1]}" r="1.6" fill="{colour}"/>'
        for place in places
    )
    return f'<path d="M{"L".join(places)}" stroke="{colour}" stroke-width="1.5"{dashes}/>{dots}'


def _middle(window: Drawn) -> float:
    return (window.start + window.end) / 2
