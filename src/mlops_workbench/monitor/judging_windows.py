"""From the log and its labels to a report of quality: rows into windows and segments, and each measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from mlops_workbench.base.errors import InvalidData, MlopsError, NotFound, UsageError, closest
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import changes, judged, keyed, periods, sql_metrics
from mlops_workbench.monitor.estimating import BLIND, Calibration, estimate
from mlops_workbench.monitor.inference import LogSelection
from mlops_workbench.monitor.judged import JudgedRows
from mlops_workbench.monitor.measuring import MetricArrays, Outcomes, measure
from mlops_workbench.monitor.quality import (
    LOW_COVERAGE,
    EstimateBasis,
    MetricValue,
    QualityReport,
    QualityWindow,
)
from mlops_workbench.monitor.segments import segments

MOST_WINDOWS = 1_000
_MONDAY = 4 * 86_400.0
"""the first Monday of Unix time: windows of weeks begin on Mondays"""


@dataclass(frozen=True)
class QualityRequest:
    """What is measured. `every`: a window's length in words; `by`: columns of segments; `own`: a team's SQL metrics.

    `held_out`: scores and truth of the held-out rows, asked for when an estimate is made. `estimate`: make one in any
    case, not only where few rows are labelled.
    """

    manifest: Manifest
    version: str
    now: datetime
    every: str = "1d"
    start: str | None = None
    end: str | None = None
    by: Sequence[str] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    estimate: bool = False
    held_out: Callable[[], tuple[Any, Any]] | None = None


@dataclass(frozen=True)
class Windowing:
    """Windows that have rows: their starts, and each row's place among them."""

    starts: Any
    seconds: float
    codes: Any

    @classmethod
    def of(cls, at: Any, seconds: float, every: str) -> Windowing:
        offset = _MONDAY if seconds % (7 * 86_400) == 0 else 0.0
        number = np.floor((at - offset) / seconds).astype(np.int64)
        first = int(number.min())
        count = int(number.max()) - first + 1
        if count > MOST_WINDOWS:
            raise UsageError(
                f"The period has {count:,} windows of {every}, more than {MOST_WINDOWS:,}.",
                "Choose longer windows with the option every, or a shorter period.",
            )
        rows = np.bincount(number - first, minlength=count)
        there = np.flatnonzero(rows)
        place = np.cumsum(rows > 0) - 1
        return cls((there + first) * seconds + offset, seconds, place[number - first])


def report(url: str, request: QualityRequest, progress: Progress = silent) -> QualityReport:
    """Raises NotFound when nothing was logged in the period, InvalidData for a segment that is not logged,
    UsageError for windows or a period that cannot be, InvalidConfig for a metric of mlops.toml that is wrong."""
    manifest = request.manifest
    if manifest.task == "other":
        raise UsageError(f"'{manifest.name}' is no classifier and no regressor: it has no metrics.")
    seconds = periods.length(request.every)
    _require_logged(manifest, request.by)
    needed = sql_metrics.check(request.own, manifest.columns) if request.own else []
    progress("matching labels")
    keyed.settle(url, manifest.name)
    progress("reading the log")
    selection, period = _selected(request)
    rows = judged.read(url, manifest.name, selection, list(dict.fromkeys([*request.by, *needed])))
    if not len(rows):
        raise NotFound(
            f"No prediction of '{manifest.name}' version {request.version} is logged{period and ' in ' + period}.",
            "Serve it and send requests first, or choose another period.",
        )
    windowing = Windowing.of(rows.at, seconds, request.every)
    labelled = rows.labelled
    progress("measuring")
    outcomes = Outcomes.of(manifest, *(v[labelled] for v in (rows.label, rows.prediction, rows.score)))
    count = len(windowing.starts)
    # NumPy releases the interpreter for its loops
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        windows_of = pool.submit(_windows, rows, labelled, outcomes, windowing.codes, count)
        whole_of = pool.submit(_windows, rows, labelled, outcomes, np.zeros(len(rows), dtype=np.int64), 1)
        parts = _by_segments(rows, labelled, outcomes, windowing, request)
    windows, (whole,) = windows_of.result(), whole_of.result()
    first, final = float(rows.at.min()), float(rows.at.max())
    whole = replace(whole, start=first, end=final)
    parts = [replace(one, start=first, end=final) if one.end == 0.0 else one for one in parts]
    found = QualityReport(
        manifest.name,
        request.version,
        manifest.task,
        period or _span(rows.at),
        request.every,
        tuple(dict.fromkeys(name for one in (whole, *windows) for name in one.metrics)),
        whole,
        tuple(_placed(windows, windowing, None)),
        tuple(parts),
        {name: value for name, value in request.baseline.items() if name in whole.metrics},
        changes.change(rows.at[labelled], outcomes.loss),
    )
    if needed or request.own:
        found = _with_own(found, rows, labelled, windowing, request, needed)
    return _with_estimate(found, rows, windowing, request, progress)


def _require_logged(manifest: Manifest, names: Sequence[str]) -> None:
    for name in names:
        if name not in manifest.columns:
            raise InvalidData(
                f"The log of '{manifest.name}' has no feature '{name}' to make segments of.",
                closest(name, manifest.columns),
            )


def _selected(request: QualityRequest) -> tuple[LogSelection, str]:
    if request.start is None and request.end is None:
        return LogSelection([request.version]), ""
    asked = periods.period(request.start, request.end, request.now, first=0.0)
    selection = LogSelection([request.version], since=asked.start, until=asked.end)
    return selection, asked.text if request.start else f"up to {request.end}"


