"""Which runs, in which order: one question to MLflow's tables, with bound values.

MLflow's own search sorts 10,000 runs by a metric in seconds, sorts parameters as texts, and knows no duration.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TABLES = {"metric": "latest_metrics", "param": "params", "tag": "tags"}
_ATTRIBUTES = {
    "started": "runs.start_time",
    "name": "runs.name",
    "status": "runs.status",
    "seconds": "runs.end_time - runs.start_time",
}
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_OPERATORS = {sign: sign for sign in SIGNS} | {"like": "LIKE"}
_ACTIVE = "runs.experiment_id = :experiment AND runs.lifecycle_stage = 'active'"

RunQueryFunction = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
"""Runs a SELECT with `:name` parameters."""


@dataclass(frozen=True, slots=True)
class RunTest:
    """A comparison that a run must fulfil. `kind`: metric, param, tag or attribute."""

    kind: str
    key: str
    operator: str
    value: str | float


def exists(ask: RunQueryFunction, experiment: str, kind: str, name: str) -> bool:
    """Whether a run of this experiment has a metric, parameter or tag of that name."""
    sql = f"""
        SELECT 1 FROM {TABLES[kind]} AS kept JOIN runs ON runs.run_uuid = kept.run_uuid
        WHERE kept.key = :name AND {_ACTIVE} LIMIT 1
    """
    return bool(ask(sql, {"name": name, "experiment": int(experiment)}))


def find(
    ask: RunQueryFunction,
    experiment: str,
    tests: Sequence[RunTest],
    kind: str,
    key: str,
    ascending: bool,
    limit: int,
) -> list[str]:
    """Ids of the runs that fulfil all, in order: parameters and tags as numbers where they are. The newest first
    among equals; last those that have none of it."""
    values: dict[str, Any] = {"experiment": int(experiment)}
    where = " AND ".join([_ACTIVE, *(_holds(test, place, values) for place, test in enumerate(tests))])
    join = ""
    if kind in TABLES:
        join = f"LEFT JOIN {TABLES[kind]} AS kept ON kept.run_uuid = runs.run_uuid AND kept.key = :key"
        values["key"] = key
    if kind in ("param", "tag"):
        sql = f"SELECT runs.run_uuid, kept.value FROM runs {join} WHERE {where} ORDER BY runs.start_time DESC"
        rows = ask(sql, values)
        have = [(run, comparable(value)) for run, value in rows if value is not None]
        have.sort(key=lambda pair: pair[1], reverse=not ascending)  # stable: also when it is reversed
        return [*(run for run, _ in have), *(run for run, value in rows if value is None)][:limit]
    value = "CASE WHEN kept.is_nan THEN NULL ELSE kept.value END" if kind == "metric" else _ATTRIBUTES[key]
    direction = "ASC" if ascending else "DESC"
    sql = f"""
        SELECT runs.run_uuid FROM runs {join} WHERE {where}
        ORDER BY ({value}) IS NULL, {value} {direction}, runs.start_time DESC LIMIT :most
    """
    return [run for (run,) in ask(sql, values | {"most": limit})]


def _holds(test: RunTest, place: int, values: dict[str, Any]) -> str:
    """The condition in SQL; what it compares with is added to `values`."""
    compared, key = f"test{place}", f"key{place}"
    values[compared] = test.value
    sign = _OPERATORS[test.operator]
    if test.kind == "attribute":
        return f"{_ATTRIBUTES[test.key]} {sign} :{compared}"
    values[key] = test.key
    number = " AND NOT is_nan" if test.kind == "metric" else ""
    return f"""runs.run_uuid IN (
        SELECT run_uuid FROM {TABLES[test.kind]} WHERE key = :{key} AND value {sign} :{compared}{number}
    )"""


def comparable(value: Any) -> tuple[int, float, str]:
    """Numbers below texts; numbers by size, texts by the alphabet."""
    try:
        number = float(value)
    except ValueError:
        return 1, 0.0, str(value)
    return (0, number, "") if number == number else (1, 0.0, str(value))
