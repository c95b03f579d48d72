"""What happens inside a job's process: the notebook runs, and the verdict is written whatever comes."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.base.progress import Progress
from mlops_workbench.config.project import Project
from mlops_workbench.jobs import queue as jobs
from mlops_workbench.notebooks import engine
from mlops_workbench.store.engine import Store


def execute(
    project: Project, store: Store, number: int, options: Mapping[str, Any], progress: Progress
) -> Path:
    """Run the job's notebook; the executed one is kept in the job's folder. Raises `JobFailed`."""
    notebook = Path(options["notebook"])
    output = project.folder("jobs", str(number)) / notebook.name
    jobs.set_notebook(store, number, output)
    os.environ["MLOPS_JOB_ID"] = str(number)  # what the notebook registers is tied to this job
    os.environ["MLOPS_PROJECT"] = str(project.root)  # the notebook may lie outside of it

    def scaled(message: str, fraction: float | None = None) -> None:
        progress(message, None if fraction is None else 0.95 * fraction)

    engine.execute(notebook, output, options["parameters"], scaled, options["timeout"])
    return output


def settle(store: Store, number: int, work: Callable[[], Mapping[str, Any]]) -> bool:
    """Do the work and write the verdict; a fault of ours is a failed job too, its traceback is in the log."""
    try:
        result = work()
    except MlopsError as problem:
        print(problem, flush=True)
        jobs.finish(store, number, error=str(problem))
        return False
    except Exception as problem:
        traceback.print_exc()
        jobs.finish(store, number, error=f"{type(problem).__name__}: {problem}")
        return False
    jobs.finish(store, number, result=result)
    return True
