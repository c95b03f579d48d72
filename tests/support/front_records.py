"""Records for the front end's tests, made by the core itself from a small real project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import projects

from mlops_workbench.alerts import records as alerts
from mlops_workbench.alerts.records import NewAlert
from mlops_workbench.jobs import queue
from mlops_workbench.notebooks.retraining import Retrained
from mlops_workbench.workbench import Workbench

READS = ("status", "models", "runs", "deployments", "jobs", "alerts")


def made(folder: Path) -> dict[str, Any]:
    """What the reading verbs answer, by name: a champion that is served and follows, a later version with a green gate,
    one without, an open alert, and a job of each kind of end beside one that runs."""
    workbench = projects.project(folder / "template", folder / "trips")
    try:
        projects.champion(workbench)
        second = workbench.register(projects.fit(workbench, c=0.5, run="second"), name="trips").version
        workbench.gate("trips", version=second)
        workbench.register(projects.fit(workbench, c=0.1, run="third"), name="trips")
        alerts.raised(workbench, NewAlert("trips", "follow", "champion", "It could not follow."))
        workbench.serve("trips", kind="process", follow=True)
        try:
            return _with_jobs(workbench)
        finally:
            workbench.stop("trips")
    finally:
        workbench.close()


def _with_jobs(workbench: Workbench) -> dict[str, Any]:
    """The jobs' rows are written as a job's own process writes them; no process of their own is needed for that."""
    store = workbench.store
    ends: tuple[dict[str, Any], ...] = (
        {"result": Retrained(2, False, 2, "version 2 did not pass the gate").to_dict()},
        {"error": "Cell 3 of retrain.ipynb: KeyError: 'month'. See its notebook."},
    )
    for end in ends:
        number = _queued(workbench)
        with queue.running(store, number):
            queue.set_notebook(store, number, workbench.project.folder("jobs", str(number)) / "retrain.ipynb")
            queue.finish(store, number, **end)
    with queue.running(store, _queued(workbench)) as progress:
        progress("cell 2 of 4", 0.5)
        return {verb: getattr(workbench, verb)().to_dict() for verb in READS}


def _queued(workbench: Workbench) -> int:
    line = "retrain trips --notebook retrain.ipynb"
    return queue.create(workbench.project, workbench.store, "retrain", "trips", {}, line)


ALWAYS: dict[str, Any] = {
    "port": 8080,
    "pid": 4242,
    "pid_started": 1767225600.0,
    "seconds": 1.5,
    "who": "ada",
    "system.seconds": "0.05",
    "system.cpu_seconds": "0.05",
    "system.memory_before_mb": "400.0",
    "system.peak_memory_mb": "400.0",
    "process.host": "laptop",
    "process.pid": "4711",
    "process.started": "1795689600.0",
}
"""what differs from run to run or from machine to machine, by key"""
PATTERNS = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", "2026-01-01T00:00:00+00:00"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(?!:?\d)", "2026-01-01 00:00"),
    (r"127\.0\.0\.1:\d+", f"127.0.0.1:{ALWAYS['port']}"),
    (r"largest difference \S+", "largest difference 1e-16"),
)
"""and by its form"""
IDS = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12})\b")


def fixed(records: dict[str, Any]) -> dict[str, Any]:
    """The same with fixed values for all that differs; what had the same id has it still."""
    root = records["status"]["root"]
    ids: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], f"{len(ids) + 1:x}".rjust(len(found[0]), "0"))

    def text(value: str) -> str:
        value = value.replace(root, "/home/ada/trips")
        for pattern, instead in PATTERNS:
            value = re.sub(pattern, instead, value)
        return IDS.sub(numbered, value)

    def one(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: ALWAYS[k] if k in ALWAYS and v is not None else one(v) for k, v in value.items()}
        if isinstance(value, list):
            return [one(v) for v in value]
        if isinstance(value, float):
            return round(value, 4)
        return text(value) if isinstance(value, str) else value

    return {name: one(value) for name, value in records.items()}


def shape(value: Any) -> Any:
    """Keys and JSON types, all the way down; of a run's parameters and tags, which libraries name, only the types."""
    if isinstance(value, dict):
        inner = {key: shape(one) for key, one in value.items()}
        return inner | {key: set(inner[key].values()) for key in ("params", "tags") if key in inner}
    if isinstance(value, list):
        return [shape(one) for one in value]
    if value is None or isinstance(value, bool | str):
        return type(value).__name__
    return "number"
