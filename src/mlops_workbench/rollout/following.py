"""Deployments that follow an alias: what they serve is brought in line with the registry, and recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_workbench.alerts import records as alerts
from mlops_workbench.alerts.records import NewAlert
from mlops_workbench.base.errors import MlopsError
from mlops_workbench.registry import promotion
from mlops_workbench.rollout import records
from mlops_workbench.rollout.followers import ask, follow_state
from mlops_workbench.rollout.pointers import Alias, point
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.rollout.runtime.environment import api_key
from mlops_workbench.track.context import TrackedContext

NOT_LOADED = "serving: version did not load"
NOT_FOLLOWED = "serving: deployment does not follow"


def look(aliases: Sequence[Alias]) -> None:
    """Make the pointers right, record which versions deployments serve now, and raise alerts for what they lack."""
    for alias in aliases:
        try:
            there = point(alias)
        except (MlopsError, OSError) as problem:
            _cannot_follow(alias, f"What it is on cannot be given to them: {problem}")
        else:
            if there is None:
                _cannot_follow(alias, "It is on no version any more; they go on with the last one.")
        for deployment in alias.deployments:
            about = ask(alias, deployment)
            if about is None:
                continue
            if (about["version"], about["digest"]) != (deployment.version, deployment.digest):
                deployment = records.moved(alias.store, deployment, about["version"], about["digest"])
            if failed := follow_state(about).get("failed"):
                alert(alias, deployment, failed)


def alert(alias: Alias, deployment: Deployment, failed: Mapping[str, Any]) -> None:
    version = failed["version"]
    alerts.raised(
        alias.context,
        NewAlert(
            alias.model,
            NOT_LOADED,
            subject=f"version {version}",
            message=f"Version {version} of '{alias.model}' did not load at {deployment.url}, which goes on with "
            f"version {deployment.version}: {failed['reason']}",
            details={"url": deployment.url, "served": deployment.version, "at": failed["at"]},
            occurrence=f"{deployment.url} {failed['at']}",
        ),
    )


def _cannot_follow(alias: Alias, why: str) -> None:
    alerts.raised(
        alias.context,
        NewAlert(
            alias.model,
            NOT_FOLLOWED,
            subject=f"alias {alias.name}",
            message=f"The alias '{alias.name}' of '{alias.model}' cannot be followed. {why}",
            occurrence=why,
        ),
    )


def followed(context: TrackedContext, model: str, alias: str) -> Alias:
    """An alias of the project's."""
    key = api_key(context.project.policy.serving, context.project.root)
    return Alias(context, model, alias, key)


def sync_followers(context: TrackedContext, model: str | None = None) -> None:
    """See to it that what follows an alias has the version that the registry says, and record what it serves."""
    known = {(d.model, str(d.follows)) for d in records.following(context.store, model)}
    for name in {name for name, _ in known}:
        promotion.reconcile(context.store, context.tracking, name)
    look([followed(context, *one) for one in sorted(known)])
