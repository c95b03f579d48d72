"""`[serving]` of `mlops.toml`: how a served model treats its callers and its log. Secrets never stand here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from mlops_workbench.config import resources
from mlops_workbench.config.section import key

LONGEST_GRACE = 30
"""seconds; `stop` waits a little longer, then kills"""
_ONE_LINE = r"^(?!.*\n)."
LogColumns = tuple[Annotated[str, key("name of a column", pattern=_ONE_LINE)], ...]
"""what serves is given them a line each"""


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """Limits of a request, the prediction log, and who may ask."""

    fast: Annotated[
        bool, key("a proven fast path answers; false: always the original model", example=True)
    ] = True
    max_body_mb: Annotated[float, key("megabytes (2²⁰ bytes) of one request", gt=0)] = 32.0
    max_rows: Annotated[int, key("rows of one request", example=10_000, gt=0)] = 10_000
    max_waiting_rows: Annotated[int, key("rows of all requests that wait; beyond it 503", gt=0)] = 20_000
    timeout_seconds: Annotated[float, key("for one request", gt=0)] = 30.0
    grace_seconds: Annotated[
        float, key("for requests in flight when the service is stopped", gt=0, le=LONGEST_GRACE)
    ] = 30.0
    when_log_fails: Annotated[
        Literal["refuse", "answer"],
        key('"answer": answered and counted when the log cannot be written', example="refuse"),
    ] = "refuse"
    durability: Annotated[
        Literal["process", "power"],
        key(
            '"power": a logged row outlives a power cut, not only a killed process',
            example="power",
        ),
    ] = "process"
    log_exclude: Annotated[
        LogColumns,
        key("columns that the log never holds", example=["name"], must="hold names of columns"),
    ] = ()
    log_hash: Annotated[
        LogColumns,
        key("columns of texts that the log holds only as HMAC-SHA256", must="hold names of columns"),
    ] = ()
    api_keys_file: Annotated[
        str,
        key("a key a line, not in git; or the variable MLOPS_API_KEYS", example="keys.txt"),
    ] = ""
    memory: Annotated[
        str,
        key(
            "memory of a container",
            example=resources.MEMORY,
            pattern=resources.MEMORY_PATTERN,
            must=resources.MEMORY_WORDS,
        ),
    ] = resources.MEMORY
    cpus: Annotated[
        float,
        key("cores of a container", example=1.0, ge=resources.FEWEST_CPUS, le=resources.MOST_CPUS),
    ] = resources.CPUS

    def __post_init__(self) -> None:
        try:
            resources.as_memory(self.memory)
        except ValueError as problem:
            raise ValueError(f"memory {problem}") from None
