"""What a deployment that follows an alias says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.rollout.pointers import Alias
from mlops_workbench.rollout.runtime.client import call
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.serving.pointer import Target


def ask(alias: Alias, deployment: Deployment) -> Mapping[str, Any] | None:
    """What it says at `GET /`; None when it does not answer as ours do."""
    try:
        status, said = call(f"{deployment.url}/", key=alias.key, seconds=2)
    except ServingFailed:
        return None
    return said if status == 200 and said.get("name") == alias.model and said.get("follow") else None


def follow_state(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = said["follow"]
    return found


def generation_of(said: Mapping[str, Any]) -> str | None:
    """Of the pointer that it obeyed last; runtimes of earlier images call it `turn`."""
    follow = follow_state(said)
    found: str | None = follow.get("generation", follow.get("turn"))
    return found


def serves(said: Mapping[str, Any], target: Target) -> bool:
    return _same(said, target)


def has_decided(said: Mapping[str, Any], target: Target, generation: str) -> bool:
    """Whether it has decided about the version: ready, served already, or failed."""
    return serves(said, target) or generation_of(said) == generation


def failure(said: Mapping[str, Any], target: Target) -> Mapping[str, Any] | None:
    failed = follow_state(said).get("failed")
    return failed if failed and _same(failed, target) else None


def _same(said: Mapping[str, Any], target: Target) -> bool:
    return (said.get("version"), said.get("digest")) == (target.version, target.digest)
