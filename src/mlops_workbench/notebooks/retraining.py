"""A retraining job: its notebook runs, and hands back the version that it registered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import NotFound
from mlops_workbench.base.values import Value
from mlops_workbench.jobs import queue
from mlops_workbench.notebooks import engine
from mlops_workbench.store.context import Context


@dataclass(frozen=True)
class Retrained(Value):
    """What came of a retraining. `gate`: number of the report that decided; `outcome`: all of it as a sentence."""

    version: int
    promoted: bool
    gate: int
    outcome: str


def execute(
    context: Context, job: int, model: str, notebook: Path, parameters: Mapping[str, Any], timeout: int
) -> int:
    """Run the job's notebook and return the version that it registered; the executed one is kept in the job's folder.

    Raises `JobFailed`, or `NotFound` when it registered none.
    """
    output = context.project.folder("jobs", str(job)) / notebook.name
    queue.set_notebook(context.store, job, output)
    os.environ["MLOPS_JOB_ID"] = str(job)  # the kernel is a child of this process
    os.environ["MLOPS_PROJECT"] = str(context.project.root)  # the notebook may lie outside of it

    def scaled(message: str, fraction: float | None = None) -> None:
        context.progress(message, None if fraction is None else 0.95 * fraction)

    engine.execute(notebook, output, parameters, scaled, timeout)
    version = queue.handed_back(context.store, job, model)
    if version is None:
        raise NotFound(f"The notebook registered no version of '{model}'.", "Let it register one.")
    return version
