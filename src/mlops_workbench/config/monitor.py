"""`[monitor]` of `mlops.toml`: how long what was answered is kept, and what else it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from mlops_workbench.config.section import key

FOREVER = "forever"
_LENGTH = r"^(forever|[1-9]\d{0,5}[mhdw])$"
_MUST = 'be "forever" or a number and m, h, d or w, such as "90d"'


@dataclass(frozen=True, slots=True)
class MonitorPolicy:
    """How long what was answered is kept; `monitor` deletes what is older."""

    keep_rows: Annotated[
        str, key("logged rows and their labels", example="90d", pattern=_LENGTH, must=_MUST)
    ] = FOREVER
    keep_windows: Annotated[
        str, key("summaries of them, from which drift is told", example="400d", pattern=_LENGTH, must=_MUST)
    ] = FOREVER
    keep_minutes: Annotated[
        str,
        key("summaries by the minute; older ones are of an hour", example="7d", pattern=_LENGTH, must=_MUST),
    ] = "7d"
    metrics: Annotated[
        Mapping[str, str],
        key(
            "a metric of your own: SQL over label, prediction, score and the model's columns",
            example={"hits": "SUM(label = prediction)"},
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, expression in self.metrics.items():
            if not expression.strip():
                raise ValueError(f"metrics must map names to SQL expressions. Got {name} = '' instead")
