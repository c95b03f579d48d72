"""Estimates without labels: near the truth under covariate shift, and wrong under concept drift, as their text says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

from mlops_workbench.base.errors import InvalidData
from mlops_workbench.monitor.estimating import BLIND, Calibration, estimate, isotonic


def world(rows: int, seed: int, *, shift: float = 0.0, turned: bool = False) -> tuple[Any, Any, Any]:
    """Scores of a model that is too sure of itself, what it answers, and what happens. `shift`: other inputs;
    `turned`: the same inputs mean something else."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.0 + shift / 3, rows)
    true = 1 / (1 + np.exp(-1.5 * x * (-0.3 if turned else 1.0)))
    score = 1 / (1 + np.exp(-3.0 * x))
    return score, score > 0.5, rng.random(rows) < true


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    score, _, truth = world(6000, 0)
    return Calibration.fitted(score, truth)


def actual(score: Any, guess: Any, truth: Any) -> dict[str, float]:
    return {
        "roc_auc": float(metrics.roc_auc_score(truth, score)),
        "accuracy": float(metrics.accuracy_score(truth, guess)),
        "f1": float(metrics.f1_score(truth, guess)),
    }


def test_the_scores_are_calibrated_first(calibration: Calibration) -> None:
    score, _, truth = world(6000, 1)
    raw = np.mean((score - truth) ** 2)
    assert np.mean((calibration.probability(score) - truth) ** 2) < raw - 0.01
    assert calibration.trusted
    assert calibration.error < 0.05
    assert (np.diff(calibration.rates) >= 0).all()


@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.7])
def test_under_covariate_shift_it_is_near_what_labels_say_later(
    calibration: Calibration, shift: float
) -> None:
    parts = [world(3000, seed, shift=shift) for seed in range(10, 18)]
    score, guess, truth = (np.concatenate(column) for column in zip(*parts, strict=True))
    codes = np.repeat(np.arange(8), 3000)
    found = estimate(calibration, score, guess, codes, 8)
    for name, one in found.items():
        later = np.array([actual(*part)[name] for part in parts])
        assert np.abs(one.value - later).mean() < 0.025, name
        held = (one.low <= later) & (later <= one.high)
        assert held.sum() >= 6, name
        assert (one.low <= one.value).all()
        assert (one.value <= one.high).all()
    assert truth.any()


def test_it_is_blind_to_concept_drift(calibration: Calibration) -> None:
    score, guess, truth = world(4000, 20, turned=True)
    found = estimate(calibration, score, guess, np.zeros(4000, dtype=int), 1)
    later = actual(score, guess, truth)
    assert found["roc_auc"].value[0] - later["roc_auc"] > 0.3
    assert found["roc_auc"].low[0] > later["roc_auc"]
    assert "wrong under concept drift" in BLIND


def test_calibration_that_does_not_hold_is_noticed() -> None:
    """A half that says the opposite of the other cannot be fitted; what chance explains is no fault."""
    score, _, truth = world(400, 3)
    assert Calibration.fitted(score, truth).trusted
    order = np.random.default_rng(20_260_103).permutation(len(score))
    truth[order[1::2]] = ~truth[order[1::2]]
    assert not Calibration.fitted(score, truth).trusted


def test_too_few_rows_are_refused() -> None:
    score, _, truth = world(99, 3)
    with pytest.raises(InvalidData, match="The held-out rows are 99"):
        Calibration.fitted(score, truth)
    with pytest.raises(InvalidData, match="with 0 of the positive class"):
        Calibration.fitted(np.linspace(0, 1, 200), np.zeros(200, dtype=bool))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=30))
def test_isotonic_regression_is_scikit_learns(parts: list[tuple[int, int]]) -> None:
    of = np.array([max(hit, row) for hit, row in parts], dtype=float)
    hits = np.array([hit for hit, _ in parts], dtype=float)
    expected = IsotonicRegression().fit_transform(np.arange(len(of)), hits / of, sample_weight=of)
    assert isotonic(hits, of) == pytest.approx(expected)


def test_rows_without_a_score_are_left_out(calibration: Calibration) -> None:
    score, guess, _ = world(1000, 5)
    some = estimate(calibration, score[:500], guess[:500], np.zeros(500, dtype=int), 2)
    gaps = np.where(np.arange(1000) < 500, score, np.nan)
    every = estimate(calibration, gaps, guess, np.zeros(1000, dtype=int), 2)
    for name, one in some.items():
        assert one.value[0] == every[name].value[0]
        assert np.isnan(one.value[1])


def test_equal_scores_are_ties_in_the_expected_auc(calibration: Calibration) -> None:
    half = np.full(200, 0.5)
    found = estimate(calibration, half, half > 0.4, np.zeros(200, dtype=int), 1)
    assert found["roc_auc"].value[0] == pytest.approx(0.5)
