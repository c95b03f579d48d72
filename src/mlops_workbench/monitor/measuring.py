"""A model's metrics with their intervals, of many groups of labelled rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlops_workbench.manifest import Manifest
from mlops_workbench.monitor import resampling, scoring
from mlops_workbench.monitor.performance import comparable
from mlops_workbench.monitor.resampling import Blocks
from mlops_workbench.monitor.scoring import Ranked, SumMetric

MOST_CLASSES = 50
"""with more, accuracy alone is measured"""
_TOGETHER = 128
"""groups that are measured at once: bounds the memory"""


class MetricArrays(NamedTuple):
    """A value for each group, NaN where it is not defined."""

    value: Any
    low: Any
    high: Any


@dataclass(frozen=True)
class Outcomes:
    """Labelled rows of a model in numbers. Binary: `truth` and `guess` say whether it is the positive class, `score`
    is its probability or NaN. Several classes: both are the class's place. Regression: both are the numbers."""

    kind: str
    """binary, classes or regression"""
    truth: Any
    guess: Any
    score: Any
    classes: int = 0

    @classmethod
    def of(cls, manifest: Manifest, label: Any, prediction: Any, score: Any) -> Outcomes:
        if manifest.task == "regression":
            return cls("regression", label.astype(np.float64), prediction.astype(np.float64), None)
        truth, guess, names = comparable(label, prediction, manifest.classes)
        if len(names) == 2:
            positive = 1 if manifest.positive is None else list(manifest.classes).index(manifest.positive)
            return cls("binary", truth == positive, guess == positive, score.astype(np.float64), 2)
        return cls("classes", truth, guess, None, len(names))

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, rows: Any) -> Outcomes:
        score = None if self.score is None else self.score[rows]
        return Outcomes(self.kind, self.truth[rows], self.guess[rows], score, self.classes)

    @property
    def loss(self) -> Any:
        """Of each row: 1 where the answer was wrong; the absolute error of a number."""
        if self.kind == "regression":
            return np.abs(self.guess - self.truth)
        return (self.truth != self.guess).astype(np.float64)

    @property
    def columns(self) -> dict[str, Any]:
        if self.kind == "regression":
            return scoring.regression_columns(self.truth, self.guess)
        if self.kind == "binary":
            return scoring.binary_columns(self.truth, self.guess, self.score)
        return scoring.class_columns(self.truth, self.guess, self._named)

    @property
    def metrics(self) -> Sequence[SumMetric]:
        if self.kind == "regression":
            return scoring.REGRESSION
        if self.kind == "binary":
            return (*scoring.BINARY, *(scoring.SCORED if np.isfinite(self.score).any() else ()))
        return scoring.class_metrics(self._named) if self._named else scoring.ACCURACY

    @property
    def _named(self) -> int:
        return self.classes if self.classes <= MOST_CLASSES else 0


def measure(outcomes: Outcomes, codes: Any, groups: int) -> dict[str, MetricArrays]:
    """`codes`: each row's group, 0 … groups - 1, or -1 for rows that are in none."""
    parts = []
    for first in range(0, groups, _TOGETHER):
        count = min(_TOGETHER, groups - first)
        mine = (codes >= first) & (codes < first + count)
        whole = bool(mine.all())
        rows = outcomes if whole else outcomes.where(mine)
        parts.append(_measured(rows, (codes if whole else codes[mine]) - first, count))
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: _joined([part.get(name) for part in parts], groups) for name in names}


def _joined(parts: list[MetricArrays | None], groups: int) -> MetricArrays:
    counts = [min(_TOGETHER, groups - first) for first in range(0, groups, _TOGETHER)]
    missing = [MetricArrays(*(np.full(count, np.nan),) * 3) for count in counts]
    known = [part or none for part, none in zip(parts, missing, strict=True)]
    return MetricArrays(*(np.concatenate([part[place] for part in known]) for place in range(3)))


def _measured(outcomes: Outcomes, codes: Any, groups: int) -> dict[str, MetricArrays]:
    if not len(outcomes):
        return {}
    columns, metrics = outcomes.columns, outcomes.metrics
    names = list(dict.fromkeys(name for metric in metrics for name in metric.columns))
    sums = scoring.sums(columns, names, codes, groups)
    blocks = Blocks.made(codes, groups)
    drawn = resampling.of_sums(blocks, [m for m in metrics if m.share is None], columns)
    empty = np.bincount(codes, minlength=groups) == 0
    found = {}
    for metric in metrics:
        value = np.where(empty, np.nan, metric.value(*(sums[name] for name in metric.columns)))
        if metric.share is None:
            low, high = drawn[
                metric.name
            ]  # resampled in single precision: a rounding does not exclude the value
            low, high = np.minimum(low, value), np.maximum(high, value)
        else:
            low, high = resampling.wilson(*(sums[name] for name in metric.share))
        found[metric.name] = MetricArrays(value, low, high)
    if outcomes.kind == "binary":
        found |= _scored(outcomes, codes, groups, blocks)
    return found


def _scored(outcomes: Outcomes, codes: Any, groups: int, blocks: Blocks) -> dict[str, MetricArrays]:
    """Of rows that have a score: ROC AUC, PR AUC, calibration error."""
    known = np.isfinite(outcomes.score)
    if not known.any():
        return {}
    truth, score = outcomes.truth, outcomes.score
    if not known.all():
        truth, score, codes = truth[known], score[known], codes[known]
        blocks = Blocks.made(codes, groups)
    ranked = Ranked.made(truth, score, codes, groups)
    auc, precision = ranked.curves()
    (auc_low, auc_high), (low, high) = resampling.of_curves(ranked, blocks)
    error = scoring.calibration_error(truth, score, codes, groups)
    return {
        "roc_auc": MetricArrays(auc, np.maximum(auc + auc_low, 0), np.minimum(auc + auc_high, 1)),
        "pr_auc": MetricArrays(precision, np.maximum(precision + low, 0), np.minimum(precision + high, 1)),
        "ece": MetricArrays(error, *resampling.of_calibration(blocks, truth, score, error)),
    }
