"""Fairness: Fairlearn's figures, held against counts by hand; and what cannot be known is not a pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gate_cases import case
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.base.errors import UsageError
from mlops_workbench.config.gate import FairnessPolicy, GatePolicy
from mlops_workbench.registry.checks.fairness import RATES, fairness

SEX = np.repeat(["f", "m"], 100)
FRAME = pd.DataFrame({"sex": SEX})
TRUTH = np.tile([0, 1], 100)


def asked(**changes: Any) -> GatePolicy:
    return GatePolicy(fairness=FairnessPolicy(**({"column": "sex"} | changes)))


def favoured(more: int) -> Any:
    """So many women who should not be are selected besides."""
    labels = TRUTH.copy()
    labels[np.flatnonzero((SEX == "f") & (TRUTH == 0))[:more]] = 1
    return labels


def test_no_column_no_check() -> None:
    assert fairness(case(FRAME, TRUTH, TRUTH, policy=GatePolicy())) == []


def test_groups_that_are_treated_alike_pass() -> None:
    (check,) = fairness(case(FRAME, TRUTH, favoured(5), policy=asked()))
    assert check.passed
    assert check.figure == "demographic_parity_difference 0.0500"


@pytest.mark.parametrize(
    ("metric", "limit", "figure"),
    [
        ("demographic_parity_difference", 0.1, 0.2),
        ("equalized_odds_difference", 0.3, 0.4),
        ("false_positive_rate_difference", 0.3, 0.4),
        ("demographic_parity_ratio", 0.8, 50 / 70),
        ("accuracy_difference", 0.1, 0.2),
    ],
)
def test_groups_that_are_not_fail_with_the_groups_named(metric: str, limit: float, figure: float) -> None:
    (check,) = fairness(case(FRAME, TRUTH, favoured(20), policy=asked(metric=metric, limit=limit)))
    assert check.passed is False
    assert check.figure == f"{metric} {figure:.4f}"
    assert check.limit == f"{'≥' if metric.endswith('ratio') else '≤'} {limit:.4f}"
    assert "of sex in 'test', in a file" in check.next_step
    assert {g["group"]: g["rows"] for g in check.evidence["groups"]} == {"f": 100, "m": 100}


def test_numbers_are_compared_by_their_own_metrics() -> None:
    truth = np.arange(200.0)
    answers = truth + np.where(SEX == "f", 3.0, 1.0)
    made = {"metric": "rmse", "task": "regression"}
    (check,) = fairness(
        case(FRAME, truth, answers, policy=asked(metric="rmse_difference", limit=1.5), **made)
    )
    assert check.passed is False
    assert check.figure == "rmse_difference 2.0000"
    assert check.detail == "rmse: m 1.0000 (100 rows), f 3.0000 (100 rows)"


def test_a_metric_that_looks_at_probabilities_gets_them() -> None:
    scores = np.where(TRUTH == 1, 0.8, 0.2)
    scores[SEX == "f"] = 1 - scores[SEX == "f"]
    (check,) = fairness(
        case(FRAME, TRUTH, TRUTH, policy=asked(metric="roc_auc_difference"), metric="roc_auc", scores=scores)
    )
    assert check.figure == "roc_auc_difference 1.0000"


def test_the_column_must_be_in_the_rows() -> None:
    (check,) = fairness(case(FRAME[[]], TRUTH, TRUTH, policy=asked()))
    assert check.passed is None
    assert check.detail == "the rows have no column 'sex'"


def test_one_group_alone_is_not_a_pass() -> None:
    (check,) = fairness(case(FRAME, TRUTH, TRUTH, policy=asked(minimum_rows=101)))
    assert check.passed is None
    assert check.detail == "fewer than two groups have 101 rows"


def test_a_small_group_is_named_and_not_judged() -> None:
    frame = FRAME.copy()
    frame.loc[:9, "sex"] = None
    labels = TRUTH.copy()
    labels[:10] = 1
    (check,) = fairness(case(frame, TRUTH, labels, policy=asked()))
    assert check.passed
    assert check.detail.endswith("not judged, fewer than 20 rows: missing")


def test_a_rate_that_a_group_does_not_have_is_not_a_pass() -> None:
    """Fairlearn calls the true positive rate of a group without positives 0, which would be the worst there is."""
    truth = TRUTH.copy()
    truth[SEX == "f"] = 0
    (check,) = fairness(case(FRAME, truth, truth, policy=asked(metric="equal_opportunity_difference")))
    assert check.passed is None
    assert check.detail == "true_positive_rate is not defined for f: no row there is 1"
    scores = np.where(truth == 1, 0.8, 0.2)
    policy = asked(metric="roc_auc_difference")
    (check,) = fairness(case(FRAME, truth, truth, policy=policy, metric="roc_auc", scores=scores))
    assert check.passed is None
    assert check.detail == "roc_auc is not defined for f"


@pytest.mark.parametrize(
    ("metric", "classes", "sentence"),
    [
        ("demografic_parity_difference", (0, 1), "Did you mean 'demographic_parity_difference'"),
        ("demographic_parity_difference", (0, 1, 2), "is not one of a classification model with 3 classes"),
        ("rmse_difference", (0, 1), "is not one of a classification model"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(metric: str, classes: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        fairness(case(FRAME, TRUTH, TRUTH, policy=asked(metric=metric), classes=classes))


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), min_size=6, max_size=60)


@given(ROWS, st.sampled_from(sorted(RATES)))
@settings(deadline=None, max_examples=60)
def test_differences_are_those_counted_by_hand(rows: list[tuple[str, bool, bool]], measure: str) -> None:
    frame = pd.DataFrame(rows, columns=["sex", "truth", "answer"])
    policy = asked(metric=f"{measure}_difference", minimum_rows=1, limit=0.5)
    (check,) = fairness(case(frame, frame["truth"].astype(int), frame["answer"].astype(int), policy=policy))
    kept = sorted({g for g, *_ in rows})
    gaps = []
    for rate in RATES[measure]:
        shares = [_rate(rate, [(t, a) for g, t, a in rows if g == one]) for one in kept]
        if None in shares or len(kept) < 2:
            assert check.passed is None
            return
        gaps.append(max(shares) - min(shares))  # type: ignore[type-var,operator]
    assert float(check.figure.split()[1]) == pytest.approx(max(gaps), abs=1e-4)


def _rate(name: str, rows: list[tuple[bool, bool]]) -> float | None:
    among = {"true_positive_rate": True, "false_negative_rate": True}.get(name, False)
    some = rows if name == "selection_rate" else [(t, a) for t, a in rows if t is among]
    hit = name in ("selection_rate", "true_positive_rate", "false_positive_rate")
    return sum(a is hit for _, a in some) / len(some) if some else None
