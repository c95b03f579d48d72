"""Which columns a version's answers depend on: drift in what the model uses counts first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.data.rows import to_rows
from mlops_workbench.registry.checks.check import Contestant
from mlops_workbench.track.metrics import better, labels_of, metric

if TYPE_CHECKING:
    import pandas as pd

IMPORTANCE_ROWS = 1000
IMPORTANCE_CELLS = 10_000_000
"""Values that all shuffles together ask of the runtime (rows × columns²): keeps wide models to seconds."""


def importance(candidate: Contestant, frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Permutation importance: how much the metric falls when one column is shuffled; shares that sum to 1."""
    import numpy as np

    manifest = candidate.manifest
    most = min(IMPORTANCE_ROWS, max(100, IMPORTANCE_CELLS // len(manifest.columns) ** 2))
    some = frame.sample(min(len(frame), most), random_state=0)
    truth = labels_of(some, str(manifest.target), manifest.classes, manifest.task)
    rows = to_rows(some[manifest.columns], manifest.inputs)
    rng = np.random.default_rng(0)

    def figure() -> float | None:
        answers = candidate.served(rows)
        return metric(name, truth, answers.values, answers.probabilities, manifest.classes)

    base = figure()
    if base is None:
        return {}
    falls: dict[str, float] = {}
    for column in manifest.columns:
        values = [row[column] for row in rows]
        for row, place in zip(rows, rng.permutation(len(rows)), strict=True):
            row[column] = values[place]
        value = figure()
        falls[column] = max(0.0, better(name, base, value)) if value is not None else 0.0
        for row, own in zip(rows, values, strict=True):
            row[column] = own
    total = sum(falls.values())
    return {column: fall / total for column, fall in falls.items()} if total > 0 else {}
