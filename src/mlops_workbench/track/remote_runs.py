"""`--where` and `--sort` of `runs` where the tables cannot be asked: all runs that MLflow's client gives are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_workbench.track.ranking import SIGNS, RunTest, comparable


def value_of(run: Any, kind: str, key: str) -> Any:
    """A value of one of MLflow's runs; None where it has none. Seconds for `seconds`, else as MLflow keeps it."""
    if kind == "attribute":
        info = run.info
        if key == "seconds":
            return None if info.end_time is None else info.end_time - info.start_time
        return {"started": info.start_time, "name": info.run_name, "status": info.status}[key]
    value = kept(run, kind).get(key)
    return None if value != value else value  # NaN cannot be compared


def kept(run: Any, kind: str) -> Mapping[str, Any]:
    """The metrics, parameters or tags of one of MLflow's runs."""
    found: Mapping[str, Any] = {
        "metric": run.data.metrics,
        "param": run.data.params,
        "tag": run.data.tags,
    }[kind]
    return found


def holds(run: Any, test: RunTest) -> bool:
    value = value_of(run, test.kind, test.key)
    if value is None:
        return False
    if test.operator == "like":
        parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in str(test.value))
        return re.fullmatch("".join(parts), str(value), re.IGNORECASE | re.DOTALL) is not None
    return bool(SIGNS[test.operator](value, test.value))


def chosen(
    runs: Sequence[Any], tests: Sequence[RunTest], kind: str, key: str, ascending: bool, limit: int
) -> list[Any]:
    """Of runs that come newest first: those that fulfil all tests, in order; last those that have no such value."""
    fit = [run for run in runs if all(holds(run, test) for test in tests)]
    have = [run for run in fit if value_of(run, kind, key) is not None]
    have.sort(key=lambda run: comparable(value_of(run, kind, key)), reverse=not ascending)
    return [*have, *(run for run in fit if value_of(run, kind, key) is None)][:limit]
