"""`[gate]` of `mlops.toml`: what a version must show before it may become champion. Plain values, no file access."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SlicePolicy:
    """`[gate.slices]`: no part of the rows may be judged much worse than the whole."""

    columns: tuple[str, ...] = ()
    """columns whose values cut the rows into slices (numbers: quartiles); empty: no check"""
    minimum_rows: int = 50
    """smaller slices are not judged: their figure is chance"""
    tolerance: float = 0.1
    """how much worse than the whole the worst slice may be, as a share of the whole's figure"""
    metric: str = ""
    """metric that the slices are judged by; empty: the one that decides"""


@dataclass(frozen=True, slots=True)
class FairnessPolicy:
    """`[gate.fairness]`: how differently groups of people may be treated, in Fairlearn's metrics."""

    column: str = ""
    """sensitive column; it must be in the rows, the model need not read it. Empty: no check"""
    metric: str = "demographic_parity_difference"
    """Fairlearn's name; or, for any model, a metric's own name with `_difference` or `_ratio`: rmse_difference"""
    limit: float = 0.1
    """at most this for a difference, at least this for a ratio"""
    minimum_rows: int = 20
    """smaller groups are not judged; they are named"""


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """`[gate.latency]`: measured on the serving runtime in a process of its own, over HTTP."""

    p99_ms: float = 0.0
    """milliseconds that 99 of 100 requests may take; 0: no limit"""
    rows: int = 1
    """rows in a request"""
    memory_mb: float = 0.0
    """megabytes (10⁶ bytes) of resident memory after the requests; 0: no limit"""


@dataclass(frozen=True, slots=True)
class RegressionPolicy:
    """`[gate.regression]`: cases that must stay right."""

    cases: str = ""
    """.csv or .parquet below the project: the model's columns, and the required answer in the column `expected`
    or the label's. Empty: no check"""
    tolerance: float = 0.0
    """by how much a number may differ from the required one; a column `tolerance` says it row by row"""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """`[gate]`: what a version must show before it may become champion."""

    metric: str = ""
    """metric that decides; empty: roc_auc, balanced_accuracy or rmse by task"""
    tolerance: float = 0.02
    """how much worse than the champion is still accepted, as a share of the champion's figure: the whole
    confidence interval of the gain must lie above minus this (a non-inferiority test)"""
    confidence: float = 0.9
    """of the bootstrap interval of the difference to the champion; 0 < confidence < 1"""
    first_version: str = "refuse"
    """may a version pass while there is no champion? `refuse`: only when a person says so with the gate;
    `allow`: always"""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """metric = limit: at least that for scores, at most that for errors and losses"""
    slices: SlicePolicy = field(default_factory=SlicePolicy)
    fairness: FairnessPolicy = field(default_factory=FairnessPolicy)
    latency: LatencyPolicy = field(default_factory=LatencyPolicy)
    regression: RegressionPolicy = field(default_factory=RegressionPolicy)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of its canonical JSON: two policies with one digest ask the same."""
        body = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()


def faults(gate: GatePolicy) -> Iterator[tuple[str, str]]:
    """What is wrong in a policy: where (`[gate] tolerance`), and what it must be and is instead."""

    def must(section: str, key: str, said: str, value: Any) -> tuple[str, str]:
        return f"[{section}] {key}", f"must {said}. Got {value!r} instead"

    if gate.first_version not in ("allow", "refuse"):
        yield must("gate", "first_version", "be 'allow' or 'refuse'", gate.first_version)
    if not 0 < gate.confidence < 1:
        yield must("gate", "confidence", "lie between 0 and 1", gate.confidence)
    if gate.tolerance < 0:
        yield must("gate", "tolerance", "not be negative", gate.tolerance)
    slices, fairness, latency, cases = gate.slices, gate.fairness, gate.latency, gate.regression
    if slices.minimum_rows < 1:
        yield must("gate.slices", "minimum_rows", "be 1 or more", slices.minimum_rows)
    if slices.tolerance < 0:
        yield must("gate.slices", "tolerance", "not be negative", slices.tolerance)
    if not fairness.metric.endswith(("_difference", "_ratio")):
        yield must("gate.fairness", "metric", "end in '_difference' or '_ratio'", fairness.metric)
    if fairness.limit < 0 or (fairness.metric.endswith("_ratio") and fairness.limit > 1):
        wanted = "lie between 0 and 1 for a ratio" if fairness.limit > 1 else "not be negative"
        yield must("gate.fairness", "limit", wanted, fairness.limit)
    if fairness.minimum_rows < 1:
        yield must("gate.fairness", "minimum_rows", "be 1 or more", fairness.minimum_rows)
    for key, value in (("p99_ms", latency.p99_ms), ("memory_mb", latency.memory_mb)):
        if value < 0:
            yield must("gate.latency", key, "not be negative", value)
    if not 1 <= latency.rows <= 10_000:
        yield must("gate.latency", "rows", "lie between 1 and 10000", latency.rows)
    if cases.tolerance < 0:
        yield must("gate.regression", "tolerance", "not be negative", cases.tolerance)
    if cases.cases and not cases.cases.endswith((".csv", ".parquet")):
        yield must("gate.regression", "cases", "be a .csv or .parquet file", cases.cases)
    # A section that sets something but not what switches its check on would be read as a check that is there.
    if slices != SlicePolicy() and not slices.columns:
        yield must("gate.slices", "columns", "name a column or more", [])
    if fairness != FairnessPolicy() and not fairness.column:
        yield must("gate.fairness", "column", "name the sensitive column", "")
    if latency != LatencyPolicy() and not latency.p99_ms and not latency.memory_mb:
        yield "[gate.latency]", "must set p99_ms or memory_mb. Got neither instead"
    if cases != RegressionPolicy() and not cases.cases:
        yield must("gate.regression", "cases", "name a file", "")
