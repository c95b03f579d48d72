from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import UsageError
from mlops_workbench.interface import jobs, parsers
from mlops_workbench.interface.spec import Opt, spec, verb
from mlops_workbench.interface.types import Data, Detach, Positive

if TYPE_CHECKING:
    from mlops_workbench.jobs.queue import Job
    from mlops_workbench.notebooks.retraining import NotebookRun
    from mlops_workbench.session import Session
    from mlops_workbench.track.runs import Cell, Finished, RunRequest

CELL_SECONDS = 3600


def _work(session: Session, job: int, *, script: str, **options: Any) -> Finished | NotebookRun:
    """What the job's process does: run the notebook, or the script as a tracked run."""
    from mlops_workbench.notebooks import retraining
    from mlops_workbench.track import runs, scripts

    path = Path(script)
    if path.suffix == ".ipynb":
        asked = retraining.NotebookJob(path, options["parameters"], options["timeout"])
        return retraining.run(session, job, asked)
    os.environ["MLOPS_JOB_ID"] = str(job)
    lists: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    return tracked(session, scripts.script(path), runs.RunRequest(**lists))


@verb(stage="track", effect="kernel", example="run --name january --data train --eval held_out", work=_work)
def run(
    session: Session,
    script: Annotated[
        Any,
        Opt("Python file, or notebook, to run (a cell in a notebook has none)", metavar="FILE", offer="code"),
    ] = None,
    *,
    name: Annotated[str | None, Opt("name of the run (default: the file's)", flags=("-n",))] = None,
    data: Annotated[
        Sequence[Data],
        Opt(
            "DataFrame that the model is fitted on, or features and label (X_train y_train), or a snapshot; further "
            "ones are recorded too",
            flags=("-d",),
            several=True,
        ),
    ] = (),
    evaluate: Annotated[
        Sequence[Data],
        Opt(
            "held-out DataFrame for metrics and gate, or features and label (X_test y_test)",
            flags=("--eval", "-e"),
            several=True,
        ),
    ] = (),
    target: Annotated[
        str | None, Opt("label column (default: the one column the model does not read)")
    ] = None,
    positive: Annotated[
        str | None,
        Opt("of two classes the one that F1, precision and recall are of (default: [model], else the last)"),
    ] = None,
    params: Annotated[Sequence[str], Opt("variable to record as a parameter", offer="variable")] = (),
    metrics: Annotated[
        Sequence[str],
        Opt("variable to record as a metric: a number, or a dict of numbers", offer="variable"),
    ] = (),
    parameters: Annotated[
        Sequence[tuple[str, str]],
        Opt("of a notebook", flags=("-p", "--parameter"), parse=parsers.setting, metavar="NAME=VALUE"),
    ] = (),
    timeout: Annotated[
        Positive | None, Opt(f"seconds that one cell of a notebook may take (default: {CELL_SECONDS})")
    ] = None,
    detach: Annotated[Detach, Opt("run the file as a job and return at once; follow with jobs")] = False,
) -> Finished | Job:
    """Run a cell or a script as a tracked run, or a notebook as a job.

    `script`: a file, or a `Cell`. Raises what the code raises, `JobFailed` for a notebook that fails.
    """
    from mlops_workbench.track import runs, scripts

    if script is None:
        raise UsageError(
            "A run needs a cell below its line, or a script.", "Put the code into the same cell."
        )
    path = session.path(script) if isinstance(script, str) else None
    if path is not None and path.suffix == ".ipynb":
        own = {
            "data": data,
            "eval": evaluate,
            "target": target,
            "positive": positive,
            "params": params,
            "metrics": metrics,
        }
        for option, value in own.items():
            if value:
                raise UsageError(
                    f"The option '{option}' is for a cell or a script: a notebook has cells of its own.",
                    "Say it in the notebook, above its cell: %%mlops run …",
                )
        job = _notebook(session, path, name, dict(parameters), timeout)
        return job if detach else jobs.finished(session, job)
    if parameters or timeout:
        raise UsageError("Parameters and timeout are for a notebook.", "Name a notebook, or leave them out.")
    if path is None and name is None:
        raise UsageError("The run of a cell needs a name.", "Give one: --name NAME.")
    request = runs.RunRequest(
        name=name or (path.stem if path else ""),
        data=_variables("data", data),
        evaluate=_variables("eval", evaluate),
        params=tuple(params),
        metrics=tuple(metrics),
        target=target,
        positive=positive,
    )
    if not detach:
        return tracked(session, scripts.script(path) if path else script, request)
    if path is None:
        raise UsageError("A cell cannot run as a job: its variables are this kernel's.", "Detach a script.")
    _ = scripts.script(path)  # reports at once what cannot be run
    return _job(session, request.name, {"script": str(path)} | _as_dict(request))


def tracked(session: Session, cell: Cell, request: RunRequest) -> Finished:
    """Run it here."""
    from mlops_workbench.data import validations
    from mlops_workbench.registry import registering
    from mlops_workbench.track import kept_models, runs

    done = runs.track(session, cell, request, measure=registering.measure)
    session.tracking.log(done.run.id, tags=validations.of_run(session.store, done.run.tags))
    for model in done.models.values():
        session.models_made[id(model)] = (weakref.ref(model), done.run.id)
    if not (cell.script and done.models):
        return done
    return done.with_note(kept_models.keep(session.tracking, done.run.id, done.models))


def _notebook(
    session: Session, path: Path, name: str | None, parameters: dict[str, str], timeout: int | None
) -> Job:
    from mlops_workbench.notebooks import engine

    notebook = engine.find_notebook(path)
    options = {
        "script": str(notebook),
        "parameters": engine.typed(notebook, parameters),
        "timeout": timeout or CELL_SECONDS,
    }
    return _job(session, name or notebook.stem, options)


def _job(session: Session, name: str, options: dict[str, Any]) -> Job:
    typed = options | {"name": name, "parameters": list(options.get("parameters", {}).items())}
    return jobs.start(session, spec(run), name, options, typed=typed)


def _as_dict(request: RunRequest) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(request).items()}


def _variables(option: str, given: Sequence[Any]) -> tuple[str, ...]:
    """Rows of a run are named: they may be made by its code."""
    for one in given:
        if not isinstance(one, str):
            raise UsageError(
                f"The option '{option}' must name a variable, a file or a snapshot. Got {type(one).__name__} instead.",
                "Give the variable's name.",
            )
    return tuple(given)
