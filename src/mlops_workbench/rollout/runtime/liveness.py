"""The state that a deployment is in now. Nothing of Docker or of processes is loaded before one is asked about."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.rollout.runtime.client import call
from mlops_workbench.rollout.runtime.deployment import Deployment, State

_START_SECONDS = 120
"""how long a deployment that runs but is not ready counts as starting"""


def alive(deployment: Deployment, now: datetime | None = None) -> State:
    """`ready` if it answers and can log; `stopped` after a clean end; `failed` if it died, or runs but has
    not been ready in two minutes."""
    ended = _ended(deployment)
    if ended is not None:
        return ended
    try:
        status, _ = call(f"{deployment.url}/health/ready", seconds=2)
    except ServingFailed:
        status = 0
    if status == 200:
        return "ready"
    age = ((now or SYSTEM.now()) - deployment.started_at).total_seconds()
    return "starting" if age < _START_SECONDS else "failed"


def _ended(deployment: Deployment) -> Literal["stopped", "failed"] | None:
    if deployment.kind == "container":
        from mlops_workbench.rollout.runtime import containers

        return containers.ended(deployment)
    from mlops_workbench.rollout.runtime import processes

    return processes.ended(deployment)
