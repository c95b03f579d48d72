"""Which columns a version's answers depend on: drift in what the model uses counts first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_workbench.data.rows import to_rows
from mlops_workbench.registry.checks.check import Contestant
from mlops_workbench.track.importance import Importance, permutation_importance
from mlops_workbench.track.metrics import LOWER_IS_BETTER, labels_of, metric

if TYPE_CHECKING:
    import pandas as pd


def importance(candidate: Contestant, frame: pd.DataFrame, name: str) -> Importance:
    """As a run measures it (`track/importance.py`), of the registered files."""
    manifest, itself = candidate.manifest, candidate.itself
    truth = labels_of(frame, str(manifest.target), manifest.classes, manifest.task)
    sign = -1 if name in LOWER_IS_BETTER else 1

    def as_read(rows: pd.DataFrame) -> pd.DataFrame:
        return itself.frame(to_rows(rows, manifest.inputs)) if itself else rows

    def ask(rows: pd.DataFrame) -> tuple[Any, Any]:
        answers = itself.ask(rows) if itself else candidate.served(to_rows(rows, manifest.inputs))
        return answers.values, answers.probabilities

    def measure(places: Any, answers: Any, chances: Any) -> float | None:
        value = metric(name, truth[places], answers, chances, manifest.classes, positive=manifest.positive)
        return None if value is None else sign * value

    return permutation_importance(frame, manifest.taken_from(frame.columns), ask, measure, prepare=as_read)
