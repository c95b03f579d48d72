"""Runs whose process is gone: they did not end well, and whoever looks next says so."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from mlops_workbench.base import processes
from mlops_workbench.base.errors import MlopsError, StoreUnavailable
from mlops_workbench.track.tracking import Tracking

LOST = "The process ended without a word (killed, or out of memory)."


def mark() -> dict[str, str]:
    """Tags that say which process a run is of."""
    pid, started = processes.me()
    return {"process.host": socket.gethostname(), "process.pid": str(pid), "process.started": repr(started)}


def close(tracking: Tracking) -> None:
    """End those of this machine. Nothing is written, and no MLflow loaded, where there are none."""
    try:
        for run in tracking.running():
            if _lost(run.tags):
                tracking.end_lost(run.id, LOST)
    except StoreUnavailable:
        raise  # the verb would wait for it once more
    except MlopsError:
        pass  # a store that cannot be read, or only read: the verb itself will say so


def _lost(tags: Mapping[str, str]) -> bool:
    pid, started = tags.get("process.pid", ""), tags.get("process.started", "")
    if tags.get("process.host") != socket.gethostname() or not pid.isdigit():
        return False  # of another machine, or of before processes were noted
    return not processes.alive(int(pid), float(started))
