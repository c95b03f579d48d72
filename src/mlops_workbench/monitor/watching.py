"""`drift` of a served model: its logged requests (or given rows) against the rows it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError
from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import inference
from mlops_workbench.monitor.drift import DriftReport, compare
from mlops_workbench.monitor.features import Thresholds
from mlops_workbench.monitor.inference import LoggedRows, LogSelection
from mlops_workbench.monitor.performance import performance as measured
from mlops_workbench.store.context import Context

if TYPE_CHECKING:
    import pandas as pd


def readable(manifest: Manifest, policy: ServingPolicy) -> Manifest:
    """Without the columns whose values the log does not hold as they were sent: they must not look drifted."""
    hidden = {*policy.log_exclude, *policy.log_hash}
    return replace(manifest, inputs=tuple(f for f in manifest.inputs if f.name not in hidden))


@dataclass(frozen=True)
class DriftRequest:
    """What is compared with what. `current`: given rows; None: the logged ones, of which `last` are the newest.

    `importance`, `baseline`: of the gate report. `profile`, `report`: files that are written as well.
    """

    reference: pd.DataFrame
    current: pd.DataFrame | None = None
    last: int | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    profile: Path | None = None
    report: Path | None = None


def drift(context: Context, manifest: Manifest, version: str, request: DriftRequest) -> DriftReport:
    """Raises `UsageError` for rows and `last` together, `NotFound` when nothing was logged, `InvalidData` when the
    rows have none of the features."""
    url, policy, progress = context.project.inference_url, context.project.policy.drift, context.progress
    reference, current, last = request.reference, request.current, request.last
    profile, report = request.profile, request.report
    name, columns = manifest.name, manifest.columns
    for path in (profile, report):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotFound(f"There is no folder '{path.parent}' to write '{path.name}' to.", "Make it first.")
    performance = None
    if current is not None and last is not None:
        raise UsageError("Given rows are compared as they are: last is of the logged ones.", "Leave one out.")
    if current is None:
        progress("reading the logged requests")
        logged = _logged(url, manifest, version, last)
        period = f"{len(logged):,} logged rows, {_span(logged.facts)}"
        performance = measured(
            logged,
            task=manifest.task,
            classes=manifest.classes,
            positive=manifest.positive,
            baseline=request.baseline,
        )
        rows = logged.features
    else:
        if not set(columns) & set(current.columns):
            raise InvalidData(
                f"The rows have none of the columns that '{name}' reads.", f"It reads {columns[0]} …"
            )
        rows, period = current, "given rows"
    progress("comparing")
    found = compare(
        reference[columns],
        rows,
        importance=request.importance,
        thresholds=Thresholds(psi_warn=policy.warn, psi_drift=policy.drift),
        columns=columns,
        kinds=manifest.kinds,
    )
    if profile is not None:
        from mlops_workbench.data import profiles

        progress("profiling with whylogs")
        profile.write_bytes(profiles.profile(rows))
    if report is not None:
        from mlops_workbench.monitor.reports import evidently_report

        common = [c for c in columns if c in rows.columns]
        both = (as_kinds(frame[common], manifest.kinds) for frame in (reference, rows))
        evidently_report(*both, path=report, columns=common, progress=progress)
    return replace(found, model=name, version=version, period=period, performance=performance)


def sentence(report: DriftReport) -> str:
    named = ", ".join(f"'{name}'" for name in report.drifted[:3]) + (" …" if len(report.drifted) > 3 else "")
    which = f"{report.model} version {report.version}"
    return f"{len(report.drifted)} of {len(report.features)} features of {which} have drifted: {named}."


def _logged(url: str, manifest: Manifest, version: str, last: int | None) -> LoggedRows:
    datetimes = [f.name for f in manifest.inputs if f.kind == "datetime"]
    selection = LogSelection([version])
    rows = inference.read(
        url, manifest.name, selection, features=manifest.columns, limit=last, datetimes=datetimes
    )
    if not len(rows):
        raise NotFound(
            f"No prediction of '{manifest.name}' version {version} is logged.",
            "Serve it and send requests first.",
        )
    return rows


def _span(rows: pd.DataFrame) -> str:
    first, final = rows["at"].min(), rows["at"].max()
    if (final - first).total_seconds() < 86_400:
        return f"{first:%Y-%m-%d %H:%M} to {final:%H:%M} UTC"
    return f"{first:%Y-%m-%d} to {final:%Y-%m-%d}"
