"""From a model in the notebook to a registered version, with the records that belong to it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import InvalidModel, NotFound, UsageError, closest
from mlops_workbench.config.names import user
from mlops_workbench.config.project import Project
from mlops_workbench.data import snapshots
from mlops_workbench.data.frames import Fingerprint
from mlops_workbench.registry import harmless, referencing, versions
from mlops_workbench.registry import mlflow_models as pyfuncs
from mlops_workbench.registry.fastpath import summary
from mlops_workbench.registry.intents import intent
from mlops_workbench.registry.versions import Inspected, NewModel, ServingRuntime
from mlops_workbench.track import flavours, kept_models, modules, requirements, source
from mlops_workbench.track import metrics as measures
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.evaluation import HeldOutAnswers
from mlops_workbench.track.flavours import Logged
from mlops_workbench.track.records import RegisteredVersion, Run
from mlops_workbench.track.tracking import Tracking
from mlops_workbench.track.writing import ModelFormat

if TYPE_CHECKING:
    import pandas as pd


def resolve_model(
    model: Any,
    namespace: Mapping[str, Any],
    tracking: Tracking,
    runtime: ServingRuntime,
    run: Run | None = None,
) -> tuple[Any, str, str | None]:
    """A model, what to call it, and the run that kept it: from an object, a variable's name (of the namespace, or of
    the script that `run` was), a .skops file, or what MLflow keeps.

    Raises `NotFound`, or `InvalidModel` for a file that holds anything but what models are made of.
    """
    if not isinstance(model, str):
        return model, type(model).__name__, None
    if model in namespace:
        return namespace[model], model, None
    if run is not None and model in kept_models.names(run):
        return kept_models.load(tracking, run, model), model, run.id
    if logged := flavours.logged(model, tracking):
        return logged, model, None
    path = Path(model).expanduser()
    if path.suffix != ".skops":
        known = [
            k for k, v in namespace.items() if not k.startswith("_") and callable(getattr(v, "predict", None))
        ]
        raise NotFound(
            f"There is no variable '{model}'.",
            closest(model, [*known, *(kept_models.names(run) if run else [])])
            or "Give a model, the address of a logged one, a .skops file, or (with the option run) what a script made.",
        )
    if not path.is_file():
        raise NotFound(f"There is no file '{path}'.", "Check the path.")
    try:
        return runtime.load_skops(path.read_bytes()), str(path), None
    except Exception as problem:  # a hand-made file raises anything
        raise _not_loaded(path, problem) from None


def _not_loaded(path: Path, problem: Exception) -> InvalidModel:
    names = getattr(problem, "names", ())
    if not names:
        sentence = " ".join(str(problem).split())[:200]
        return InvalidModel(f"'{path}' cannot be read as a skops file: {sentence}.", "Write it again.")
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return InvalidModel(
        f"'{path}' holds {', '.join(names[:6])}{more}, which is on no list of types that are loaded from skops.",
        "If you trust who made it, load it in a notebook yourself, and register the variable with the format "
        "cloudpickle.",
    )


def logged_by(model: Any, tracking: Tracking) -> str | None:
    """The run that logged a model which MLflow keeps."""
    logged = flavours.address_of(model, tracking) or model
    return logged.run_id if isinstance(logged, Logged) else None


@dataclass(frozen=True)
class RegisterRequest:
    """How a model is to be registered. `data`, `evaluate`: rows it was fitted on and is judged by; None: its run's."""

    name: str
    data: Any = None
    evaluate: Any = None
    target: str | None = None
    serialization: str = "skops"
    positive: str | None = None
    """of two classes the one that F1, precision, recall and rates are of; None: its run's, else the policy's"""


