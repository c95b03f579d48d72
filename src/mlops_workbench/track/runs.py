"""A tracked run: a cell or a script, run as it is, with what went in and what came out written down."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_workbench.base.errors import NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import Project
from mlops_workbench.data.files import is_table
from mlops_workbench.data.frames import Fingerprint
from mlops_workbench.track import (
    autologging,
    flavours,
    lost_runs,
    notebook,
    requirements,
    seeds,
    served_estimator,
    source,
)
from mlops_workbench.track import returned_metrics as figures_of
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.evaluation import Evaluation
from mlops_workbench.track.held_out import HeldOutMeasure, Judged, attach, judge, not_held_out
from mlops_workbench.track.input_data import Given, GivenRows, KeptRows
from mlops_workbench.track.observing import Observed, open_figures, picture_of
from mlops_workbench.track.records import CHANGES, CHOSEN, ENVIRONMENT, NOTEBOOK, SOURCE, Run, is_training
from mlops_workbench.track.tracking import Tracking

_LONGEST_TAG = 4000

Watch = Callable[[Callable[[Mapping[str, Any]], None]], AbstractContextManager[None]]


def _unwatched(_shown: Callable[[Mapping[str, Any]], None]) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Cell:
    """Code to run as a tracked run. `execute` runs it in `namespace`, returns the value of its last expression, and
    raises what it raises.

    `python`: the source as Python, where that is not what was typed (a cell with magics). `typed`: the cell as it
    stands in the notebook, and `earlier` the cells that ended well before it. `watching`: reports what is displayed
    while it lasts, as MIME bundles. `script`: it is a file, which has no notebook.
    """

    source: str
    execute: Callable[[], Any]
    namespace: MutableMapping[str, Any]
    python: str = ""
    typed: str = ""
    earlier: tuple[str, ...] = ()
    watching: Watch = _unwatched
    script: bool = False
    folder: str = ""
    """of a script: where modules that lie beside it are"""

    @property
    def names(self) -> set[str]:
        return source.names_in(self.python or self.source)


@dataclass(frozen=True)
class Finished(Value):
    """A run that ended well: the run, the models it made by variable, the data it was given, its evaluation."""

    run: Run
    models: Mapping[str, Any]
    data: Fingerprint | None
    evaluate: Fingerprint | None
    also: tuple[Fingerprint, ...] = ()
    evaluation: Evaluation | None = field(default=None)
    note: str = ""
    script: bool = False

    def with_note(self, more: str) -> Finished:
        return replace(self, note=" ".join(filter(None, (self.note, more))))

    def to_dict(self) -> dict[str, Any]:
        return self.run.to_dict() | {"models": list(self.models), "note": self.note}

    @property
    def title(self) -> str:
        made = f", made {', '.join(self.models)}" if self.models else ""
        return f"Run '{self.run.name}' finished in {self.run.seconds or 0:.1f} s{made}."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        marks = [
            ("fitted on", self.data),
            ("held out", self.evaluate),
            *(("also", mark) for mark in self.also),
        ]
        rows: list[list[Any]] = [
            [what, f"{mark.name}: {mark.rows:,} rows × {mark.columns} columns, sha256 {mark.sha256[:12]}"]
            for what, mark in marks
            if mark
        ]
        held_out = self.run.held_out
        rows += [[name, value] for name, value in self.run.metrics.items() if name in held_out]
        rows += [
            [f"{name} (rows fitted on)" if is_training(name) else name, value]
            for name, value in self.run.metrics.items()
            if name not in held_out
        ]
        rows += [["note", self.note]] if self.note else []
        if self.script and self.models:
            rows += [["register", f"`register {next(iter(self.models))} --run {self.run.id} --name NAME`"]]
        return ["", ""], rows

    def _repr_html_(self) -> str:
        return super()._repr_html_() + (self.evaluation._repr_html_() if self.evaluation else "")


@dataclass(frozen=True)
class RunRequest:
    """What is asked of a run. `data`: variables or snapshots, the first is what a model is fitted on, a label that is
    apart comes after it; `evaluate`: held-out rows in the same way; `params`, `metrics`: variables to record."""

    name: str
    data: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    target: str | None = None
    positive: str | None = None


def track(context: TrackedContext, cell: Cell, request: RunRequest, *, measure: HeldOutMeasure) -> Finished:
    """Run the cell inside an MLflow run. What the cell raises fails the run and is raised on.

    `measure(model, frame, name, target)`: the model's answers on held-out rows; handed in by the verb.
    """
    project, tracking = context.project, context.tracking
    rows = [*request.data, *request.evaluate]
    given = Given(project, context.store, rows)
    given.before(cell.namespace, cell.names, source.assigned_in(cell.python or cell.source))
    _check_names(cell, [*(r for r in rows if not given.known(r)), *request.params, *request.metrics])
    changed, omitted = source.changes(project.root)
    tags = _tags(project) | ({"git.omitted_files": ", ".join(omitted)} if omitted else {})
    with tracking.start(request.name, tags) as run_id:
        tracking.log(run_id, files=_files(cell) | ({CHANGES: changed} if changed else {}))
        before = source.FittedBefore(_models(cell).values())
        value, seen = _execute(tracking, run_id, cell)
        with autologging.off():
            done = _recorded(context, cell, request, measure, _Ran(run_id, given, before, value, seen))
    return replace(done, run=tracking.run(run_id))  # as it has ended


@dataclass(frozen=True, slots=True)
class _Ran:
    """Code that ran, in which run: what stood before it, what it came to, and what was seen meanwhile."""

    run_id: str
    given: Given
    before: source.FittedBefore
    value: Any
    seen: Observed


def _recorded(
    context: TrackedContext, cell: Cell, request: RunRequest, measure: HeldOutMeasure, ran: _Ran
) -> Finished:
    """What came out of the code, written down."""
    tracking, run_id, given, seen = context.tracking, ran.run_id, ran.given, ran.seen
    kept, unkept = given.after(cell.namespace)
    fitted_on = given.joined(request.data, kept, cell.namespace)
    held_out = given.joined(request.evaluate, kept, cell.namespace)
    target = request.target or held_out.label or fitted_on.label
    made = {name: model for name, model in _models(cell).items() if not ran.before.same(model)}
    mentioned = source.models_in(cell.names, cell.namespace)
    models = {name: model for name, model in mentioned.items() if name in made}
    recorded = tracking.run(run_id)  # by the cell itself or MLflow's autologging
    judged = Judged()
    if held_out.rows is not None:
        usual = context.project.policy.model.positive
        judged = judge(measure, models or mentioned, held_out.rows, target, (request.positive, usual))
    asked = judged.answers
    named, unnamed = figures_of.named(request.metrics, cell.namespace)
    figures = {
        **{n: v for n, v in _own_figures(cell, ran.value, seen).items() if n not in recorded.metrics},
        **named,
        **judged.metrics,
    }
    params_found, unmade = _params(cell, models, request.params)
    scores, tables = served_estimator.recorded(models)
    tracking.log(
        run_id,
        params={k: v for k, v in _loggable(params_found).items() if k not in recorded.params},
        metrics=scores | figures,
        files=tables,
        series=_series(seen, models, recorded),
        tags=_data_tags(kept, fitted_on, held_out)
        | ({"target": asked.target} if asked else {"target": target} if target else {})
        | ({"positive": str(request.positive)} if request.positive is not None else {})
        | ({"held_out": ",".join(judged.metrics)} if judged.metrics else {})
        | {"models": ",".join(made), CHOSEN: json.dumps(_chosen(models, request.params))},
    )
    evaluation, notes = None, [unkept, fitted_on.note, held_out.note, unnamed, unmade, judged.note]
    if asked is not None and held_out.rows is not None:
        context.progress("drawing the evaluation")
        if models and fitted_on.rows is not None:
            notes.append(not_held_out(asked, fitted_on.rows, held_out.rows))
        evaluation, failed = attach(tracking, run_id, asked, context.project.policy.gate.metric)
        notes.append(failed)
    others = [kept[n].mark for n in dict.fromkeys(request.data) if n in kept and n not in held_out.parts]
    return Finished(
        tracking.run(run_id),
        made,
        fitted_on.rows.mark if fitted_on.rows else None,
        held_out.rows.mark if held_out.rows else None,
        tuple(mark for mark in others if fitted_on.rows is None or mark is not fitted_on.rows.mark),
        evaluation,
        " ".join(filter(None, notes)),
        cell.script,
    )


def _models(cell: Cell) -> dict[str, Any]:
    """Those that the cell names, fitted or of an MLflow flavour, by variable, each once."""
    found = source.models_in(cell.names, cell.namespace)
    known = {id(model) for model in found.values()}
    others = flavours.models_in(cell.names, cell.namespace)
    return found | {name: model for name, model in others.items() if id(model) not in known}


def _tags(project: Project) -> dict[str, str]:
    tags = {"folder": str(project.root)} | lost_runs.mark() | source.git_state(project.root)
    if job := os.environ.get("MLOPS_JOB_ID"):
        tags["job"] = job
    if opened := os.environ.get("IPYNB_FILE") or os.environ.get("JPY_SESSION_NAME"):
        tags["notebook"] = opened
    return tags


def _files(cell: Cell) -> dict[str, str]:
    files = {SOURCE: cell.source, ENVIRONMENT: "\n".join(requirements.installed()) + "\n"}
    if not cell.script:
        files[NOTEBOOK] = notebook.write([*cell.earlier, cell.typed or cell.source])
    return files


def _execute(tracking: Tracking, run_id: str, cell: Cell) -> tuple[Any, Observed]:
    """Run it, watched; what was seen is recorded however it ends."""
    __mlops_runs_code__ = f"The run is kept as failed: {run_id}."  # noqa: F841 - see base/tracebacks.py
    seen = Observed()
    value, well = None, False
    try:
        with seen.watching(), cell.watching(seen.figures.shown):
            value = cell.execute()
        well = True
    finally:
        # what fails here must not hide what the cell raised
        with contextlib.nullcontext() if well else contextlib.suppress(Exception):
            _pictures(seen, value)
            tracking.log(
                run_id,
                tags=seen.tags | {f"seed.{k}": v for k, v in _seeds(cell).items()},
                files={f"figures/{n}": content for n, content in seen.figures.files.items()},
            )
    return value, seen


def _pictures(seen: Observed, value: Any) -> None:
    for number, figure in open_figures().items():
        if number not in seen.open_before and figure is not value:
            seen.figures.add(picture_of(figure), "png")


def _seeds(cell: Cell) -> dict[str, str]:
    found = seeds.seeds_in(cell.python or cell.source, cell.earlier, cell.namespace)
    if fixed := os.environ.get("PYTHONHASHSEED"):
        found["PYTHONHASHSEED"] = fixed
    return _loggable(found)


def _own_figures(cell: Cell, value: Any, seen: Observed) -> dict[str, float]:
    """What the cell printed without a step, and what its last expression came to."""
    printed = {name: v for (name, step), v in seen.reader.found.items() if step is None}
    return printed | figures_of.returned(value, cell.python or cell.source)


def _params(cell: Cell, models: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Parameters, and a sentence on variables that the code did not make: what it made is not lost for them."""
    found: dict[str, Any] = {}
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        found |= {prefix + k: v for k, v in source.scalar_params(model).items()}
    for variable in names:
        if variable in cell.namespace:
            found[variable] = cell.namespace[variable]
    missing = [f"'{name}'" for name in names if name not in cell.namespace]
    return found, f"The code made no variable {', '.join(missing)}, to be a parameter." if missing else ""


