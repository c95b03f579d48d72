"""Drift of a period: what its windows hold against the reference, or against another period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops_workbench.base.errors import NotFound
from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import statistics, summed
from mlops_workbench.monitor.drift import DriftReport, weights_of
from mlops_workbench.monitor.features import FeatureDrift, Thresholds
from mlops_workbench.monitor.periods import Period
from mlops_workbench.monitor.windowed import Asked, Sum, WindowLog, total
from mlops_workbench.summary.reference import LATENCY


@dataclass(frozen=True)
class PeriodRequest:
    """`against`: None is the rows that the model was fitted on. `roles`: None is what callers got."""

    asked: Period
    against: Period | None = None
    roles: Sequence[str] | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)


def drift(log: WindowLog, manifest: Manifest, version: str, request: PeriodRequest) -> DriftReport:
    """Raises NotFound for a period without rows."""
    asked, against, roles, limits = request.asked, request.against, request.roles, request.thresholds
    importance = request.importance
    reference = log.references(version)
    assert reference is not None
    found = _rows(log, version, asked, roles, f"No row of version {version} of '{log.model}' was answered")
    current = summed.of_window(reference, found.window)
    if against is None:
        known = {place: summed.of_reference(part) for place, part in enumerate(reference.parts)}
        rows, what = reference.rows, ""
    else:
        other = _rows(
            log,
            version,
            against,
            roles,
            f"There is nothing to compare with: no row of version {version} was answered",
        )
        known = summed.of_window(reference, other.window)
        rows, what = other.window.rows, against.text
    names = {f.name for f in manifest.inputs}
    compared = [
        summed.compared(known[place], current[place], limits)
        for place, part in enumerate(reference.parts)
        if part.name != LATENCY and (place >= len(reference.columns) or part.name in names)
    ]
    compared = _with_p(compared)
    count = sum(part.name in names for part in reference.columns)
    features, answers = compared[:count], compared[count:]
    weights = weights_of(importance, [f.name for f in features])
    features = [
        replace(f, importance=importance.get(f.name), weight=weights.get(f.name, 0.0) if weights else 1.0)
        for f in features
    ]
    return DriftReport(
        model=log.model,
        version=version,
        period=asked.text,
        reference_rows=rows,
        current_rows=found.window.rows,
        features=tuple(sorted(features, key=lambda f: f.rank)),
        missing_columns=(),
        extra_columns=(),
        thresholds=limits,
        answers=tuple(answers),
        against=what,
    )


def _rows(log: WindowLog, version: str, period: Period, roles: Sequence[str] | None, sentence: str) -> Sum:
    found = total(log, Asked(version, period.start, period.end, roles))
    if found is None or not found.window.rows:
        raise NotFound(f"{sentence} in {period.text}.", "Choose another period.")
    return found


def _with_p(features: Sequence[FeatureDrift]) -> list[FeatureDrift]:
    """Each with its p-value, adjusted for how many there are."""
    raw = [f.ks_p if f.ks_p is not None else f.chi_square_p for f in features]
    found = iter(statistics.adjusted([p for p in raw if p is not None]))
    return [f if p is None else replace(f, p=next(found)) for f, p in zip(features, raw, strict=True)]
