"""How good a served model's answers are, window after window, as far as their labels have come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlops_workbench.base.values import Value, VersionText, plain, text_table
from mlops_workbench.monitor.changes import ALPHA, LossChange
from mlops_workbench.monitor.quality_html import report_html
from mlops_workbench.monitor.resampling import BLOCKS, RESAMPLES, SEED
from mlops_workbench.monitor.scoring import BINS

SHOWN = 60
"""rows of a table in a text and a notebook; a dict holds all"""
LOW_COVERAGE = 0.5
"""share of labelled rows below which the estimate is shown beside"""


@dataclass(frozen=True)
class MetricValue:
    """A metric with its interval of 95 %, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class QualityWindow(Value):
    """What was answered in [start, end), in Unix seconds, and how good it was.

    `delay_median`, `delay_p90`: seconds between an answer and its label. `metrics`, `own`: what could be measured, of
    the labelled rows. `estimated`: what the metrics are expected to be, of all rows.
    """

    start: float
    end: float
    segment: str | None
    rows: int
    labelled: int
    delay_median: float | None = None
    delay_p90: float | None = None
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    own: Mapping[str, float | None] = field(default_factory=dict)
    estimated: Mapping[str, MetricValue] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        return self.labelled / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        times = {
            name: datetime.fromtimestamp(getattr(self, name), UTC).isoformat() for name in ("start", "end")
        }
        rest = (
            "segment",
            "rows",
            "labelled",
            "coverage",
            "delay_median",
            "delay_p90",
            "metrics",
            "own",
            "estimated",
        )
        return times | {name: plain(getattr(self, name)) for name in rest}


@dataclass(frozen=True)
class EstimateBasis:
    """What an estimate is made from. `error`: calibration error on held-out rows that it was not fitted on."""

    rows: int
    error: float
    text: str


@dataclass(frozen=True)
class QualityReport(Value):
    """Windows of time in their order, the whole period, and of each segment the whole period and then its windows."""

    model: str
    version: VersionText
    task: str
    period: str
    every: str
    metric_names: tuple[str, ...]
    whole: QualityWindow
    windows: tuple[QualityWindow, ...]
    segments: tuple[QualityWindow, ...] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    """the metrics of the gate's report"""
    change: LossChange | None = None
    estimate: EstimateBasis | None = None
    notes: tuple[str, ...] = ()
    resamples: int = RESAMPLES
    seed: int = SEED
    bins: int = BINS

    @property
    def title(self) -> str:
        return f"Quality of {self.model} v{self.version}, {self.period}, by {self.every}"

    @property
    def summary(self) -> str:
        whole = self.whole
        if not whole.labelled:
            return (
                f"0 of {whole.rows:,} rows are labelled yet: nothing can be measured. Add what really happened with "
                f"`label {self.model} DATA`."
            )
        said = f"{whole.labelled:,} of {whole.rows:,} rows are labelled ({whole.coverage:.1%})"
        if whole.delay_median is not None and whole.delay_p90 is not None:
            said += (
                f"; a label comes after {duration(whole.delay_median)}, nine of ten within "
                f"{duration(whole.delay_p90)}"
            )
        return said + "."

    @property
    def change_text(self) -> str:
        if self.change is None:
            return ""
        found = self.change
        what = "mean absolute error" if self.task == "regression" else "share of wrong answers"
        return (
            f"The {what} changed at {_moment(found.at)} UTC: {found.before:.4g} before, {found.after:.4g} from there "
            f"on ({found.size:+.4g}; of losses without a change at most {ALPHA:.0%} show one)."
        )

    @property
    def method(self) -> str:
        return (
            f"Intervals of 95 %: Wilson's for shares, else {self.resamples} resamples of up to {BLOCKS} random blocks "
            f"(seed {self.seed}). Calibration error: {self.bins} bins of equal width."
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(
            filter(None, (self.change_text, *self.notes, self.estimate.text if self.estimate else ""))
        )

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "title": self.title,
            "summary": self.summary,
            "remarks": list(self.remarks),
        }

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        return self._table((self.whole, *self.windows), segments=False)

    def segment_table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        return self._table(self.segments, segments=True)

    def _table(
        self, windows: Sequence[QualityWindow], *, segments: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        own = list(dict.fromkeys(name for one in windows for name in one.own))
        expected = list(dict.fromkeys(name for one in windows for name in one.estimated))
        heads = [
            "window",
            *(["segment"] if segments else []),
            "rows",
            "labelled",
            "coverage",
            "delay",
            "90 %",
        ]
        heads += [*self.metric_names, *own, *(f"{name}, estimated" for name in expected)]
        rows: list[list[Any]] = []
        for one in windows:
            alone = (one.start, one.end) == (self.whole.start, self.whole.end)
            name = "all" if alone else _span(one)
            delays = [None if d is None else duration(d) for d in (one.delay_median, one.delay_p90)]
            row: list[Any] = [
                name,
                *([one.segment] if segments else []),
                one.rows,
                one.labelled,
                f"{one.coverage:.1%}",
                *delays,
            ]
            row += [_text(one.metrics.get(name)) for name in self.metric_names]
            row += [one.own.get(name) for name in own]
            row += [_text(one.estimated.get(name)) for name in expected]
            rows.append(row)
        if self.baseline and not segments:
            known: list[Any] = [self.baseline.get(name) for name in self.metric_names]
            rows.append(["at registration", *[None] * 5, *known, *[None] * (len(own) + len(expected))])
        return heads, rows

    def text(self) -> str:
        parts = [self.title, self.summary, *self.remarks, "", _shown(*self.table())]
        if self.segments:
            parts += ["", _shown(*self.segment_table())]
        return "\n".join([*parts, "", self.method])

    def _repr_html_(self) -> str:
        return report_html(self)


def _shown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    more = f"\n… and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return text_table(heads, rows[:SHOWN]) + more


def _text(value: MetricValue | None) -> str | None:
    return None if value is None else value.text


def _span(window: QualityWindow) -> str:
    whole_days = window.start % 86_400 == 0 and window.end % 86_400 == 0
    return _moment(window.start)[: 10 if whole_days else 16]


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