def _chosen(models: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The recorded parameters that somebody chose: not the defaults of their class. As many as a tag holds."""
    found = list(names)
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        found += [prefix + name for name in source.chosen_params(model)]
    kept = list(_loggable(dict.fromkeys(found)))
    while len(json.dumps(kept)) > _LONGEST_TAG:
        kept = kept[: len(kept) // 2]
    return kept


def _series(seen: Observed, models: Mapping[str, Any], recorded: Run) -> dict[str, list[tuple[int, float]]]:
    """Figures with a step: printed ones, and what estimators kept of their training."""
    found: dict[str, list[tuple[int, float]]] = {}
    for (name, step), value in seen.reader.found.items():
        if step is not None and name not in recorded.metrics:
            found.setdefault(name, []).append((step, value))
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        for name, curve in source.step_records(model).items():
            found.setdefault(prefix + name, list(enumerate(curve)))
    return {name: figures_of.thinned(points) for name, points in _loggable(found).items()}


def _data_tags(kept: Mapping[str, KeptRows], fitted_on: GivenRows, held_out: GivenRows) -> dict[str, str]:
    tags = fitted_on.rows.tags("data") if fitted_on.rows else {}
    apart = held_out.parts if held_out.label else ()
    if len(fitted_on.parts) > 1 or apart:  # each of them by its name; the first has the short tags too
        for name in dict.fromkeys((*fitted_on.parts, *apart)):
            if name in kept:
                (label,) = _loggable({kept[name].mark.name: None})
                tags |= kept[name].tags(f"data.{label}")
    return tags | (held_out.rows.tags("evaluate") if held_out.rows else {})


def _loggable(params: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow takes few characters in a name; a step of a pipeline may have any."""
    return {re.sub(r"[^\w.\- :/]", "_", name)[:250]: value for name, value in params.items()}


def _check_names(cell: Cell, wanted: Sequence[str]) -> None:
    """A variable that neither exists nor is named in the code cannot be meant: say so before anything runs."""
    named = cell.names
    for name in wanted:
        if name not in cell.namespace and name not in named and not is_table(name):
            known = [
                k
                for k, v in cell.namespace.items()
                if not k.startswith("_") and not callable(v) and k not in ("In", "Out")  # IPython's own
            ]
            raise NotFound(f"There is no variable '{name}'.", closest(name, known))