def _span(at: Any) -> str:
    return periods.Period(float(at.min()) // 60 * 60, float(at.max()) // 60 * 60 + 60).text


def _windows(
    rows: JudgedRows, labelled: Any, outcomes: Outcomes, codes: Any, groups: int
) -> list[QualityWindow]:
    mine = codes[labelled]
    measured = measure(outcomes, mine, groups)
    counts = np.bincount(codes, minlength=groups)
    known = np.bincount(mine, minlength=groups)
    median, most = _delays(np.maximum(rows.labelled_at - rows.at, 0.0)[labelled], mine, known)
    return [
        QualityWindow(
            0.0,
            0.0,
            None,
            int(counts[place]),
            int(known[place]),
            float(median[place]) if known[place] else None,
            float(most[place]) if known[place] else None,
            _values(measured, place),
        )
        for place in range(groups)
    ]


def _values(measured: Mapping[str, MetricArrays], place: int) -> dict[str, MetricValue]:
    found = {}
    for name, arrays in measured.items():
        value, low, high = (float(one[place]) for one in arrays)
        if value == value:
            bounded = low == low and high == high
            found[name] = MetricValue(value, low if bounded else None, high if bounded else None)
    return found


def _delays(delay: Any, codes: Any, known: Any) -> tuple[Any, Any]:
    """Median and 90th percentile in each group: the smallest delay that so many do not exceed."""
    by_delay = np.argsort(delay)
    order = by_delay[np.argsort(codes[by_delay], kind="stable")]
    start = np.concatenate([[0], np.cumsum(known)[:-1]])
    if not len(delay):
        return np.zeros(len(known)), np.zeros(len(known))
    ranked = delay[order]
    last = len(ranked) - 1
    median, most = (
        ranked[np.minimum(start + np.maximum(np.ceil(share * known).astype(np.int64) - 1, 0), last)]
        for share in (0.5, 0.9)
    )
    return median, most


def _placed(
    windows: Sequence[QualityWindow], windowing: Windowing, segment: str | None
) -> list[QualityWindow]:
    return [
        replace(one, start=float(start), end=float(start + windowing.seconds), segment=segment)
        for one, start in zip(windows, windowing.starts, strict=True)
        if one.rows
    ]


def _by_segments(
    rows: JudgedRows, labelled: Any, outcomes: Outcomes, windowing: Windowing, request: QualityRequest
) -> list[QualityWindow]:
    """Of each segment the whole period, without its ends, and then its windows."""
    found: list[QualityWindow] = []
    count = len(windowing.starts)
    for column in request.by:
        parts = segments(column, rows.features[column], request.manifest.kinds[column])
        cells = _windows(
            rows, labelled, outcomes, parts.codes * count + windowing.codes, len(parts.names) * count
        )
        whole = _windows(rows, labelled, outcomes, parts.codes, len(parts.names))
        for place, name in enumerate(parts.names):
            found.append(replace(whole[place], segment=f"{column} = {name}"))
            found += _placed(cells[place * count : (place + 1) * count], windowing, f"{column} = {name}")
    return found


def _with_own(
    found: QualityReport,
    rows: JudgedRows,
    labelled: Any,
    windowing: Windowing,
    request: QualityRequest,
    needed: Sequence[str],
) -> QualityReport:
    columns = {"label": rows.label, "prediction": rows.prediction, "score": rows.score}
    columns |= {name: rows.features[name] for name in needed}
    some = {name: values[labelled] for name, values in columns.items()}
    values = sql_metrics.evaluate(request.own, some, windowing.codes[labelled], len(windowing.starts))

    def of(one: QualityWindow, place: int) -> QualityWindow:
        return replace(one, own={name: each[place] for name, each in values.items()}) if one.labelled else one

    windows = tuple(of(one, place) for place, one in enumerate(found.windows))
    return replace(found, whole=of(found.whole, -1), windows=windows)


def _with_estimate(
    found: QualityReport, rows: JudgedRows, windowing: Windowing, request: QualityRequest, progress: Progress
) -> QualityReport:
    """Beside what was measured: where it is asked for, and where few rows are labelled and it can be made."""
    manifest = request.manifest
    possible = manifest.positive_class is not None and request.held_out is not None
    if not request.estimate and (not possible or found.whole.coverage >= LOW_COVERAGE):
        return found
    if not possible or request.held_out is None:
        raise UsageError(
            f"The quality of '{manifest.name}' cannot be estimated: only that of a classifier with two classes and "
            "probabilities can.",
            "Leave the option estimate out.",
        )
    progress("estimating from the held-out rows")
    try:
        calibration = Calibration.fitted(*request.held_out())
    except MlopsError as problem:
        if request.estimate:
            raise
        return replace(found, notes=(*found.notes, f"No estimate beside: {problem.message}"))
    guess = Outcomes.of(manifest, rows.prediction, rows.prediction, rows.score).guess
    windows = estimate(calibration, rows.score, guess, windowing.codes, len(windowing.starts))
    whole = estimate(calibration, rows.score, guess, np.zeros(len(rows), dtype=np.int64), 1)
    checked = f"{calibration.error:.3f} on a half that it was not fitted on"
    text = f"{BLIND} Calibrated on {calibration.rows:,} held-out rows, with a calibration error of {checked}"
    text += f" ({calibration.chance:.3f} by chance)"
    text += "." if calibration.trusted else ": too large to trust the estimate."
    return replace(
        found,
        whole=replace(found.whole, estimated=_values(whole, 0)),
        windows=tuple(
            replace(one, estimated=_values(windows, place)) for place, one in enumerate(found.windows)
        ),
        estimate=EstimateBasis(calibration.rows, calibration.error, text),
    )
