"""Start, find and stop what serves. No records here: a `Deployment` in, a `Deployment` or a state out."""

from __future__ import annotations

from typing import Protocol

from mlops_workbench.rollout.runtime import containers, processes
from mlops_workbench.rollout.runtime.client import predict
from mlops_workbench.rollout.runtime.containers import start_container
from mlops_workbench.rollout.runtime.deployment import Deployment, State
from mlops_workbench.rollout.runtime.liveness import alive
from mlops_workbench.rollout.runtime.processes import start_local

__all__ = [
    "Deployment",
    "State",
    "alive",
    "logs",
    "predict",
    "start_container",
    "start_local",
    "stop",
    "stop_unrecorded",
]


def stop(deployment: Deployment) -> None:
    """End it: requests in flight are answered, then it goes; after 35 s it is killed. No error if it is gone.

    A process is signalled only if it is the one that was started, not another one with its pid.
    """
    _backend(deployment).stop(deployment)


def stop_unrecorded(deployment: str) -> str | None:
    """End what was started for a deployment that has no record; what that was, or None."""
    return processes.stop_unrecorded(deployment) or containers.stop_unrecorded(deployment)


def logs(deployment: Deployment, lines: int = 40) -> str:
    """The last lines of its log."""
    return _backend(deployment).tail(deployment, lines)


class _Backend(Protocol):
    """What `processes` and `containers` both offer."""

    def stop(self, deployment: Deployment) -> None: ...
    def tail(self, deployment: Deployment, lines: int) -> str: ...


def _backend(deployment: Deployment) -> _Backend:
    return containers if deployment.kind == "container" else processes
