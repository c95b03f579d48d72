"""Drift of every feature between two frames, exactly, column by column, in a fraction of a second."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from mlops_workbench.base.errors import InvalidData, NotFound, closest
from mlops_workbench.base.values import Value, VersionText, text_table
from mlops_workbench.data.kinds import as_kind
from mlops_workbench.manifest import Kind
from mlops_workbench.monitor.columns import columns_of, read, series
from mlops_workbench.monitor.drift_html import report_html
from mlops_workbench.monitor.features import DriftLevel, FeatureDrift, Thresholds, compare_columns
from mlops_workbench.monitor.performance import Performance

__all__ = ["DriftReport", "FeatureDrift", "Thresholds", "compare"]


@dataclass(frozen=True)
class DriftReport(Value):
    """Features ranked: drifted first, then by PSI weighted with importance."""

    model: str
    version: VersionText
    period: str
    reference_rows: int
    current_rows: int
    features: tuple[FeatureDrift, ...]
    missing_columns: tuple[str, ...]
    """in the reference, not in current"""
    extra_columns: tuple[str, ...]
    """in current, not in the reference: not compared"""
    thresholds: Thresholds
    performance: Performance | None = None
    answers: tuple[FeatureDrift, ...] = ()
    """predictions and scores, compared like features"""
    against: str = ""
    """what it is compared with; empty: the rows that the model was fitted on"""

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features if f.status == "drift")

    @property
    def status(self) -> DriftLevel:
        """The worst of its features."""
        found = {f.status for f in self.features}
        return next((s for s in ("drift", "warn") if s in found), "ok")

    @property
    def share_drifted(self) -> float:
        return len(self.drifted) / len(self.features) if self.features else 0.0

    def feature(self, name: str) -> FeatureDrift:
        """Raises NotFound."""
        for found in self.features:
            if found.name == name:
                return found
        raise NotFound(f"There is no feature '{name}'.", closest(name, [f.name for f in self.features]))

    @property
    def title(self) -> str:
        who = f"{self.model} {'v' + self.version if self.version else ''}".strip()
        what = f"Drift of {who}" if who else "Drift"
        return f"{what}, {self.period}" if self.period else what

    @property
    def summary(self) -> str:
        other = f" of {self.against}" if self.against else ""
        rows = f"{self.current_rows:,} rows against {self.reference_rows:,}{other}"
        counts = Counter(f.status for f in self.features)
        parts = [f"{counts['drift']} of {len(self.features)} features drifted"]
        if counts["warn"]:
            parts.append(f"{counts['warn']} to watch")
        if counts["unknown"]:
            parts.append(f"{counts['unknown']} not comparable")
        return f"{', '.join(parts)} ({rows})"

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "title": self.title,
            "summary": self.summary,
            "status": self.status,
            "drifted": list(self.drifted),
        }

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        return ("feature", "status", "PSI", "JS", "KS", "missing", "why"), [
            (
                f.name,
                f.status,
                None if f.psi is None else round(f.psi, 3),
                None if f.js is None else round(f.js, 3),
                None if f.ks is None else round(f.ks, 3),
                f"{f.missing_current:.1%}" if f.missing_current or f.missing_reference else None,
                "; ".join([*f.reasons, *([f.note] if f.note else [])]) or None,
            )
            for f in (*self.features, *self.answers)
        ]

    def text(self) -> str:
        parts = [self.title, self.summary]
        if self.performance is not None:
            parts += ["", self.performance.text()]
        parts += ["", text_table(*self.table())]
        if self.extra_columns:
            parts += ["", f"not compared, unknown to the reference: {', '.join(self.extra_columns)}"]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        return report_html(
            self.title,
            self.summary,
            self.features,
            self.thresholds,
            performance=self.performance,
            extra_columns=self.extra_columns,
        )


def compare(
    reference: Any,
    current: Any,
    *,
    importance: Mapping[str, float] | None = None,
    thresholds: Thresholds | None = None,
    columns: Sequence[str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> DriftReport:
    """Compares each column of `reference` with the one of the same name in `current`; of which model and period they
    are is for the caller to add.

    Frames are pandas, polars or pyarrow. `columns` limits the comparison (default: all of the reference); `kinds`:
    as what columns are compared, however a frame stores them (a database's 0 and 1 as truth values);
    `importance` weights the ranking, not the decision. A column in a bad state is reported with a note and
    never hides the others. Raises InvalidData when a frame is not a table or has no rows, NotFound for a name
    in `columns` that the reference does not have.
    """
    known, given = columns_of(reference), columns_of(current)
    for frame, name in ((reference, "reference"), (current, "current")):
        if len(frame) == 0:
            raise InvalidData(f"The {name} data has no rows.", "Choose a longer period, or check the filter.")
    for column in columns or ():
        if column not in known:
            raise NotFound(f"The reference has no column '{column}'.", closest(column, known))
    wanted = list(dict.fromkeys(columns if columns is not None else known))
    limits = thresholds or Thresholds()
    weights = weights_of(importance, wanted)

    def one(name: str) -> FeatureDrift:
        found = _one(name, (reference, known), (current, given), limits, (kinds or {}).get(name))
        weight = weights.get(name, 0.0) if weights else 1.0
        return replace(found, importance=(importance or {}).get(name), weight=weight)

    # NumPy releases the interpreter for its loops, so a second core takes about a third off the time
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        features = list(pool.map(one, wanted))
    return DriftReport(
        model="",
        version="",
        period="",
        reference_rows=len(reference),
        current_rows=len(current),
        features=tuple(sorted(features, key=lambda f: f.rank)),
        missing_columns=tuple(name for name in wanted if name not in given),
        extra_columns=tuple(name for name in dict.fromkeys(given) if name not in known),
        thresholds=limits,
    )


def weights_of(importance: Mapping[str, float] | None, wanted: Sequence[str]) -> dict[str, float]:
    """Relative to the largest. Permutation importances below zero are noise: zero."""
    found = {name: max(0.0, float(importance[name])) for name in wanted if importance and name in importance}
    largest = max(found.values(), default=0.0)
    return {name: value / largest for name, value in found.items()} if largest else {}


def _one(
    name: str,
    reference: tuple[Any, list[str]],
    current: tuple[Any, list[str]],
    limits: Thresholds,
    kind: Kind | None,
) -> FeatureDrift:
    for side, (_, names) in (("reference", reference), ("current data", current)):
        if names.count(name) > 1:
            return FeatureDrift(
                name, "unknown", "unknown", note=f"The {side} has {names.count(name)} columns of this name."
            )
    if name not in current[1]:
        return FeatureDrift(name, "unknown", "drift", ("absent from the current data",), missing_current=1.0)
    try:
        both = [series(frame, names.index(name)) for frame, names in (reference, current)]
        columns = [read(as_kind(column, kind) if kind else column) for column in both]
        return compare_columns(name, columns[0], columns[1], limits)
    except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
        # a column of a kind that nobody foresaw must not hide the others; what happened is reported in its place
        return FeatureDrift(name, "unknown", "unknown", note=f"Could not be compared: {error}")