def register(
    context: TrackedContext,
    model: Any,
    label: str,
    request: RegisterRequest,
    *,
    run: Run | None,
    runtime: ServingRuntime,
) -> RegisteredVersion:
    """Look at the model, keep it with its data, write the ledger. Nothing is registered unless all of it works."""
    store, tracking, name = context.store, context.tracking, request.name
    flavour = "" if isinstance(model, Logged) else flavours.flavour_of(model)
    scikit = flavour != "python_function" and source.is_fitted_model(model)
    if not (scikit or flavour or isinstance(model, Logged)):
        raise _not_a_model(model, label)
    fitted_on, marks = _rows(context, run, "data", request.data)
    if fitted_on is None:
        raise UsageError(
            f"'{label}' was not made in a tracked run with data, so what it was fitted on is not known.",
            "Fit it in a tracked run, or say data.",
        )
    held_out_rows, held_out_marks = _rows(context, run, "evaluate", request.evaluate)
    new = NewModel(name, label, run.id if run else None)
    label_column = request.target or (run.tags.get("target") if run else None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = None
        if not scikit:
            folder = pyfuncs.prepare(model, tracking, Path(scratch))
            if (native := flavours.native(folder, runtime.load_skops)) is not None:
                model, folder = native, None
        looked: Inspected | pyfuncs.Looked
        if folder is not None:
            rows = {referencing.FITTED_ON: fitted_on}
            rows |= {referencing.HELD_OUT: held_out_rows} if held_out_rows is not None else {}
            looked, kept = pyfuncs.keep(
                tracking,
                folder,
                rows,
                new,
                data_name=marks["data.name"],
                target=label_column,
                runtime=runtime,
            )
        else:
            looked = versions.inspect(model, label, fitted_on, marks["data.name"], label_column)
            wanted = request.positive or (run.tags.get("positive") if run else None)
            usual = context.project.policy.model.positive
            new = replace(new, positive=measures.positive_class(looked.classes, wanted, usual))
            written, form = _form(context, model, label, request.serialization, runtime)
            kept = versions.keep(
                tracking,
                looked,
                written,
                new,
                form,
                runtime=runtime,
                ordinary=versions.ordinary(fitted_on, held_out_rows, looked.features),
            )
    tags = marks | held_out_marks | {"task": looked.task, "target": looked.target or ""}
    tags |= {"variable": label, "registered by": user()}
    tags |= {"metrics": json.dumps(dict(run.metrics))} if run else {}
    tags |= {"content": content} if scikit and (content := source.content_of(model)) else {}
    if job := os.environ.get("MLOPS_JOB_ID"):
        tags["job"] = job
    path = summary.sentence(kept.fast)
    tags |= {"path": path, "fast.sha256": kept.fast["sha256"], "manifest.sha256": kept.manifest}
    with intent(store, tracking, name, alone=False) as change:
        change.mean(
            "register",
            why=f"from run '{run.name}'" if run else f"from '{label}'",
            evidence={
                "sha256": kept.sha256,
                "manifest": kept.manifest,
                "run": new.run_id,
                "data": marks["data.sha256"],
            },
            source=kept.source,
        )
        stored = tracking.create_version(name, kept.source, new.run_id, tags | {"digest": kept.sha256})
        change.settle(new_version=stored.version)
    return stored


def _form(
    context: TrackedContext, model: Any, label: str, serialization: str, runtime: ServingRuntime
) -> tuple[Any, ModelFormat]:
    """The model as it is written down, and how. Says what is changed, or comes along."""
    needs = modules.needed(model)
    notes: dict[str, Any] = {}
    trusted: tuple[str, ...] = ()
    if serialization == "skops":
        model, changed = harmless.plainly(model)
        trusted = versions.trusted_types(model, label, runtime)
        if changed:
            notes["converted"] = changed
            context.progress(f"kept with {changed}")
    elif needs.local:
        notes["local_modules"] = sorted(needs.local)
        context.progress(f"written down with the model: {', '.join(notes['local_modules'])}")
    return model, ModelFormat(serialization, requirements.for_model(needs.installed), trusted, needs, notes)


def _not_a_model(model: Any, label: str) -> InvalidModel:
    what = type(model).__name__
    if callable(getattr(model, "fit", None)) and callable(getattr(model, "predict", None)):
        return InvalidModel(f"'{label}' ({what}) is not fitted.", "Fit it first.")
    return InvalidModel(f"'{label}' must be a fitted model with fit and predict. Got {what} instead.")


def _rows(
    context: TrackedContext, run: Run | None, what: str, given: Any
) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """Rows that were given now, else those that the run recorded; with the tags that name them."""
    project, store, namespace = context.project, context.store, context.namespace
    if given is not None:
        frame, name = snapshots.resolve(project, store, given, namespace)
        mark = snapshots.keep(project, store, frame, name)
        return frame, _tags(what, mark)
    tags = {k: v for k, v in run.tags.items() if k.startswith(f"{what}.")} if run else {}
    if not tags:
        return None, {}
    return snapshots.find(project, tags[f"{what}.sha256"]), tags


def _tags(what: str, mark: Fingerprint) -> dict[str, str]:
    return {
        f"{what}.name": mark.name,
        f"{what}.sha256": mark.sha256,
        f"{what}.rows": str(mark.rows),
        f"{what}.columns": str(mark.columns),
    }


def fitted_on(project: Project, stored: RegisteredVersion) -> pd.DataFrame:
    """The rows that the version was fitted on. Raises `NotFound` for a version that does not say."""
    mark = stored.facts.data
    if mark is None:
        raise NotFound(
            f"Version {stored.version} of '{stored.name}' does not say what it was fitted on.",
            "Register it again, with its data.",
        )
    return snapshots.find(project, mark.sha256)


def held_out(project: Project, stored: RegisteredVersion) -> pd.DataFrame | None:
    """The version's held-out rows, if it has any."""
    mark = stored.facts.evaluate
    return snapshots.find(project, mark.sha256) if mark else None


def measure(model: Any, frame: pd.DataFrame, name: str, target: str | None) -> HeldOutAnswers | None:
    """A fitted model's answers on held-out rows; None when no column is their label. Raises `InvalidData`."""
    features = versions.features_of(model, frame, name, target)
    column = versions.target_of(frame, features, name, target)
    if column is None:
        return None
    classes = list(getattr(model, "classes_", []))
    label = type(model).__name__
    predicted, probabilities = versions.ask(model, frame[list(features)], label)
    task = versions.task_of(model)
    return HeldOutAnswers(
        task=task,
        target=column,
        classes=classes,
        features=features,
        frame=frame,
        truth=measures.labels_of(frame, column, classes, task),
        predicted=predicted,
        probabilities=probabilities,
        ask=lambda rows: versions.ask(model, rows, label),
    )
