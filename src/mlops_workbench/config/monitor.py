"""`[monitor]` of `mlops.toml`: what else than the usual metrics a model's answers are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from mlops_workbench.config.section import key


@dataclass(frozen=True, slots=True)
class MonitorPolicy:
    """How the answers of served models are judged once labels have come."""

    metrics: Annotated[
        Mapping[str, str],
        key(
            "a metric of your own: one SQL expression of SQLite over the labelled rows of a window, with label, "
            "prediction, score and the model's columns",
            example={"savings": "SUM(CASE WHEN label = 1 AND prediction = 1 THEN 40 ELSE 0 END)"},
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, expression in self.metrics.items():
            if not expression.strip():
                raise ValueError(f"metrics must map names to SQL expressions. Got {name} = '' instead")
