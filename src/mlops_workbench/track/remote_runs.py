"""`--where` and `--sort` of `runs` for a tracking server, whose tables cannot be asked: all its runs are looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mlops_workbench.track.ranking import SIGNS, Test, comparable


def is_server(url: str) -> bool:
    """Whether runs are kept behind HTTP, not in a database that we can read."""
    return url.startswith(("http://", "https://", "databricks"))


def value_of(run: Any, kind: str, key: str) -> Any:
    """A figure of one of MLflow's runs; None where it has none. Seconds for `seconds`, else as MLflow keeps it."""
    if kind == "attribute":
        info = run.info
        if key == "seconds":
            return None if info.end_time is None else info.end_time - info.start_time
        return {"started": info.start_time, "name": info.run_name, "status": info.status}[key]
    kept = {"metric": run.data.metrics, "param": run.data.params, "tag": run.data.tags}[kind]
    value = kept.get(key)
    return None if value != value else value  # NaN is no figure


def holds(run: Any, test: Test) -> bool:
    value = value_of(run, test.kind, test.key)
    if value is None:
        return False
    if test.operator == "like":
        parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in str(test.value))
        return re.fullmatch("".join(parts), str(value), re.IGNORECASE | re.DOTALL) is not None
    return bool(SIGNS[test.operator](value, test.value))


def chosen(
    runs: Sequence[Any], tests: Sequence[Test], kind: str, key: str, ascending: bool, limit: int
) -> list[Any]:
    """Of runs that come newest first: those that fulfil all tests, in order; last those that have no such figure."""
    fit = [run for run in runs if all(holds(run, test) for test in tests)]
    have = [run for run in fit if value_of(run, kind, key) is not None]
    have.sort(key=lambda run: comparable(value_of(run, kind, key)), reverse=not ascending)
    return [*have, *(run for run in fit if value_of(run, kind, key) is None)][:limit]
