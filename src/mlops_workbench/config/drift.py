"""`[drift]` of `mlops.toml`: from which PSI (population stability index) a feature has drifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """From which PSI (population stability index) a feature has drifted."""

    warn: Annotated[float, key("PSI from which a feature is watched", written=True, gt=0)] = 0.1
    drift: Annotated[float, key("PSI from which a feature has drifted", written=True, gt=0)] = 0.2

    def __post_init__(self) -> None:
        if self.warn > self.drift:
            raise ValueError(
                f"needs 0 < warn ≤ drift. Got warn = {self.warn!r} and drift = {self.drift!r} instead"
            )
