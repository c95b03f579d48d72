"""Permutation importance: enough rows, stated, with their spread, and one figure for run, gate and card."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import registered
from sklearn.inspection import permutation_importance as of_scikit_learn
from sklearn.linear_model import LinearRegression

from mlops_workbench.track.importance import FEWEST_ROWS, ROWS, SEARCH_ROWS, SEARCHED, permutation_importance
from mlops_workbench.workbench import Workbench


def frame_of(rows: int, columns: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"x{i}" for i in range(columns)])


def squared(truth: Any, _places: Any, answers: Any, _chances: Any) -> float:
    return -float(np.sqrt(np.mean((truth[_places] - np.asarray(answers)) ** 2)))


def test_shares_are_scikit_learns_within_their_spread() -> None:
    frame = frame_of(1500, 4)
    target = 3 * frame["x0"] + frame["x1"] + 0.5 * frame["x2"]
    model = LinearRegression().fit(frame, target)
    truth = target.to_numpy()
    found = permutation_importance(
        frame, list(frame), lambda rows: (model.predict(rows), None), lambda *a: squared(truth, *a)
    )
    wanted = of_scikit_learn(
        model, frame, target, scoring="neg_root_mean_squared_error", n_repeats=20, random_state=1
    ).importances_mean
    for i, column in enumerate(frame):
        share = max(wanted[i], 0) / wanted.clip(0).sum()
        assert found.shares[column] == pytest.approx(share, abs=4 * found.spread[column] + 1e-3)
    assert (found.rows, found.of, found.repeats, found.apart) == (1500, 1500, 5, 4)
    assert found.sentence == "permutation importance on 1,500 rows, each column shuffled 5 times"


def test_many_rows_are_drawn_and_stated() -> None:
    frame = frame_of(5000, 3).assign(word=pd.Categorical(["a", "b"] * 2500))
    truth = frame["x0"].to_numpy() + (frame["word"] == "a").to_numpy()
    asked: list[int] = []

    def ask(rows: pd.DataFrame) -> tuple[Any, None]:
        assert rows["word"].dtype == frame["word"].dtype
        asked.append(len(rows))
        return rows["x0"].to_numpy() + (rows["word"] == "a").to_numpy(), None

    found = permutation_importance(frame, list(frame), ask, lambda *a: squared(truth, *a))
    assert list(found.shares)[:2] == ["x0", "word"]
    assert [found.shares[n] for n in ("x1", "x2")] == [0, 0]
    assert "on 2,000 of 5,000 rows" in found.sentence
    assert len(asked) == 1 + 5  # all columns of one shuffling are one call
    assert set(asked[1:]) == {ROWS * 4}


def test_of_a_wide_model_the_columns_that_count_are_found() -> None:
    frame = frame_of(2000, 1500)
    used = ["x7", "x700", "x1499"]
    truth = frame[used].to_numpy() @ [3.0, 2.0, 1.0]
    cells = 0

    def ask(rows: pd.DataFrame) -> tuple[Any, None]:
        nonlocal cells
        cells += rows.size
        return rows[used].to_numpy() @ [3.0, 2.0, 1.0], None

    found = permutation_importance(frame, list(frame), ask, lambda *a: squared(truth, *a))
    assert list(found.shares)[:3] == used
    assert sum(found.shares[n] for n in used) == pytest.approx(1)
    assert len(found.shares) == 1500
    assert FEWEST_ROWS <= found.rows < ROWS
    # each halving asks so many groups: it grows with the columns, not with their square
    assert cells <= (7 * SEARCHED * SEARCH_ROWS + (SEARCHED + 3) * found.rows) * 1500
    assert "one by one" in found.sentence


def test_nothing_that_moves_the_metric_is_no_share() -> None:
    frame = frame_of(100, 2)
    truth = np.zeros(100)
    still = permutation_importance(
        frame, list(frame), lambda rows: (np.zeros(len(rows)), None), lambda *a: squared(truth, *a)
    )
    assert still.shares == {}
    undefined = permutation_importance(
        frame, list(frame), lambda rows: (np.zeros(len(rows)), None), lambda *_: None
    )
    assert (undefined.shares, undefined.repeats) == ({}, 0)


@pytest.mark.prepared(by=registered)
def test_run_gate_and_card_have_one_figure(workbench: Workbench) -> None:
    (run,) = workbench.runs().runs
    of_run = json.loads(workbench.tracking.text(run.id, "evaluation/evaluation.json"))["importance"]
    report = workbench.gate("trips", version=1, first=True)
    assert dict(report.importance) == pytest.approx(of_run["shares"])
    assert dict(report.importance_spread) == pytest.approx(of_run["spread"])
    assert report.importance_of == "permutation importance on 800 rows, each column shuffled 5 times"
    card = workbench.card("trips", version=1).markdown
    assert report.importance_of in card
    best = max(report.importance, key=lambda n: report.importance[n])
    share, spread = report.importance[best], report.importance_spread[best]
    assert f"| {best} | {share:.1%} | {spread:.1%} |" in card
