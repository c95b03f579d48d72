"""What `drift` finds on logged requests, as alerts: so that `status` and the sidebar show it until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.alerts import records
from mlops_workbench.alerts.records import WARNING, NewAlert
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.store.context import Context

if TYPE_CHECKING:
    from mlops_workbench.monitor.drift import DriftReport

DRIFT = "drift"
QUALITY = "quality"
_NAMED = 4
_FEWEST_LABELS = 30
"""fewer labelled rows decide nothing"""


def noted(context: Context, found: DriftReport) -> None:
    """Raise or settle the alerts about a version's drift and quality, as it is now over the rows compared."""
    subject = f"version {found.version}"
    for kind, sentence in ((DRIFT, _drift(found)), (QUALITY, _quality(found, context.project.policy.gate))):
        if sentence is None:
            continue
        if not sentence:
            records.settled(context.store, found.model, kind, subject)
            continue
        message = f"Version {found.version} of '{found.model}': {sentence} ({found.period})."
        records.raised(
            context, NewAlert(found.model, kind, subject, message, WARNING, occurrence=found.period)
        )


def _drift(found: DriftReport) -> str:
    """Empty when nothing has drifted."""
    drifted = [f for f in found.features if f.status == "drift"]
    if not drifted:
        return ""
    names = ", ".join(f"{f.name} PSI {f.psi:.2f}" if f.psi is not None else f.name for f in drifted[:_NAMED])
    more = ", …" if len(drifted) > _NAMED else ""
    return f"{len(drifted)} of {len(found.features)} features have drifted: {names}{more}"


def _quality(found: DriftReport, policy: GatePolicy) -> str | None:
    """None when there are too few labels to tell; empty when each metric keeps the gate's threshold."""
    from mlops_workbench.track.metrics import LOWER_IS_BETTER

    seen = found.performance
    if seen is None or seen.n < _FEWEST_LABELS:
        return None
    beyond = [
        f"{name} {seen.metrics[name]:.4f}, limit {'≤' if name in LOWER_IS_BETTER else '≥'} {limit:.4f}"
        for name, limit in policy.thresholds.items()
        if name in seen.metrics
        and (seen.metrics[name] > limit if name in LOWER_IS_BETTER else seen.metrics[name] < limit)
    ]
    return f"{'; '.join(beyond)} on {seen.n:,} labelled rows" if beyond else ""
