"""Start, find and stop what serves. No records here: a `Deployment` in, a `Deployment` or a state out."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.rollout.runtime import containers, processes
from mlops_workbench.rollout.runtime.client import call, predict
from mlops_workbench.rollout.runtime.containers import start_container
from mlops_workbench.rollout.runtime.deployment import Deployment, State
from mlops_workbench.rollout.runtime.processes import start_local

__all__ = ["Deployment", "State", "alive", "logs", "predict", "start_container", "start_local", "stop"]

_START_SECONDS = 120
"""how long a deployment that runs but is not ready counts as starting"""


def alive(deployment: Deployment, now: datetime | None = None) -> State:
    """`ready` if it answers and can log; `stopped` after a clean end; `failed` if it died, or runs but has
    not been ready in two minutes."""
    ended = _backend(deployment).ended(deployment)
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


def stop(deployment: Deployment) -> None:
    """End it: requests in flight are answered, then it goes; after 35 s it is killed. No error if it is gone.

    A process is signalled only if it is the one that was started, not another one with its pid.
    """
    _backend(deployment).stop(deployment)


def logs(deployment: Deployment, lines: int = 40) -> str:
    """The last lines of its log."""
    return _backend(deployment).tail(deployment, lines)


class _Backend(Protocol):
    """What `processes` and `containers` both offer."""

    def ended(self, deployment: Deployment) -> Literal["stopped", "failed"] | None: ...
    def stop(self, deployment: Deployment) -> None: ...
    def tail(self, deployment: Deployment, lines: int) -> str: ...


def _backend(deployment: Deployment) -> _Backend:
    return containers if deployment.kind == "container" else processes
