from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import NotFound
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import ModelVersion, VersionNumber

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_workbench.manifest import Manifest
    from mlops_workbench.monitor.quality import QualityReport
    from mlops_workbench.session import Session
    from mlops_workbench.track.records import RegisteredVersion


@verb(stage="monitor", effect="reads", example="quality flights --every 1w --by carrier")
def quality(
    session: Session,
    name: ModelVersion,
    *,
    every: Annotated[str, Opt("length of a window: 1d, 6h, 1w", metavar="TIME")] = "1d",
    by: Annotated[
        Sequence[str],
        Opt("also by segments: a logged feature's values, or quartiles of a number", metavar="COLUMN"),
    ] = (),
    version: VersionNumber = None,
    start: Annotated[
        str | None,
        Opt(
            "begin of the period: 30d, 2026-03-01 (default: its first row)", flags=("--from",), metavar="TIME"
        ),
    ] = None,
    end: Annotated[
        str | None, Opt("end of the period (default: now)", flags=("--to",), metavar="TIME")
    ] = None,
    estimate: Annotated[
        bool, Opt("also estimate the metrics of all rows from the model's confidence, without labels")
    ] = False,
) -> QualityReport:
    """Measure how good the answers were, by windows of their time, with intervals, as far as labels have come.

    Beside each figure: how many rows are labelled and after how long. Where less than half are, the metrics of a
    classifier with two classes are also estimated. Metrics of your own are in `[monitor.metrics]` of mlops.toml.
    """
    from mlops_workbench.monitor import judging_windows, watching
    from mlops_workbench.registry import gates
    from mlops_workbench.registry.versions import recorded

    stored = session.version(name, version)
    folder, manifest = recorded(session.tracking, stored)
    seen = gates.latest(session.store, stored.name, stored.version)
    policy = session.project.policy
    request = judging_windows.QualityRequest(
        watching.readable(manifest, policy.serving),
        str(stored.version),
        session.clock.now(),
        every,
        start,
        end,
        by,
        baseline=seen.report.metrics if seen else {},
        own=policy.monitor.metrics,
        estimate=estimate,
        held_out=lambda: _held_out(session, folder, stored, manifest),
    )
    return judging_windows.report(session.project.inference_url, request, session.progress)


def _held_out(
    session: Session, folder: Path, stored: RegisteredVersion, manifest: Manifest
) -> tuple[Any, Any]:
    """Scores that the model gives the held-out rows of its registration, and whether they are positive."""
    import numpy as np

    from mlops_workbench.registry import registering
    from mlops_workbench.rollout import loading
    from mlops_workbench.track.metrics import labels_of, positive_place

    rows = registering.held_out(session.project, stored)
    if rows is None or manifest.target is None:
        raise NotFound(
            f"Version {stored.version} of '{stored.name}' has no held-out rows to estimate from.",
            "Register it with evaluate.",
        )
    truth = labels_of(rows, manifest.target, manifest.classes, manifest.task)
    probabilities = loading.probabilities(folder, stored, rows)
    place = positive_place(manifest.classes, manifest.positive)
    return probabilities[:, place], np.asarray(truth) == manifest.classes[place]
