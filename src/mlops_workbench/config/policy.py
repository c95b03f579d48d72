"""The whole of `mlops.toml`. A new section is a file with its dataclass, and a line here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated

from mlops_workbench.config.alerts import AlertsPolicy
from mlops_workbench.config.approval import ApprovalPolicy
from mlops_workbench.config.drift import DriftPolicy
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.config.image import ImagePolicy
from mlops_workbench.config.jobs import JobsPolicy
from mlops_workbench.config.model import ModelPolicy
from mlops_workbench.config.monitor import MonitorPolicy
from mlops_workbench.config.section import key
from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.config.stores import StorePolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy of a project of MLOps Workbench."""

    name: Annotated[str, key("the name of the project")]
    gate: GatePolicy = field(default_factory=GatePolicy)
    approval: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    model: ModelPolicy = field(default_factory=ModelPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    monitor: MonitorPolicy = field(default_factory=MonitorPolicy)
    serving: ServingPolicy = field(default_factory=ServingPolicy)
    jobs: JobsPolicy = field(default_factory=JobsPolicy)
    alerts: AlertsPolicy = field(default_factory=AlertsPolicy)
    image: ImagePolicy = field(default_factory=ImagePolicy)
    stores: StorePolicy = field(default_factory=StorePolicy)

    @property
    def governance(self) -> str:
        """SHA-256 over what decides who may become champion: `[gate]` and `[approval]`. An approval names it."""
        decides = {"gate": self.gate.content, "approval": asdict(self.approval)}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
