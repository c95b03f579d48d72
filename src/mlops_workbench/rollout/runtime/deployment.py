"""What serves a model, as a value that a record can keep."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.values import Value, VersionText

State = Literal["ready", "starting", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a version is started, as a process or as a container."""

    role: str = "champion"
    port: int | None = None
    """of 127.0.0.1; None: any that is free"""
    takes: int | None = None
    """port that a process listens on too, once what it replaces has let go of it"""
    log_url: str | None = None
    """of the inference log; None: nothing is logged"""
    environment: Mapping[str, str] = field(default_factory=dict)
    """variables of the runtime besides: what the policy says"""
    seconds: float = 120
    """to become ready in"""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """of the deployment; processes and containers carry it, so that one is found that no record knows"""


@dataclass(frozen=True)
class Deployment(Value):
    """A process or a container that answers (or answered) at `url`."""

    id: str
    model: str
    version: VersionText
    kind: Literal["process", "container"]
    url: str
    port: int
    role: str
    digest: str
    pid: int | None = None
    pid_started: float | None = None
    """Unix seconds: with it a reused pid is recognised"""
    container_id: str | None = None
    image: str | None = None
    log_file: str | None = None
    """where a process writes its log lines; a container's are kept by the engine"""
    follows: str | None = None
    """the alias whose version it serves, whichever that is"""
    memory: str | None = None
    """that a container may use, such as `2g`"""
    cpus: float | None = None
    started_at: datetime = field(default_factory=SYSTEM.now)

    @property
    def title(self) -> str:
        return f"{self.model} {self.version} at {self.url}"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Deployment:
        """The inverse of `to_dict`."""
        moment = datetime.fromisoformat(values["started_at"])
        return cls(**{**values, "version": str(values["version"]), "started_at": moment})
