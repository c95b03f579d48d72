"""The check against the champion, on answers made by hand: which side of the interval counts, and pairing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gate_cases import case, contestant, judged
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.registry.checks.champion import against, interval
from mlops_workbench.registry.checks.check import GateContext
from mlops_workbench.registry.checks.result import Check

ROWS = 400
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, ROWS)
RIGHT = RNG.random(ROWS) < 0.8


def labels(right: Any) -> Any:
    return np.where(right, TRUTH, 1 - TRUTH)


def compared(mine: Any, theirs: Any, tolerance: float) -> Check:
    policy = GatePolicy(metric="accuracy", tolerance=tolerance)
    made = case(pd.DataFrame(index=range(ROWS)), TRUTH, labels(mine), policy=policy)
    return against(replace(made, champion=contestant(1), theirs=judged(TRUTH, labels(theirs))))


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_the_same_answers_are_no_loss_at_all(tolerance: float) -> None:
    """Judged on the same resampled rows the interval is a point; on different ones it is 5 % wide."""
    check = compared(RIGHT, RIGHT, tolerance)
    assert check.passed
    assert "+0.0000 … +0.0000" in check.detail


def test_the_whole_interval_must_lie_above_the_tolerance() -> None:
    other = np.where(RNG.random(ROWS) < 0.1, ~RIGHT, RIGHT)  # a loss of a few points, give or take as many
    loss = RIGHT.mean() - other.mean()
    assert loss > 0
    share = loss / RIGHT.mean()
    assert not compared(other, RIGHT, 0.0).passed
    assert not compared(other, RIGHT, share * 1.05).passed  # the middle would do, the lower end does not
    assert compared(other, RIGHT, 3 * share).passed
    assert compared(RIGHT, other, 0.0).passed


def test_a_champion_that_cannot_answer_is_not_a_pass() -> None:
    made = case(pd.DataFrame(index=range(ROWS)), TRUTH, TRUTH, policy=GatePolicy())
    check = against(
        replace(made, champion=contestant(1), theirs="the rows lack 'x', which the champion reads")
    )
    assert (check.passed, check.applies) == (None, True)
    assert check.detail == "the rows lack 'x', which the champion reads"


def test_a_first_version_passes_only_by_choice() -> None:
    made = case(pd.DataFrame(index=range(ROWS)), TRUTH, TRUTH, policy=GatePolicy())
    check = against(made)
    assert (check.passed, check.applies) == (None, True)
    assert check.detail == "there is no champion to compare with"
    check = against(replace(made, context=GateContext(first_by="ada")))
    assert (check.applies, check.detail) == (False, "first version, by choice of ada")
    check = against(replace(made, policy=GatePolicy(first_version="allow")))
    assert (check.applies, check.detail) == (
        False,
        'first version, by choice of the policy: first_version = "allow"',
    )


def test_the_champion_is_not_compared_with_itself() -> None:
    made = case(pd.DataFrame(index=range(ROWS)), TRUTH, TRUTH, policy=GatePolicy())
    check = against(replace(made, champion=contestant(2), theirs=judged(TRUTH, TRUTH)))
    assert (check.applies, check.detail) == (False, "it is the champion")


PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=200)


@pytest.mark.slow
@given(PAIRS, st.floats(0.6, 0.98))
@settings(deadline=None, max_examples=25)
def test_the_interval_holds_the_gain_and_turns_with_the_sides(
    rows: list[tuple[bool, bool]], confidence: float
) -> None:
    truth = np.arange(len(rows)) % 2
    mine, theirs = (np.where(right, truth, 1 - truth) for right in zip(*rows, strict=True))
    a, b = judged(truth, mine), judged(truth, theirs)
    low, high = interval(contestant(2), contestant(1), a, b, "accuracy", confidence)
    gain = a.metrics["accuracy"] - b.metrics["accuracy"]
    assert low - 1e-9 <= gain <= high + 1e-9
    back = interval(contestant(2), contestant(1), b, a, "accuracy", confidence)
    assert back == pytest.approx((-high, -low))  # the same rows are drawn


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 2.0))
@settings(deadline=None, max_examples=10)
def test_the_interval_is_scipys(seed: int, spread: float) -> None:
    """Other random draws, the same method: the ends agree within what 200 resamples leave to chance."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=300)
    mine, theirs = truth + rng.normal(0, spread, 300), truth + rng.normal(0, 1, 300)
    a, b = (judged(truth, answers, "regression", ()) for answers in (mine, theirs))
    low, high = interval(
        contestant(2, "regression", ()), contestant(1, "regression", ()), a, b, "mae", confidence=0.9
    )
    wanted = stats.bootstrap(
        (abs(mine - truth), abs(theirs - truth)),
        lambda x, y, axis: y.mean(axis=axis) - x.mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    width = wanted.confidence_interval.high - wanted.confidence_interval.low
    assert low == pytest.approx(wanted.confidence_interval.low, abs=0.25 * width)
    assert high == pytest.approx(wanted.confidence_interval.high, abs=0.25 * width)
