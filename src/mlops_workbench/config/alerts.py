"""`[alerts]` of `mlops.toml`: who hears of an alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class AlertsPolicy:
    """Who hears of an alert."""

    channels: Annotated[
        tuple[str, ...],
        key(
            '"log": a line of JSON each in .mlops/logs/alerts.jsonl; or names of installed plugins',
            example=("log",),
        ),
    ] = ("log",)
