"""What the metrics of a binary classifier should be on rows that have no label yet: confidence-based estimation (CBPE).

Scores become probabilities by isotonic regression on held-out rows; then each row counts as positive with its
probability, and ROC AUC, accuracy and F1 are what they are expected to be. The formulas are those of NannyML's CBPE
(https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html). It sees that the rows are other
ones (covariate shift), and is blind to the same rows meaning something else (concept drift): see `BLIND`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.monitor import scoring
from mlops_workbench.monitor.measuring import MetricArrays
from mlops_workbench.monitor.resampling import bounds
from mlops_workbench.monitor.scoring import Ranked

BLIND = (
    "An estimate from the model's own confidence, no measurement: it is right while the same inputs still mean the "
    "same, and wrong under concept drift, which only labels show."
)
PARTS = 100
RESAMPLES = 200
SEED = 20_260_103
LEAST = 100
"""held-out rows, below which no calibration is fitted"""
UNSURE = 0.05
"""calibration error, on rows it was not fitted on, above which an estimate is not trusted unless it is by chance"""


@dataclass(frozen=True)
class Calibration:
    """From scores to probabilities: the share of the positive class in each part of the scores, made monotonic.

    `edges`: upper ends of the parts but the last; `error`: ECE on a half of the rows, fitted on the other; `chance`:
    what is exceeded there by chance in one of twenty cases where the probabilities are right."""

    edges: Any
    positive: Any
    negative: Any
    rows: int
    error: float
    chance: float

    @property
    def trusted(self) -> bool:
        return self.error <= max(UNSURE, self.chance)

    @classmethod
    def fitted(cls, score: Any, truth: Any) -> Calibration:
        """Raises InvalidData for too few rows, or of one class alone."""
        known = np.isfinite(score)
        score, truth = np.asarray(score, dtype=np.float64)[known], np.asarray(truth, dtype=bool)[known]
        if len(score) < LEAST or truth.all() or not truth.any():
            raise InvalidData(
                f"The held-out rows are {len(score):,} with {int(truth.sum()):,} of the positive class: too few to "
                "estimate from.",
                f"Register the model with {LEAST} or more held-out rows of both classes.",
            )
        order = np.random.default_rng(SEED).permutation(len(score))
        one, other = order[::2], order[1::2]
        half = cls(*_counted(score[one], truth[one]), len(one), 0.0, 0.0)
        p, codes = half.probability(score[other]), np.zeros(len(other), dtype=np.int64)
        error = scoring.calibration_error(truth[other], p, codes, 1)[0]
        rng = np.random.default_rng(SEED)
        drawn = [scoring.calibration_error(rng.random(len(p)) < p, p, codes, 1)[0] for _ in range(RESAMPLES)]
        return cls(*_counted(score, truth), len(score), float(error), float(np.quantile(drawn, 0.95)))

    @property
    def rates(self) -> Any:
        return isotonic(self.positive, self.positive + self.negative)

    def part(self, score: Any) -> Any:
        return np.searchsorted(self.edges, score, side="left")

    def probability(self, score: Any) -> Any:
        return self.rates[self.part(score)]


def _counted(score: Any, truth: Any) -> tuple[Any, Any, Any]:
    edges = np.unique(np.quantile(score, np.linspace(0, 1, PARTS + 1)[1:-1], method="inverted_cdf"))
    part = np.searchsorted(edges, score, side="left")
    count = len(edges) + 1
    positive, negative = (np.bincount(part[which], minlength=count) for which in (truth, ~truth))
    return edges, positive.astype(float), negative.astype(float)


def isotonic(hits: Any, of: Any) -> Any:
    """The monotonic shares nearest to hits / of, by pooling neighbours that go down (Ayer et al., Ann. Math. Stat. 26,
    1955). Parts without rows take their left neighbour's."""
    pools: list[list[float]] = []  # hits, rows, parts
    for hit, row in zip(hits.tolist(), of.tolist(), strict=True):
        pools.append([hit, row, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    rates = [pool[0] / pool[1] if pool[1] else 0.0 for pool in pools]
    return np.repeat(rates, [int(pool[2]) for pool in pools])


def estimate(
    calibration: Calibration, score: Any, guess: Any, codes: Any, groups: int
) -> dict[str, MetricArrays]:
    """ROC AUC, accuracy and F1 of each group. The interval holds the spread of the labels to come and that of the
    calibration, from 200 resamples of both; not that the calibration no longer holds."""
    known = np.isfinite(score)
    score, guess, codes = score[known], guess[known], codes[known]
    part, rates = calibration.part(score), calibration.rates
    p = rates[part]
    exact = _metrics(*_confusion(p, guess, codes, groups)) | {
        "roc_auc": _expected_auc(p, score, codes, groups)
    }
    parts = len(rates)
    place = (codes * parts + part) * 2 + guess
    rows = np.bincount(place, minlength=groups * parts * 2).reshape(groups, parts, 2)
    expected = _binned(rows, rows * rates[:, None])
    drawn = _drawn(calibration, rows)
    found = {}
    for name, value in exact.items():
        low, high = bounds(np.stack([one[name] for one in drawn]))
        shift = value - expected[name]
        found[name] = MetricArrays(value, np.maximum(low + shift, 0), np.minimum(high + shift, 1))
    return found


def _drawn(calibration: Calibration, rows: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    counts = np.concatenate([calibration.positive, calibration.negative])
    size = len(calibration.positive)
    found = []
    for _ in range(RESAMPLES):
        again = rng.multinomial(calibration.rows, counts / counts.sum()).astype(float)
        rates = isotonic(again[:size], again[:size] + again[size:])
        found.append(_binned(rows, rng.binomial(rows, rates[:, None])))
    return found


def _confusion(p: Any, guess: Any, codes: Any, groups: int) -> tuple[Any, Any, Any, Any]:
    """Expected numbers of true positives, positives, and those guessed and all rows."""
    return (
        np.bincount(codes, weights=p * guess, minlength=groups),
        np.bincount(codes, weights=p, minlength=groups),
        np.bincount(codes[guess], minlength=groups).astype(float),
        np.bincount(codes, minlength=groups).astype(float),
    )


def _metrics(both: Any, true: Any, guessed: Any, n: Any) -> dict[str, Any]:
    some = np.where(n > 0, n, np.nan)
    marked = np.where(true + guessed > 0, true + guessed, np.nan)
    return {"accuracy": (n - true - guessed + 2 * both) / some, "f1": 2 * both / marked}


def _binned(rows: Any, positive: Any) -> dict[str, Any]:
    """Of rows and positives by group, part of the scores, and whether they are guessed positive."""
    found = _metrics(positive[..., 1].sum(1), positive.sum((1, 2)), rows[..., 1].sum(1), rows.sum((1, 2)))
    ours, theirs = positive.sum(2), (rows - positive).sum(2)
    below = np.cumsum(theirs, axis=1) - theirs / 2
    pairs = ours.sum(1) * theirs.sum(1)
    auc = np.divide((ours * below).sum(1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return found | {"roc_auc": auc}


def _expected_auc(p: Any, score: Any, codes: Any, groups: int) -> Any:
    """Each row is a positive of weight p and a negative of weight 1 - p."""
    ranked = Ranked.made(np.zeros(len(p), dtype=bool), score, codes, groups)
    ours = p[ranked.order]
    positive = np.add.reduceat(ours, ranked.first) if len(ours) else ours
    negative = np.add.reduceat(1 - ours, ranked.first) if len(ours) else ours
    group = ranked.codes[ranked.first]
    before = np.concatenate([[0.0], np.cumsum(1 - ours)])
    below = before[ranked.first] - before[ranked.start[group]] + negative / 2
    total, rest = (np.bincount(group, weights=v, minlength=groups) for v in (positive, negative))
    pairs = total * rest
    wins = np.bincount(group, weights=positive * below, minlength=groups)
    return np.divide(wins, pairs, out=np.full(groups, np.nan), where=pairs > 0)
