"""Metrics of many groups of rows at once: one pass over the rows, not one a group. Formulas are scikit-learn's.

A group's number is 0 … groups - 1. Whatever a metric is a function of sums of (accuracy, F1, RMSE, …) is such a
function here, so that `resampling` can put resampled sums in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 10
"""of equal width, that the calibration error compares scores and frequencies in"""
TINY = float(np.finfo(np.float64).eps)

Sums = Any
"""… × statistics: the last axis holds the sums of a metric's columns"""


@dataclass(frozen=True)
class SumMetric:
    """A metric as a function of sums over rows. `columns`: (rows, statistics) or, of 0/1 statistics, booleans.

    `share`: which sum is counted of which, for metrics that are shares: their intervals are Wilson's.
    """

    name: str
    columns: tuple[str, ...]
    value: Callable[..., Any]
    share: tuple[str, str] | None = None


def _divided(hits: Any, of: Any) -> Any:
    """0 where there is none, as scikit-learn's `zero_division=0`."""
    return np.divide(hits, of, out=np.zeros(np.shape(hits)), where=np.asarray(of) != 0)


def _mean(total: Any, n: Any) -> Any:
    return np.divide(total, n, out=np.full(np.shape(total), np.nan), where=np.asarray(n) != 0)


def _r2(n: Any, squares: Any, total: Any, errors: Any) -> Any:
    spread = squares - total**2 / np.where(n == 0, 1, n)
    known = spread > 1e-12 * np.maximum(squares, 1e-300)
    return np.where(known, 1 - errors / np.where(known, spread, 1), np.nan)


BINARY = (
    SumMetric("accuracy", ("right", "n"), _mean, ("right", "n")),
    SumMetric("f1", ("both", "true", "guessed"), lambda b, t, g: _divided(2.0 * b, t + g)),
    SumMetric("precision", ("both", "guessed"), lambda b, g: _divided(1.0 * b, g), ("both", "guessed")),
    SumMetric("recall", ("both", "true"), lambda b, t: _divided(1.0 * b, t), ("both", "true")),
)
SCORED = (
    SumMetric("log_loss", ("log_loss", "scored"), _mean),
    SumMetric("brier", ("brier", "scored"), _mean),
)
REGRESSION = (
    SumMetric("rmse", ("squared", "n"), lambda s, n: np.sqrt(_mean(s, n))),
    SumMetric("mae", ("absolute", "n"), _mean),
    SumMetric("r2", ("n", "label_squared", "label", "squared"), _r2),
    SumMetric("bias", ("error", "n"), _mean),
)
ACCURACY = BINARY[:1]


def binary_columns(truth: Any, guess: Any, score: Any) -> dict[str, Any]:
    """Statistics of each row. `truth`, `guess`: whether it is the positive class; `score`: its probability, or NaN."""
    known = np.isfinite(score)
    p = np.where(known, score, 0.5)
    clipped = np.clip(np.where(truth, p, 1 - p), TINY, 1 - TINY)
    return {
        "right": truth == guess,
        "both": truth & guess,
        "true": truth,
        "guessed": guess,
        "scored": known,
        "log_loss": np.where(known, -np.log(clipped), 0.0),
        "brier": np.where(known, (p - truth) ** 2, 0.0),
    }


def regression_columns(label: Any, prediction: Any) -> dict[str, Any]:
    """Labels are taken from their mean, which loses no digits of R² where they lie far from 0."""
    error = prediction - label
    centred = label - (label.mean() if len(label) else 0.0)
    return {
        "error": error,
        "absolute": np.abs(error),
        "squared": error**2,
        "label": centred,
        "label_squared": centred**2,
    }


def class_columns(truth: Any, guess: Any, classes: int) -> dict[str, Any]:
    """Of several classes: for each whether it was right, true and guessed."""
    found: dict[str, Any] = {"right": truth == guess}
    for place in range(classes):
        found[f"true {place}"], found[f"guessed {place}"] = truth == place, guess == place
        found[f"both {place}"] = found[f"true {place}"] & found[f"guessed {place}"]
    return found


