"""Did a run make this model? Asked when a person says so: its metrics and data would be the model's from then on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlops_workbench.base.errors import Conflict, MlopsError
from mlops_workbench.data import snapshots
from mlops_workbench.registry import registering
from mlops_workbench.track import metrics as measures
from mlops_workbench.track import source
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import Run

TOLERANCE = 1e-6


def require_made_by(context: TrackedContext, model: Any, label: str, run: Run) -> None:
    """Raises `Conflict` when the run's records say that it made another model, or none.

    What they say of it: its parameters, and its metrics on the held-out rows, which it is asked again.
    """
    if "models" in run.tags and not run.tags["models"]:
        raise _refused(label, run, "it made no model")
    params = {k: str(v) for k, v in source.scalar_params(model).items()}
    for name, value in params.items():
        recorded = run.params.get(name)
        if recorded is not None and recorded != value:
            raise _refused(label, run, f"{name} is {value} here and {recorded} there")
    for name, now in _measured(context, model, run).items():
        then = run.metrics.get(name, now)
        if not math.isclose(now, then, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise _refused(label, run, f"{name} is {now:.6g} here and {then:.6g} there")


def _measured(context: TrackedContext, model: Any, run: Run) -> Mapping[str, float]:
    """Its metrics on the run's held-out rows; empty where it cannot be asked: registering says why."""
    if not run.held_out or "evaluate.sha256" not in run.tags or not source.is_fitted_model(model):
        return {}
    try:
        rows = snapshots.find(context.project, run.tags["evaluate.sha256"])
        asked = registering.measure(model, rows, run.tags.get("evaluate.name", ""), run.tags.get("target"))
        if asked is None:
            return {}
        wanted, usual = run.tags.get("positive"), context.project.policy.model.positive
        positive = measures.positive_class(asked.classes, wanted, usual)
        found = measures.evaluate(
            asked.truth, asked.predicted, asked.probabilities, asked.classes, asked.task, positive
        )
    except MlopsError:
        return {}
    return {name: value for name, value in found.items() if name in run.held_out}


def _refused(label: str, run: Run, why: str) -> Conflict:
    return Conflict(
        f"The run '{run.name}' did not make '{label}': {why}.",
        "Name the run that made it, or leave out the option run and say the option data.",
    )
