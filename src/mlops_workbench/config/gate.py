"""`[gate]` of `mlops.toml`: what a version must show before it may become champion. Plain values, no file access."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from mlops_workbench.config.section import key, sets_something

# In each optional check below: a section that sets something but not what switches its check on would be read
# as a check that is there.


@dataclass(frozen=True, slots=True)
class SlicePolicy:
    """The worst slice of the rows may be this much worse than the whole."""

    columns: Annotated[
        tuple[str, ...],
        key("columns whose values cut the rows into slices (numbers: quartiles)", example=["carrier"]),
    ] = ()
    minimum_rows: Annotated[int, key("smaller slices are not judged: their metric is noise", ge=1)] = 50
    tolerance: Annotated[
        float, key("how much worse, as a share of the metric of the whole", example=0.1, ge=0)
    ] = 0.1
    metric: Annotated[str, key("metric that judges the slices; empty: the one that decides")] = ""

    def __post_init__(self) -> None:
        if sets_something(self) and not self.columns:
            raise ValueError("columns must name a column or more. Got [] instead")


@dataclass(frozen=True, slots=True)
class FairnessPolicy:
    """How differently groups of people may be treated, in Fairlearn's metrics."""

    column: Annotated[str, key("sensitive column of the rows; the model need not read it", example="sex")] = (
        ""
    )
    metric: Annotated[
        str,
        key(
            "Fairlearn's name, or any metric's and an ending: rmse_difference",
            example="demographic_parity_difference",
            pattern="_(difference|ratio)$",
            must="end in '_difference' or '_ratio'",
        ),
    ] = "demographic_parity_difference"
    limit: Annotated[float, key("at most this difference, or at least this ratio", example=0.1, ge=0)] = 0.1
    minimum_rows: Annotated[int, key("smaller groups are not judged; they are named", ge=1)] = 20

    def __post_init__(self) -> None:
        if self.metric.endswith("_ratio") and self.limit > 1:
            raise ValueError(f"limit must lie between 0 and 1 for a ratio. Got {self.limit!r} instead")
        if sets_something(self) and not self.column:
            raise ValueError("column must name the sensitive column. Got '' instead")


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """Measured on the serving runtime in a process of its own, over HTTP."""

    p99_ms: Annotated[
        float, key("milliseconds that 99 of 100 requests may take; 0: no limit", example=50, ge=0)
    ] = 0.0
    rows: Annotated[int, key("rows in a request", ge=1, le=10_000)] = 1
    memory_mb: Annotated[
        float,
        key("megabytes (10⁶ bytes) in memory after the requests; 0: no limit", example=500, ge=0),
    ] = 0.0

    def __post_init__(self) -> None:
        if sets_something(self) and not self.p99_ms and not self.memory_mb:
            raise ValueError("must set p99_ms or memory_mb. Got neither instead")


@dataclass(frozen=True, slots=True)
class RegressionPolicy:
    """Cases that must stay right: inputs with required answers."""

    cases: Annotated[
        str,
        key(
            "table below the project: the model's columns, and `expected` or the label",
            example="contracts/cases.csv",
            pattern=r"^$|\.(csv|parquet)$",
            must="be a .csv or .parquet file",
        ),
    ] = ""
    tolerance: Annotated[
        float, key("by how much a number may differ; a column `tolerance` says it row by row", ge=0)
    ] = 0.0

    def __post_init__(self) -> None:
        if sets_something(self) and not self.cases:
            raise ValueError("cases must name a file. Got '' instead")


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What a version must show before it may become champion."""

    metric: Annotated[
        str, key("metric that decides; empty, by task: roc_auc, balanced_accuracy or rmse", example="roc_auc")
    ] = ""
    tolerance: Annotated[
        float,
        key("how much worse than the champion is accepted, as a share of its metric", written=True, ge=0),
    ] = 0.02
    confidence: Annotated[
        float,
        key(
            "of the bootstrap interval of the gain, which must lie above minus that", written=True, gt=0, lt=1
        ),
    ] = 0.9
    first_version: Annotated[
        Literal["allow", "refuse"],
        key('without a champion: passes only by `gate --first`; "allow": always', written=True),
    ] = "refuse"
    trained_rows: Annotated[
        float,
        key("share of the judged rows that candidate or champion may have been fitted on", ge=0, le=1),
    ] = 0.01
    thresholds: Annotated[
        Mapping[str, float],
        key("at least this for scores, at most this for errors and losses", example={"roc_auc": 0.6}),
    ] = field(default_factory=dict)
    regression: RegressionPolicy = field(default_factory=RegressionPolicy)
    slices: SlicePolicy = field(default_factory=SlicePolicy)
    fairness: FairnessPolicy = field(default_factory=FairnessPolicy)
    latency: LatencyPolicy = field(default_factory=LatencyPolicy)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def content(self) -> dict[str, Any]:
        """What digests are made of: keys younger than stored reports and approvals are in it only when they are set."""
        found = self.to_dict()
        if self.trained_rows == GatePolicy().trained_rows:
            del found["trained_rows"]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical JSON: two policies with one digest ask the same."""
        body = json.dumps(self.content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()
