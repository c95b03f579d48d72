"""A tracked run: a cell or a script, run as it is, with what went in and what came out written down."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidData, NotFound, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import Project
from mlops_workbench.data import frames
from mlops_workbench.data.frames import Fingerprint
from mlops_workbench.data.overlap import overlap
from mlops_workbench.track import evaluation, flavours, metrics, notebook, requirements, seeds, source
from mlops_workbench.track import returned_metrics as figures_of
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.evaluation import Evaluation, HeldOutAnswers
from mlops_workbench.track.input_data import Given, KeptRows
from mlops_workbench.track.observing import Observed, open_figures, picture_of
from mlops_workbench.track.records import CHANGES, ENVIRONMENT, NOTEBOOK, SOURCE, Run
from mlops_workbench.track.tracking import Tracking

Measure = Callable[[Any, Any, str, str | None], HeldOutAnswers | None]
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

    def to_dict(self) -> dict[str, Any]:
        return self.run.to_dict() | {"models": list(self.models)}

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
        rows += [[name, value] for name, value in self.run.metrics.items()]
        return ["", ""], rows + ([["note", self.note]] if self.note else [])

    def _repr_html_(self) -> str:
        return super()._repr_html_() + (self.evaluation._repr_html_() if self.evaluation else "")


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

    return Cell(text, execute, namespace, script=True)


@dataclass(frozen=True)
class RunRequest:
    """What is asked of a run. `data`: variables or snapshots, the first is what a model is fitted on;
    `evaluate`: held-out rows; `params`, `metrics`: variables to record."""

    name: str
    data: tuple[str, ...] = ()
    evaluate: str | None = None
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    target: str | None = None
    positive: str | None = None


def track(context: TrackedContext, cell: Cell, request: RunRequest, *, measure: Measure) -> Finished:
    """Run the cell inside an MLflow run. What the cell raises fails the run and is raised on.

    `measure(model, frame, name, target)`: the model's answers on held-out rows; handed in by the verb.
    """
    project, store, tracking = context.project, context.store, context.tracking
    data, evaluate, target = request.data, request.evaluate, request.target
    rows = [*data, *([evaluate] if evaluate is not None else [])]
    given = Given(project, store, rows)
    given.before(cell.namespace, cell.names, source.assigned_in(cell.python or cell.source))
    _check_names(cell, [*(r for r in rows if not given.known(r)), *request.params, *request.metrics])
    changed, omitted = source.changes(project.root)
    tags = _tags(project) | ({"git.omitted_files": ", ".join(omitted)} if omitted else {})
    with tracking.start(request.name, tags) as run_id:
        tracking.log(run_id, files=_files(cell) | ({CHANGES: changed} if changed else {}))
        before = source.FittedBefore(_models(cell).values())
        value, seen = _execute(tracking, run_id, cell)
        kept = given.after(cell.namespace)
        made = {name: model for name, model in _models(cell).items() if not before.same(model)}
        mentioned = source.models_in(cell.names, cell.namespace)
        models = {name: model for name, model in mentioned.items() if name in made}
        recorded = tracking.run(run_id)  # by the cell itself or MLflow's autologging
        asked = None
        judged_ones = models or mentioned
        if len(judged_ones) == 1 and evaluate is not None:
            held_out = kept[evaluate]
            model = next(iter(judged_ones.values()))
            if asked := measure(model, held_out.frame, held_out.mark.name, target):
                usual = project.policy.model.positive
                asked = replace(asked, positive=metrics.positive_class(asked.classes, request.positive, usual))
        figures = {
            **{n: v for n, v in _own_figures(cell, value, seen).items() if n not in recorded.metrics},
            **figures_of.named(request.metrics, cell.namespace),
            **(_measured(asked) if asked else {}),
        }
        params_found = _params(cell, models, request.params)
        tracking.log(
            run_id,
            params={k: v for k, v in _loggable(params_found).items() if k not in recorded.params},
            metrics=figures,
            series=_series(seen, models, recorded),
            tags=_data_tags(kept, data, evaluate)
            | ({"target": asked.target} if asked else {"target": target} if target else {})
            | ({"positive": str(request.positive)} if request.positive is not None else {})
            | {"models": ",".join(made)},
        )
        judged, note = None, ""
        if asked is not None:
            context.progress("drawing the evaluation")
            try:
                if models and data:
                    note = _not_held_out(asked, kept[data[0]], kept[str(evaluate)])
                judged = _attach(tracking, run_id, asked, project.policy.gate.metric)
            except Exception as problem:  # a model that took hours is not lost for a picture of it
                failed = f"no evaluation: {type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
                note = f"{note} {failed}".strip()
                tracking.log(run_id, tags={"evaluation": failed})
    marks = {n: k.mark for n, k in kept.items()}
    first = marks.get(data[0]) if data else None
    others = tuple(marks[n] for n in dict.fromkeys(data[1:]) if n not in (data[0], evaluate))
    held = marks[evaluate] if evaluate is not None else None
    return Finished(tracking.run(run_id), made, first, held, others, judged, note)


def _not_held_out(asked: HeldOutAnswers, fitted_on: KeptRows, judged: KeptRows) -> str:
    """Says when rows that the model was fitted on are among those it is measured on; empty when they are not."""
    if not {*asked.features, asked.target} <= {*fitted_on.frame.columns}:
        return ""
    columns = {name: frames.kind_of(fitted_on.frame[name]) for name in (*asked.features, asked.target)}
    found = overlap(fitted_on.frame, judged.frame, columns)
    if found.trained == 0:
        return ""
    return (
        f"{found.trained:.1%} of the rows of '{judged.mark.name}' are rows of '{fitted_on.mark.name}', which the model "
        "was fitted on: its metrics are not those of rows that it has not seen."
    )


def _models(cell: Cell) -> dict[str, Any]:
    """Those that the cell names, fitted or of an MLflow flavour, by variable, each once."""
    found = source.models_in(cell.names, cell.namespace)
    known = {id(model) for model in found.values()}
    others = flavours.models_in(cell.names, cell.namespace)
    return found | {name: model for name, model in others.items() if id(model) not in known}


def _tags(project: Project) -> dict[str, str]:
    tags = {"folder": str(project.root)} | source.git_state(project.root)
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


def _measured(asked: HeldOutAnswers) -> dict[str, float]:
    return metrics.evaluate(
        asked.truth, asked.predicted, asked.probabilities, asked.classes, asked.task, asked.positive
    )


def _params(cell: Cell, models: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, model in models.items():
        prefix = f"{variable}." if len(models) > 1 else ""
        found |= {prefix + k: v for k, v in source.scalar_params(model).items()}
    for variable in names:
        if variable not in cell.namespace:
            raise NotFound(f"The code made no variable '{variable}'.", "Name one that it makes.")
        found[variable] = cell.namespace[variable]
    return found


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


def _data_tags(kept: Mapping[str, KeptRows], data: Sequence[str], evaluate: str | None) -> dict[str, str]:
    tags = kept[data[0]].tags("data") if data else {}
    if len(set(data)) > 1:  # each of them by its name; the first has the short tags too
        for name in data:
            (label,) = _loggable({kept[name].mark.name: None})
            tags |= kept[name].tags(f"data.{label}")
    return tags | (kept[evaluate].tags("evaluate") if evaluate is not None else {})


def _attach(tracking: Tracking, run_id: str, asked: HeldOutAnswers, wanted: str) -> Evaluation | None:
    """The standard evaluation as artifacts; None for a task that has none."""
    from mlops_workbench.track import plots as pictures

    if asked.task == "other":
        return None
    found = evaluation.evaluate(asked, wanted)
    picture, singles = pictures.draw(found)
    files: dict[str, str | bytes] = {f"evaluation/{name}.png": content for name, content in singles.items()}
    files["evaluation/evaluation.json"] = json.dumps(found.to_dict(), indent=1)
    files["evaluation/segments.json"] = json.dumps(found.to_dict()["segments"], indent=1)
    tracking.log(run_id, files=files)
    return replace(found, picture=picture)


def _loggable(params: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow takes few characters in a name; a step of a pipeline may have any."""
    return {re.sub(r"[^\w.\- :/]", "_", name)[:250]: value for name, value in params.items()}


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
