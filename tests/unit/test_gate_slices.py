"""Slices: every row is in one, and the worst that is named is the worst there is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gate_cases import case
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_workbench.config.gate import GatePolicy, SlicePolicy
from mlops_workbench.registry.checks.groups import FEW, MISSING, groups
from mlops_workbench.registry.checks.slices import slices

CARRIERS = np.repeat(["AA", "UA", "OO"], [100, 100, 30])
TRUTH = np.tile([0, 1], 115)


def asked(**changes: Any) -> GatePolicy:
    return GatePolicy(slices=SlicePolicy(**({"columns": ("carrier",)} | changes)))


def answers(wrong_ua: int) -> Any:
    labels = TRUTH.copy()
    labels[100 : 100 + wrong_ua] = 1 - labels[100 : 100 + wrong_ua]
    return labels


FRAME = pd.DataFrame({"carrier": CARRIERS})


def test_no_columns_no_check() -> None:
    assert slices(case(FRAME, TRUTH, TRUTH, policy=GatePolicy())) == []


def test_even_slices_pass() -> None:
    (check,) = slices(case(FRAME, TRUTH, answers(2), policy=asked()))
    assert check.passed
    assert "1 smaller than 50 rows not judged" in check.detail
    assert [s["slice"] for s in check.evidence["slices"]] == ["UA", "AA", "OO"]


def test_the_worst_slice_is_named_with_figure_rows_and_where_to_look() -> None:
    (check,) = slices(case(FRAME, TRUTH, answers(30), policy=asked()))
    assert check.passed is False
    assert check.figure == "accuracy 0.7000 at carrier = UA (100 rows)"
    assert check.limit == "≥ 0.7826"  # nine tenths of 200 right of 230
    assert check.next_step == "Look at the rows with carrier = UA in 'test', in a file."


def test_a_column_that_is_not_there_is_not_a_pass() -> None:
    (check,) = slices(case(FRAME[[]], TRUTH, TRUTH, policy=asked()))
    assert check.passed is None
    assert check.detail == "the rows have no column 'carrier'"


def test_slices_that_are_all_too_small_are_not_a_pass() -> None:
    (check,) = slices(case(FRAME, TRUTH, TRUTH, policy=asked(minimum_rows=101)))
    assert check.passed is None
    assert check.detail == "no slice has 101 rows"


def test_a_metric_that_a_slice_does_not_have_is_not_a_pass_and_another_can_be_chosen() -> None:
    """ROC AUC is not defined where all are of one class."""
    truth = TRUTH.copy()
    truth[:100] = 1
    scores = np.where(truth == 1, 0.9, 0.1)
    made = {"metric": "roc_auc", "scores": scores}
    (check,) = slices(case(FRAME, truth, truth, policy=asked(), **made))
    assert check.passed is None
    assert "roc_auc is not defined on carrier = AA: one class only" in check.detail
    (check,) = slices(case(FRAME, truth, truth, policy=asked(metric="accuracy"), **made))
    assert check.passed


def test_an_error_is_judged_from_the_other_side() -> None:
    truth = np.arange(230.0)
    off = truth + np.where(CARRIERS == "UA", 3.0, 1.0)
    (check,) = slices(case(FRAME, truth, off, policy=asked(), metric="rmse", task="regression"))
    assert check.passed is False
    assert check.figure == "rmse 3.0000 at carrier = UA (100 rows)"
    assert check.limit.startswith("≤ 2.3")


COLUMNS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=8, max_size=60),
    st.lists(st.one_of(st.floats(-1e6, 1e6), st.none()), min_size=8, max_size=60),
    st.lists(st.booleans(), min_size=8, max_size=60),
    st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), min_size=8, max_size=60),
)


@given(COLUMNS)
@example([0.0, -0.0, None])
@settings(deadline=None)
def test_each_row_is_in_one_group_and_equal_values_are_together(values: list[Any]) -> None:
    series = pd.Series(values)
    found = groups(series)
    assert len(found) == len(series)
    assert found.notna().all()
    assert (found[series.isna()] == MISSING).all()
    assert (found[series.notna()] != MISSING).all()
    assert all(len(set(found[series == value])) == 1 for value in series.dropna().unique())
    if pd.api.types.is_numeric_dtype(series.dtype) and series.nunique() > FEW:
        assert len(set(found[series.notna()])) <= 4
        means = (
            series.groupby(found).agg(["min", "max"]).drop(index=MISSING, errors="ignore").sort_values("min")
        )
        assert (means["max"].shift().dropna().to_numpy() < means["min"].iloc[1:].to_numpy()).all()


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.booleans()), min_size=5, max_size=80),
    st.integers(1, 10),
    st.floats(0, 0.5),
)
@settings(deadline=None)
def test_the_worst_is_the_worst(rows: list[tuple[str, bool, bool]], least: int, tolerance: float) -> None:
    frame = pd.DataFrame(rows, columns=["part", "truth", "right"])
    truth = frame["truth"].astype(int).to_numpy()
    labels = np.where(frame["right"], truth, 1 - truth)
    policy = asked(columns=("part",), minimum_rows=least, tolerance=tolerance)
    (check,) = slices(case(frame, truth, labels, policy=policy))
    shares = {
        p: sum(r for q, _, r in rows if q == p) / n for p in "abcd" if (n := sum(q == p for q, *_ in rows))
    }
    big = {p: s for p, s in shares.items() if sum(q == p for q, *_ in rows) >= least}
    assert {s["slice"]: s["accuracy"] for s in check.evidence["slices"]} == pytest.approx(shares)
    if not big:
        assert check.passed is None
        return
    whole = sum(r for *_, r in rows) / len(rows)
    worst = min(big.values())
    limit = whole - tolerance * whole
    if abs(worst - limit) > 1e-9:  # on the edge the last digit decides
        assert check.passed is (worst > limit)
    named = check.figure.split(" = ")[1].split()[0]
    assert big[named] == pytest.approx(worst)
