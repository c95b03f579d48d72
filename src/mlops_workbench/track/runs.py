"""A tracked run: a cell or a script, run as it is, with what went in and what came out written down."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.data import frames, snapshots
from mlops_workbench.data.frames import Fingerprint
from mlops_workbench.errors import InvalidData, NotFound, closest
from mlops_workbench.project import Project
from mlops_workbench.store.database import Store
from mlops_workbench.track import requirements, source
from mlops_workbench.track.tracking import Run, Tracking
from mlops_workbench.values import Value

SOURCE = "source.py"
ENVIRONMENT = "requirements.txt"
"""artifacts of every run: the code that ran, and all that was installed"""


@dataclass(frozen=True, slots=True)
class Cell:
    """Code to run as a tracked run. `execute` runs it in `namespace` and raises what it raises.

    `python`: the source as Python, where that is not what was typed (a cell with magics).
    """

    source: str
    execute: Callable[[], Any]
    namespace: Mapping[str, Any]
    python: str = ""

    @property
    def names(self) -> set[str]:
        return source.names_in(self.python or self.source)


@dataclass(frozen=True)
class Finished(Value):
    """A run that ended well: the run, the models it made by variable, and the data it was given."""

    run: Run
    models: Mapping[str, Any]
    data: Fingerprint | None
    evaluate: Fingerprint | None

    def to_dict(self) -> dict[str, Any]:
        return self.run.to_dict() | {"models": list(self.models)}

    @property
    def title(self) -> str:
        made = f", made {', '.join(self.models)}" if self.models else ""
        return f"Run '{self.run.name}' finished in {self.run.seconds or 0:.1f} s{made}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        rows = [
            [what, f"{mark.name}: {mark.rows:,} rows × {mark.columns} columns, sha256 {mark.sha256[:12]}"]
            for what, mark in (("fitted on", self.data), ("held out", self.evaluate))
            if mark
        ]
        return ["", ""], rows + [[name, value] for name, value in self.run.metrics.items()]


def script(path: Path) -> Cell:
    """A Python file as a cell with a namespace of its own. Raises `NotFound`, `InvalidData`."""
    if not path.is_file():
        raise NotFound(f"There is no script '{path}'.", "Give a Python file, or a cell.")
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise InvalidData(f"'{path}' is not a text in UTF-8: {problem}.", "Give a Python file.") from None

    def execute() -> None:
        sys.path.insert(0, str(path.resolve().parent))  # as `python SCRIPT` does, for what lies beside it
        try:
            # Without dont_inherit the script would get this file's `from __future__ import annotations`.
            exec(compile(text, str(path), "exec", dont_inherit=True), namespace)  # noqa: S102 - run as asked
        except SystemExit as end:
            if end.code not in (None, 0):  # `sys.exit(main())` is how a script ends well
                raise
        finally:
            with contextlib.suppress(ValueError):  # the script may have taken it out itself
                sys.path.remove(str(path.resolve().parent))

    return Cell(text, execute, namespace)


def track(
    project: Project,
    store: Store,
    tracking: Tracking,
    cell: Cell,
    *,
    name: str,
    data: str | None,
    evaluate: str | None,
    params: Sequence[str],
    measure: Callable[[Any, Any, str, str | None], tuple[dict[str, float], str | None]],
    target: str | None,
) -> Finished:
    """Run the cell inside an MLflow run. What the cell raises fails the run and is raised on.

    `measure(model, frame, name, target)`: metrics on held-out rows and the label column; handed in by the workbench.
    """
    wanted = [n for n in (data, evaluate, *params) if n is not None]
    _check_names(cell, wanted)
    tags = {"folder": str(project.root)} | source.git_state(project.root)
    if job := os.environ.get("MLOPS_JOB_ID"):
        tags["job"] = job
    if notebook := os.environ.get("IPYNB_FILE") or os.environ.get("JPY_SESSION_NAME"):
        tags["notebook"] = notebook
    with tracking.start(name, tags) as run_id:
        environment = "\n".join(requirements.installed()) + "\n"
        tracking.log(run_id, texts={SOURCE: cell.source, ENVIRONMENT: environment})
        cell.execute()
        space = cell.namespace
        marks: dict[str, Fingerprint] = {}
        rows: dict[str, Any] = {}
        for what, variable in (("data", data), ("evaluate", evaluate)):
            if variable is not None:
                rows[what], _ = frames.resolve(variable, space)
                marks[what] = snapshots.keep(project, store, rows[what], variable)
        models = source.models_made(cell.names, space)
        logged: dict[str, Any] = {}
        for variable, model in models.items():
            prefix = f"{variable}." if len(models) > 1 else ""
            logged |= {prefix + k: v for k, v in source.scalar_params(model).items()}
        for variable in params:
            if variable not in space:
                raise NotFound(f"The code made no variable '{variable}'.", "Name one that it makes.")
            logged[variable] = space[variable]
        already = tracking.run(
            run_id
        ).params  # by the cell or MLflow's autologging; a parameter is written once
        metrics: dict[str, float] = {}
        found = target
        if len(models) == 1 and "evaluate" in rows:
            metrics, found = measure(next(iter(models.values())), rows["evaluate"], str(evaluate), target)
        tracking.log(
            run_id,
            params={k: v for k, v in _loggable(logged).items() if k not in already},
            metrics=metrics,
            tags={f"{what}.{key}": str(value) for what, mark in marks.items() for key, value in _tags(mark)}
            | ({"target": found} if found else {})
            | {"models": ",".join(models)},
        )
    return Finished(tracking.run(run_id), models, marks.get("data"), marks.get("evaluate"))


def _loggable(params: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow takes few characters in a name; a step of a pipeline may have any."""
    return {re.sub(r"[^\w.\- :/]", "_", name)[:250]: value for name, value in params.items()}


def _tags(mark: Fingerprint) -> list[tuple[str, Any]]:
    return [("name", mark.name), ("sha256", mark.sha256), ("rows", mark.rows), ("columns", mark.columns)]


def _check_names(cell: Cell, wanted: Sequence[str]) -> None:
    """A variable that neither exists nor is named in the code cannot be meant: say so before anything runs."""
    named = cell.names
    for name in wanted:
        if name not in cell.namespace and name not in named and Path(name).suffix not in frames.READERS:
            known = [
                k
                for k, v in cell.namespace.items()
                if not k.startswith("_") and not callable(v) and k not in ("In", "Out")  # IPython's own
            ]
            raise NotFound(f"There is no variable '{name}'.", closest(name, known))
