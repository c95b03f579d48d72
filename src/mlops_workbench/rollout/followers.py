"""What a deployment that follows an alias reports of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.rollout.pointers import Alias
from mlops_workbench.rollout.runtime.client import call
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.serving.pointer import Target


def ask(alias: Alias, deployment: Deployment) -> Mapping[str, Any] | None:
    """What it reports at `GET /`; None when it does not answer as ours do."""
    try:
        status, about = call(f"{deployment.url}/", key=alias.key, seconds=2)
    except ServingFailed:
        return None
    return about if status == 200 and about.get("name") == alias.model and about.get("follow") else None


def follow_state(about: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = about["follow"]
    return found


def generation_of(about: Mapping[str, Any]) -> str | None:
    """Of the pointer that it obeyed last; runtimes of earlier images call it `turn`."""
    follow = follow_state(about)
    found: str | None = follow.get("generation", follow.get("turn"))
    return found


def serves(about: Mapping[str, Any], target: Target) -> bool:
    return _same(about, target)


def has_decided(about: Mapping[str, Any], target: Target, generation: str) -> bool:
    """Whether it has decided about the version: ready, served already, or failed."""
    return serves(about, target) or generation_of(about) == generation


def failure(about: Mapping[str, Any], target: Target) -> Mapping[str, Any] | None:
    failed = follow_state(about).get("failed")
    return failed if failed and _same(failed, target) else None


def _same(about: Mapping[str, Any], target: Target) -> bool:
    return (about.get("version"), about.get("digest")) == (target.version, target.digest)
