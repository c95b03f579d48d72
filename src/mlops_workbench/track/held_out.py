"""What a run's model is worth on held-out rows. A finished fit is never failed by this: what is not clear is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.data.kinds import kind_of
from mlops_workbench.data.overlap import overlap
from mlops_workbench.track import evaluation, metrics
from mlops_workbench.track.evaluation import Evaluation, HeldOutAnswers
from mlops_workbench.track.input_data import KeptRows
from mlops_workbench.track.tracking import Tracking

HeldOutMeasure = Callable[[Any, Any, str, str | None], HeldOutAnswers | None]


@dataclass(frozen=True)
class Judged:
    """A model's answers and the metrics they make; None and empty where `note` says why there are none."""

    answers: HeldOutAnswers | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def judge(
    measure: HeldOutMeasure,
    models: Mapping[str, Any],
    rows: KeptRows,
    target: str | None,
    positive: tuple[str | None, str],
) -> Judged:
    """Ask the one model for the held-out rows. Never raises: whatever stands against it is the note.

    `positive`: the class that was asked for, and the project's.
    """
    if len(models) != 1:
        made = (
            f"the code has {len(models)} models, {', '.join(models)}" if models else "the code has no model"
        )
        how = (
            "Fit each in a cell of its own."
            if models
            else "Assign the fitted model to a variable in this cell."
        )
        return Judged(note=f"Nothing was evaluated: {made}. {how}")
    try:
        asked = measure(next(iter(models.values())), rows.frame, rows.mark.name, target)
        if asked is None:
            return Judged(
                note=f"Nothing was evaluated: '{rows.mark.name}' has no label, only columns that the model reads."
            )
        asked = replace(asked, positive=metrics.positive_class(asked.classes, *positive))
        return Judged(asked, _measured(asked))
    except MlopsError as problem:
        return Judged(note=f"Nothing was evaluated: {problem}")
    except Exception as problem:  # a model that took hours is not lost for how it answers
        return Judged(note=f"Nothing was evaluated: {_short(problem)}")


def _measured(asked: HeldOutAnswers) -> dict[str, float]:
    return metrics.evaluate(
        asked.truth, asked.predicted, asked.probabilities, asked.classes, asked.task, asked.positive
    )


def attach(
    tracking: Tracking, run_id: str, asked: HeldOutAnswers, wanted: str
) -> tuple[Evaluation | None, str]:
    """The standard evaluation as artifacts; None for a task that has none. Second: what failed."""
    from mlops_workbench.track import plots as pictures

    if asked.task == "other":
        return None, ""
    try:
        found = evaluation.evaluate(asked, wanted)
        picture, singles = pictures.draw(found)
    except Exception as problem:
        failed = f"no evaluation: {_short(problem)}"
        tracking.log(run_id, tags={"evaluation": failed})
        return None, failed
    files: dict[str, str | bytes] = {f"evaluation/{name}.png": content for name, content in singles.items()}
    files["evaluation/evaluation.json"] = json.dumps(found.to_dict(), indent=1)
    files["evaluation/segments.json"] = json.dumps(found.to_dict()["segments"], indent=1)
    tracking.log(run_id, files=files)
    return replace(found, picture=picture), ""


def _short(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"


def not_held_out(asked: HeldOutAnswers, fitted_on: KeptRows, judged: KeptRows) -> str:
    """Says when rows that the model was fitted on are among those it is measured on; empty when they are not."""
    if not {*asked.features, asked.target} <= {*fitted_on.frame.columns}:
        return ""
    try:
        columns = {name: kind_of(fitted_on.frame[name]) for name in (*asked.features, asked.target)}
        found = overlap(fitted_on.frame, judged.frame, columns)
    except Exception as problem:
        return f"Whether rows of '{judged.mark.name}' were fitted on is not known: {_short(problem)}"
    if found.trained == 0:
        return ""
    return (
        f"{found.trained:.1%} of the rows of '{judged.mark.name}' are rows of '{fitted_on.mark.name}', which the model "
        "was fitted on: its metrics are not those of rows that it has not seen."
    )
