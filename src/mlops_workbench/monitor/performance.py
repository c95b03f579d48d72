"""How right the predictions were, once labels have come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.base.values import Value
from mlops_workbench.manifest import Task
from mlops_workbench.monitor.inference import LoggedRows


@dataclass(frozen=True)
class Performance(Value):
    """Metrics over `n` labelled predictions, none when there are none; `baseline`: the same at registration, where
    known."""

    n: int
    metrics: dict[str, float]
    baseline: dict[str, float]
    rows: int
    """logged, of which `n` are labelled"""

    @property
    def title(self) -> str:
        if not self.n:
            return f"0 of {self.rows:,} rows are labelled yet"
        if self.n < self.rows:
            return f"Performance on the {self.n:,} of {self.rows:,} rows that are labelled"
        return f"Performance on {self.n:,} labelled predictions"

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        rows = []
        for name, value in self.metrics.items():
            before = self.baseline.get(name)
            rows.append((name, value, before, None if before is None else value - before))
        return ("metric", "now", "at registration", "change"), rows


def performance(
    logged: LoggedRows,
    *,
    task: Task,
    classes: Sequence[Any] = (),
    positive: Any = None,
    baseline: Mapping[str, float] | None = None,
) -> Performance | None:
    """Metrics of those of the rows that have a label and a prediction; None for a model of a task without metrics.

    `classes` in the order of the model's probabilities, `positive` the one of two that counts (None: the last);
    `baseline` the metrics of registration: those of the
    same names are shown with them.
    """
    if task == "other":
        return None
    facts = logged.facts
    known = facts[facts["label"].notna() & facts["prediction"].notna()]
    if known.empty:
        return Performance(0, {}, {}, len(facts))
    label, prediction, score = (known[name].to_numpy() for name in ("label", "prediction", "score"))
    if task == "regression":
        metrics = regression(label, prediction)
    else:
        metrics = classification(label, prediction, score, classes=classes, positive=positive)
    same = {name: value for name, value in (baseline or {}).items() if name in metrics}
    return Performance(len(known), metrics, same, len(facts))


def classification(
    labels: Any,
    predictions: Any,
    score: Any = None,
    *,
    classes: Sequence[Any] = (),
    positive: Any = None,
) -> dict[str, float]:
    """Accuracy, F1, precision and recall (of the positive class of two, else the mean over the classes), positive
    rate; AUC and log loss with scores.

    `score` is the probability of the positive class for two classes, of the predicted class otherwise; AUC is
    therefore for two classes only, and log loss too. A metric that is undefined (one class only) is left out.
    """
    y, p, names = comparable(labels, predictions, classes)
    found = {"accuracy": float(np.mean(y == p))}
    if len(names) != 2:
        each = [_rates(y == place, p == place) for place in np.union1d(y, p)]
        return found | {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    place = 1 if positive is None else list(classes).index(positive)
    truth, guess = y == place, p == place
    found |= _rates(truth, guess)
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


def _rates(truth: Any, guess: Any) -> dict[str, float]:
    """F1 = 2 TP / (2 TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN); 0 where there is none."""
    both, true, guessed = (int(np.sum(v)) for v in (truth & guess, truth, guess))
    return {
        name: hits / of if of else 0.0
        for name, hits, of in (
            ("f1", 2 * both, true + guessed),
            ("precision", both, guessed),
            ("recall", both, true),
        )
    }


def _roc_auc(truth: Any, score: Any) -> float:
    """Mann and Whitney's U over the number of pairs, ties counted by half; both classes must be there."""
    positive = int(np.sum(truth))
    ranks = float(pd.Series(score).rank()[truth].sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))


def _log_loss(truth: Any, score: Any) -> float:
    """Mean of -ln(probability of what happened); probabilities are kept a rounding away from 0 and 1."""
    tiny = np.finfo(np.float64).eps
    return float(-np.mean(np.log(np.clip(np.where(truth, score, 1 - score), tiny, 1 - tiny))))


def comparable(labels: Any, predictions: Any, classes: Sequence[Any]) -> tuple[Any, Any, list[Any]]:
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
