"""Deployments that are being started: noted before there is a process, so that none is left that no record knows.

A `serve` that is killed leaves its note. Whoever opens the records next finishes what it meant: a deployment without
a record is ended, and one with a record ends what it was to replace.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlops_workbench.alerts import records as alerts
from mlops_workbench.alerts.records import NewAlert
from mlops_workbench.base import files, processes
from mlops_workbench.config.project import STARTING, Project
from mlops_workbench.rollout import records
from mlops_workbench.store.context import Context

_PATIENCE = 60
"""seconds for which a process is looked for that was only just being started"""


@contextmanager
def noted(project: Project, deployment: str, model: str) -> Iterator[None]:
    """While it is started, recorded, and what was there before is stopped."""
    pid, started = processes.me()
    note = project.folder(STARTING) / f"{deployment}.json"
    text = {"model": model, "host": socket.gethostname(), "pid": pid, "pid_started": started}
    files.write_text(note, json.dumps(text))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def finish(context: Context) -> None:
    """What processes meant that ended in between. What was ended is an alert."""
    for note in sorted((context.project.state / STARTING).glob("*.json")):
        with suppress(OSError, ValueError, KeyError):
            values = json.loads(note.read_text(encoding="utf-8"))
            here = values["host"] == socket.gethostname()
            if here and not processes.alive(values["pid"], values["pid_started"]):
                _finish_one(context, note, values)


def _finish_one(context: Context, note: Path, values: dict[str, Any]) -> None:
    from mlops_workbench.rollout.runtime import deployments

    store, deployment, model = context.store, note.stem, values["model"]
    current = records.current(store, model)
    places = [place for place, live in enumerate(current) if live.deployment.id == deployment]
    if places and current[places[0]].state in ("ready", "starting"):
        for live in current[places[0] + 1 :]:  # killed before what it replaced was stopped
            deployments.stop(live.deployment)
            records.end(store, live.deployment)
        note.unlink(missing_ok=True)
        return
    ended = None if places else deployments.stop_unrecorded(deployment)
    if ended:
        message = f"{ended} of '{model}' was started by a `serve` that was killed before it was recorded; it was ended."
        alerts.raised(context, NewAlert(model, "unrecorded deployment", deployment, message, alerts.WARNING))
    age = store.clock.now().timestamp() - note.stat().st_mtime
    if ended or places or age > _PATIENCE:
        note.unlink(missing_ok=True)
