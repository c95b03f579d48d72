"""Jobs that run a notebook: any one, or one that registers a version which is then judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.base.values import Value
from mlops_workbench.jobs import queue
from mlops_workbench.notebooks import engine, registered
from mlops_workbench.store.context import Context


@dataclass(frozen=True)
class Retrained(Value):
    """What came of a retraining. `gate`: number of the report that decided; `outcome`: all of it as a sentence."""

    version: int
    promoted: bool
    gate: int
    outcome: str


@dataclass(frozen=True)
class NotebookRun(Value):
    """What came of a notebook. `registered`: versions that it registered, as NAME/VERSION."""

    registered: tuple[str, ...]
    outcome: str


@dataclass(frozen=True)
class NotebookJob:
    """A notebook, its parameters as the notebook types them, and the seconds that one cell may take."""

    notebook: Path
    parameters: Mapping[str, Any]
    timeout: int


def run(context: Context, job: int, asked: NotebookJob, share: float = 1.0) -> NotebookRun:
    """Run the job's notebook; the executed one is kept in the job's folder. Raises `JobFailed`.

    `share`: how much of the job's progress this is.
    """
    output = context.project.folder("jobs", str(job)) / asked.notebook.name
    queue.set_notebook(context.store, job, output)
    os.environ["MLOPS_JOB_ID"] = str(job)  # the kernel is a child of this process
    os.environ["MLOPS_PROJECT"] = str(context.project.root)  # the notebook may lie outside of it

    def scaled(message: str, fraction: float | None = None) -> None:
        context.progress(message, None if fraction is None else share * fraction)

    engine.execute(asked.notebook, output, asked.parameters, scaled, asked.timeout)
    made = tuple(f"{name}/{version}" for name, version in queue.all_handed_back(context.store, job))
    return NotebookRun(made, f"registered {', '.join(made)}" if made else "ran to its end")


def execute(context: Context, job: int, model: str, asked: NotebookJob) -> int:
    """Run the job's notebook and return the version that it registered. Raises `JobFailed`."""
    run(context, job, asked, share=0.95)
    return registered.version(context.store, job, model)
