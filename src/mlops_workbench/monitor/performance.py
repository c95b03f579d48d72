"""How right the predictions were, once labels have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.base.values import Value


@dataclass(frozen=True)
class Performance(Value):
    """Metrics over `n` labelled predictions; `baseline`: the same at registration, where known."""

    n: int
    metrics: dict[str, float]
    baseline: dict[str, float]

    @property
    def title(self) -> str:
        return f"Performance on {self.n:,} labelled predictions"

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        rows = []
        for name, value in self.metrics.items():
            before = self.baseline.get(name)
            rows.append((name, value, before, None if before is None else value - before))
        return ("metric", "now", "at registration", "change"), rows


def classification(
    labels: Any, predictions: Any, score: Any = None, *, classes: Sequence[Any] = ()
) -> dict[str, float]:
    """Accuracy, F1 (of the last class if binary, else macro), positive rate; AUC and log loss with scores.

    `score` is the probability of the last class for two classes, of the predicted class otherwise; AUC is
    therefore for two classes only, and log loss too. A metric that is undefined (one class only) is left out.
    """
    y, p, names = _comparable(labels, predictions, classes)
    found = {"accuracy": float(np.mean(y == p))}
    if len(names) != 2:
        found["f1"] = float(np.mean([_f1(y == place, p == place) for place in np.union1d(y, p)]))
        return found
    truth, guess = y == 1, p == 1
    found["f1"] = _f1(truth, guess)
    if score is not None:
        s = np.asarray(score, dtype=np.float64)
        known = np.isfinite(s)
        if known.any():
            if truth[known].any() and not truth[known].all():
                found["roc_auc"] = _roc_auc(truth[known], s[known])
            found["log_loss"] = _log_loss(truth[known], s[known])
    found["positive_rate"] = float(np.mean(truth))
    found["predicted_positive_rate"] = float(np.mean(guess))
    return found


# scikit-learn's own functions give the same (a test compares them), after an import of seconds.


def _f1(truth: Any, guess: Any) -> float:
    """2 TP / (2 TP + FP + FN); 0 where neither has any."""
    either = np.sum(truth) + np.sum(guess)
    return float(2 * np.sum(truth & guess) / either) if either else 0.0


def _roc_auc(truth: Any, score: Any) -> float:
    """Mann and Whitney's U over the number of pairs, ties counted by half; both classes must be there."""
    positive = int(np.sum(truth))
    ranks = float(pd.Series(score).rank()[truth].sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))


def _log_loss(truth: Any, score: Any) -> float:
    """Mean of -ln(probability of what happened); probabilities are kept a rounding away from 0 and 1."""
    tiny = np.finfo(np.float64).eps
    return float(-np.mean(np.log(np.clip(np.where(truth, score, 1 - score), tiny, 1 - tiny))))


def _comparable(labels: Any, predictions: Any, classes: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
    """Both as places in the list of classes; what is no class comes after them.

    Numbers are compared as numbers (a class 1 is stored as 1.0, True as 1.0), all else as text.
    """
    both = [np.asarray(labels), np.asarray(predictions)]
    numeric = all(values.dtype.kind in "biuf" for values in both)
    codes, values = pd.factorize(np.concatenate([v.astype(np.float64 if numeric else object) for v in both]))
    names: list[Any] = [float(c) if numeric else str(c) for c in classes]
    found = [float(v) if numeric else str(v) for v in values]
    names += sorted(set(found) - set(names))
    places = np.array([names.index(name) for name in found])[codes]
    return places[: both[0].size], places[both[0].size :], names


def regression(labels: Any, predictions: Any) -> dict[str, float]:
    """MAE and RMSE in the unit of the target, and R² (left out where all labels are equal)."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    error = p - y
    found = {"mae": float(np.mean(np.abs(error))), "rmse": float(np.sqrt(np.mean(error**2)))}
    spread = float(np.sum((y - y.mean()) ** 2))
    if spread > 0:
        found["r2"] = 1 - float(np.sum(error**2)) / spread
    return found
