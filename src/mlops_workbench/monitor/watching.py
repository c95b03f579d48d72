"""`drift` of a served model: its logged requests (or given rows) against the rows it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import InvalidData, NotFound, UsageError
from mlops_workbench.base.progress import Progress
from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import inference, periodic, periods, references, sealing
from mlops_workbench.monitor.drift import DriftReport, compare
from mlops_workbench.monitor.features import Thresholds
from mlops_workbench.monitor.inference import LoggedRows, LogSelection
from mlops_workbench.monitor.performance import Performance
from mlops_workbench.monitor.performance import performance as measured
from mlops_workbench.monitor.periodic import PeriodRequest
from mlops_workbench.monitor.periods import Period, Words
from mlops_workbench.monitor.windowed import WindowLog
from mlops_workbench.registry import registering
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion

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

    stored: RegisteredVersion
    manifest: Manifest
    now: datetime
    words: Words = field(default_factory=Words)
    current: pd.DataFrame | None = None
    last: int | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    profile: Path | None = None
    report: Path | None = None

    @property
    def version(self) -> str:
        return str(self.stored.version)

    @property
    def of_rows(self) -> str | None:
        """The option for which rows must be read, if there is one: windows are not enough."""
        needs = {"data": self.current, "last": self.last, "profile": self.profile, "report": self.report}
        return next((name for name, value in needs.items() if value is not None), None)


def drift(context: TrackedContext, request: DriftRequest) -> DriftReport:
    """By windows where they are enough, else by rows. Raises `UsageError` for options that do not go together,
    `NotFound` when nothing was logged, `InvalidData` when the rows have none of the features."""
    words = request.words
    if request.current is not None and request.last is not None:
        raise UsageError("Given rows are compared as they are: last is of the logged ones.", "Leave one out.")
    if request.current is not None and (words.start or words.end):
        raise UsageError("Given rows are of no period.", "Leave the option from or to out.")
    if request.of_rows and (words.against or words.role):
        raise UsageError(
            f"With '{request.of_rows}', rows are compared with those that the model was fitted on.",
            "Leave the option against or role out.",
        )
    for path in (request.profile, request.report):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotFound(f"There is no folder '{path.parent}' to write '{path.name}' to.", "Make it first.")
    return (None if request.of_rows else _of_period(context, request)) or _of_rows(context, request)


def window_log(context: TrackedContext, model: str) -> WindowLog:
    """A model's windows."""
    policy = context.project.policy.serving
    known = references.by_number(context.project, context.tracking, model)
    return WindowLog(context.project.inference_url, model, known, (*policy.log_exclude, *policy.log_hash))


def _of_period(context: TrackedContext, request: DriftRequest) -> DriftReport | None:
    """None for a version without a reference."""
    stored, manifest, words = request.stored, request.manifest, request.words
    if references.of_version(context.project, context.tracking, stored) is None:
        return None
    log = window_log(context, stored.name)
    first = inference.first(log.url, log.model, request.version)
    asked = periods.period(words.start, words.end, request.now, first=first)
    context.progress("adding up windows")
    sealing.seal(log, request.now.timestamp(), context.progress)
    found = periodic.drift(
        log,
        manifest,
        request.version,
        PeriodRequest(
            asked,
            periods.against(words.against, asked, request.now),
            None if words.role is None else (words.role,),
            request.importance,
            _thresholds(context),
        ),
    )
    return replace(found, performance=_labelled(context, request, asked))


def _labelled(context: TrackedContext, request: DriftRequest, period: Period) -> Performance | None:
    """How right the answers of a period were, as far as labels have come."""
    manifest, url = request.manifest, context.project.inference_url
    within = LogSelection([request.version], since=period.start, until=period.end)
    if request.words.role is not None:
        within = replace(within, roles=(request.words.role,))
    if manifest.task == "other":
        return None
    if not inference.labels_of(url, manifest.name):
        return Performance(0, {}, {}, inference.count(url, manifest.name, within))
    logged = inference.read(url, manifest.name, within, features=())
    return _measured(manifest, logged, request.baseline)


def _measured(manifest: Manifest, logged: LoggedRows, baseline: Mapping[str, float]) -> Performance | None:
    return measured(
        logged, task=manifest.task, classes=manifest.classes, positive=manifest.positive, baseline=baseline
    )


def _thresholds(context: TrackedContext) -> Thresholds:
    policy = context.project.policy.drift
    return Thresholds(psi_warn=policy.warn, psi_drift=policy.drift)


def _of_rows(context: TrackedContext, request: DriftRequest) -> DriftReport:
    manifest, columns, progress = request.manifest, request.manifest.columns, context.progress
    progress("reading the reference")
    reference = registering.fitted_on(context.project, request.stored)
    performance = None
    if request.current is None:
        progress("reading the logged requests")
        logged = _logged(context.project.inference_url, request)
        rows, period = logged.features, f"{len(logged):,} logged rows, {_span(logged.facts)}"
        performance = _measured(manifest, logged, request.baseline)
    else:
        rows, period = request.current, "given rows"
        if not set(columns) & set(rows.columns):
            raise InvalidData(
                f"The rows have none of the columns that '{manifest.name}' reads.", f"It reads {columns[0]} …"
            )
    progress("comparing")
    found = compare(
        reference[columns],
        rows,
        importance=request.importance,
        thresholds=_thresholds(context),
        columns=columns,
        kinds=manifest.kinds,
    )
    _files(request, reference, rows, progress)
    return replace(
        found, model=manifest.name, version=request.version, period=period, performance=performance
    )


def _files(request: DriftRequest, reference: pd.DataFrame, rows: pd.DataFrame, progress: Progress) -> None:
    if request.profile is not None:
        from mlops_workbench.data import profiles

        progress("profiling with whylogs")
        request.profile.write_bytes(profiles.profile(rows))
    if request.report is not None:
        from mlops_workbench.monitor.reports import evidently_report

        kinds = request.manifest.kinds
        common = [c for c in request.manifest.columns if c in rows.columns]
        both = (as_kinds(frame[common], kinds) for frame in (reference, rows))
        evidently_report(*both, path=request.report, columns=common, progress=progress)


def sentence(report: DriftReport) -> str:
    named = ", ".join(f"'{name}'" for name in report.drifted[:3]) + (" …" if len(report.drifted) > 3 else "")
    which = f"{report.model} version {report.version}"
    return f"{len(report.drifted)} of {len(report.features)} features of {which} have drifted: {named}."


def _logged(url: str, request: DriftRequest) -> LoggedRows:
    manifest, words = request.manifest, request.words
    datetimes = [f.name for f in manifest.inputs if f.kind == "datetime"]
    selection = LogSelection([request.version])
    if words.start or words.end:
        asked = periods.period(words.start, words.end, request.now, first=0.0)
        selection = replace(selection, since=asked.start, until=asked.end)
    rows = inference.read(
        url, manifest.name, selection, features=manifest.columns, limit=request.last, datetimes=datetimes
    )
    if not len(rows):
        raise NotFound(
            f"No prediction of '{manifest.name}' version {request.version} is logged.",
            "Serve it and send requests first, or choose another period.",
        )
    return rows


def _span(rows: pd.DataFrame) -> str:
    first, final = rows["at"].min(), rows["at"].max()
    if (final - first).total_seconds() < 86_400:
        return f"{first:%Y-%m-%d %H:%M} to {final:%H:%M} UTC"
    return f"{first:%Y-%m-%d} to {final:%Y-%m-%d}"