def class_metrics(classes: int) -> tuple[SumMetric, ...]:
    """Accuracy, and the mean over the classes that occur of F1, precision and recall (scikit-learn's "macro")."""
    columns = tuple(f"{what} {place}" for place in range(classes) for what in ("both", "true", "guessed"))

    def macro(one: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
        def value(*sums: Any) -> Any:
            stacked = np.stack(sums)
            both, true, guessed = stacked[0::3], stacked[1::3], stacked[2::3]
            return _mean(one(both, true, guessed).sum(0), (true + guessed > 0).sum(0))

        return value

    return (
        *ACCURACY,
        SumMetric("f1", columns, macro(lambda b, t, g: _divided(2.0 * b, t + g))),
        SumMetric("precision", columns, macro(lambda b, t, g: _divided(1.0 * b, g))),
        SumMetric("recall", columns, macro(lambda b, t, g: _divided(1.0 * b, t))),
    )


def sums(columns: dict[str, Any], names: Sequence[str], codes: Any, groups: int) -> dict[str, Any]:
    """Each statistic's sum in each group; `n` counts the rows."""
    found: dict[str, Any] = {}
    for name in names:
        values = columns.get(name)
        if values is None:
            found[name] = np.bincount(codes, minlength=groups).astype(np.float64)
        elif values.dtype == bool:
            found[name] = np.bincount(codes[values], minlength=groups).astype(np.float64)
        else:
            found[name] = np.bincount(codes, weights=values, minlength=groups)
    return found


def calibration_error(truth: Any, score: Any, codes: Any, groups: int) -> Any:
    """ECE: the mean over the bins, weighted with their rows, of |mean score - share of the positive class|."""
    place = codes * BINS + np.minimum((score * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(place, weights=score - truth, minlength=groups * BINS).reshape(groups, BINS)
    return _mean(np.abs(gaps).sum(1), np.bincount(codes, minlength=groups))


@dataclass(frozen=True)
class Ranked:
    """Rows by group and score, ascending, with equal scores of a group in one run."""

    order: Any
    codes: Any
    truth: Any
    run: Any
    """the run of each row"""
    first: Any
    """of each run: the place of its first row"""
    start: Any
    """of each group: the place of its first row"""
    size: Any

    @classmethod
    def made(cls, truth: Any, score: Any, codes: Any, groups: int) -> Ranked:
        by_score = np.argsort(score)
        small: Any = codes.astype(np.uint16) if groups < 2**16 else codes  # radix sort
        order = by_score[np.argsort(small[by_score], kind="stable")]
        ranked, values = codes[order], score[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (ranked[1:] != ranked[:-1]) | (values[1:] != values[:-1])
        size = np.bincount(codes, minlength=groups)
        start = np.concatenate([[0], np.cumsum(size)[:-1]])
        return cls(order, ranked, truth[order], np.cumsum(new) - 1, np.flatnonzero(new), start, size)

    @property
    def middle(self) -> Any:
        """Of each row the mean rank of its run in its group, from 0 up."""
        last = np.append(self.first[1:], len(self.order)) - 1
        return ((self.first + last) / 2)[self.run] - self.start[self.codes]

    def curves(self) -> tuple[Any, Any]:
        """ROC AUC (Mann and Whitney's U over the pairs, ties by half) and average precision (the mean of precision
        weighted with the gain in recall, over the distinct scores) of each group; NaN where a class is missing."""
        groups = len(self.size)
        positive = np.bincount(self.codes[self.truth], minlength=groups).astype(np.float64)
        negative = self.size - positive
        ranks = np.bincount(self.codes[self.truth], weights=self.middle[self.truth], minlength=groups)
        pairs = positive * negative
        auc = _mean(ranks - positive * (positive - 1) / 2, pairs)
        hits = np.concatenate([[0], np.cumsum(self.truth)])
        group = self.codes[self.first]
        end = (self.start + self.size)[group]
        above = hits[end] - hits[self.first]  # positives from this run to the end of the group
        after = np.append(self.first[1:], len(self.order))
        inside = hits[after] - hits[self.first]
        gain = np.bincount(group, weights=inside * above / (end - self.first), minlength=groups)
        return auc, np.where(pairs > 0, _mean(gain, positive), np.nan)
