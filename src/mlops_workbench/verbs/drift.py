from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import Drifted
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import Data, ModelVersion, OutputFile, Positive, VersionNumber

if TYPE_CHECKING:
    from mlops_workbench.monitor.drift import DriftReport
    from mlops_workbench.session import Session


@verb(stage="monitor", effect="reads", example="drift flights")
def drift(
    session: Session,
    name: ModelVersion,
    *,
    version: VersionNumber = None,
    data: Annotated[Data, Opt("rows to compare (default: the logged requests)", flags=("-d",))] = None,
    last: Annotated[Positive | None, Opt("only the newest N logged rows")] = None,
    start: Annotated[
        str | None,
        Opt(
            "begin of the period: 7d, 24h, 2026-03-01 (default: its first row)",
            flags=("--from",),
            metavar="TIME",
        ),
    ] = None,
    end: Annotated[
        str | None, Opt("end of the period (default: now)", flags=("--to",), metavar="TIME")
    ] = None,
    against: Annotated[
        str | None,
        Opt(
            "compare with: training (the default), previous, week, year, or a period such as 14d..7d",
            metavar="PERIOD",
        ),
    ] = None,
    role: Annotated[str | None, Opt("only rows of this role, such as canary or shadow")] = None,
    profile: Annotated[
        OutputFile | None,
        Opt("also write a whylogs profile of the rows to this file; profiles of several periods merge"),
    ] = None,
    report: Annotated[OutputFile | None, Opt("also write Evidently's full report to this HTML file")] = None,
    fail: Annotated[bool, Opt("fail when a feature has drifted, for cron and CI")] = False,
) -> DriftReport:
    """Compare what the model is asked now with what it was fitted on.

    Raises `Drifted` with the report when asked to fail and a feature has drifted.
    """
    from mlops_workbench.alerts import watched
    from mlops_workbench.monitor import keyed, periods, watching
    from mlops_workbench.registry import gates
    from mlops_workbench.registry.versions import recorded

    if profile is not None:
        from mlops_workbench.data import profiles

        profiles.require()
    stored = session.version(name, version)
    seen = gates.latest(session.store, stored.name, stored.version)
    manifest = recorded(session.tracking, stored)[1]
    if data is None:
        keyed.settle(session.project.inference_url, stored.name)
        manifest = watching.readable(manifest, session.project.policy.serving)
    found = watching.drift(
        session,
        watching.DriftRequest(
            stored,
            manifest,
            session.clock.now(),
            periods.Words(start, end, against, role),
            current=None if data is None else session.frame(data, manifest.kinds)[0],
            last=last,
            importance=seen.report.importance if seen else {},
            baseline=seen.report.metrics if seen else {},
            profile=Path(profile) if profile else None,
            report=Path(report) if report else None,
        ),
    )
    if data is None:  # what is asked of the model, not of any rows
        watched.noted(session, found)
    if fail and found.drifted:
        raise Drifted(watching.sentence(found), "Look at what changed, and fit the model again.", found)
    return found
