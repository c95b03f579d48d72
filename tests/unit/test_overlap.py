"""Rows that a model is judged on and was fitted on: counted, less what repeats by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import champion, fit, pipeline, trips

from mlops_workbench.base.errors import GateFailed
from mlops_workbench.data.overlap import overlap
from mlops_workbench.manifest import Kind
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

KINDS: dict[str, Kind] = {"a": "double", "b": "string", "t": "datetime", "f": "boolean", "y": "string"}


def rows(n: int, seed: int = 0, values: int = 10**9) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.integers(0, values, n),
            "b": rng.choice(["x", "y"], n),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 2, n), unit="D"),
            "f": rng.random(n) < 0.5,
            "y": rng.choice(["no", "yes"], n),
        }
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 300), st.floats(0, 1), st.integers(0, 2**16))
def test_the_share_of_training_rows_is_found(n: int, share: float, seed: int) -> None:
    fitted_on, fresh = rows(500, seed), rows(n, seed + 1)
    taken = round(share * n)
    judged = pd.concat([fitted_on.head(taken), fresh.iloc[taken:]], ignore_index=True)
    found = overlap(fitted_on, judged, KINDS)
    assert (found.rows, found.seen) == (n, min(taken, 500))
    assert found.trained == pytest.approx(found.seen / n, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**16))
def test_what_repeats_by_chance_is_no_training_row(values: int, seed: int) -> None:
    """A few columns of few values: most fresh rows equal an old one."""
    found = overlap(rows(2_000, seed, values), rows(500, seed + 1, values), KINDS)
    assert found.share > 0.5
    assert found.trained < 0.02


def test_types_that_hold_the_same_value_are_the_same_row() -> None:
    one = rows(50)
    other = one.assign(
        a=one["a"].astype(float),
        b=pd.Categorical(one["b"]),
        f=one["f"].astype(object),
        t=one["t"].dt.tz_localize("UTC"),
    )
    assert overlap(one, other, KINDS).seen == 50
    assert overlap(one, other.assign(y="other"), KINDS).seen == 0


def test_gaps_are_values() -> None:
    one = rows(10).assign(a=[np.nan] * 10, b=None)
    assert overlap(one, one.copy(), KINDS).seen == 10


def mixed(share: float) -> pd.DataFrame:
    taken = int(share * 400)
    return pd.concat([trips(seed=1).head(taken), trips(seed=2).head(400 - taken)], ignore_index=True)


@pytest.mark.prepared(by=champion)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_gate_does_not_pass_on_rows_that_were_trained_on(workbench: Workbench, share: float) -> None:
    workbench.register(fit(workbench, run="again"), name="trips")
    workbench.namespace = dict(workbench.namespace) | {"mixed": mixed(share)}
    with pytest.raises(GateFailed) as caught:
        workbench.gate("trips", version=2, data="mixed")
    check = next(c for c in caught.value.report.checks if c.name == "rows not trained on")
    assert (check.passed, check.figure) == (None, f"{share:.1%}")
    assert "judged rows are rows that version 2 was fitted on" in check.detail
    assert "--data ROWS" in check.next_step


@pytest.mark.prepared(by=champion)
def test_a_champion_that_has_seen_the_rows_is_no_measure(workbench: Workbench) -> None:
    """It was fitted on them, the challenger was not: it would win by memory."""
    workbench.namespace = dict(workbench.namespace) | {"other": trips(seed=7)}
    code = (
        'from projects import pipeline\nmodel = pipeline().fit(other.drop(columns="late"), other["late"])\n'
    )
    space = dict(workbench.namespace)
    workbench.run(Cell(code, lambda: exec(code, space), space), name="honest", data="other", evaluate="train")
    workbench.namespace = space
    workbench.register("model", name="trips")
    with pytest.raises(GateFailed) as caught:
        workbench.gate("trips", version=2)
    check = next(c for c in caught.value.report.checks if c.name == "rows not trained on")
    assert "the champion (version 1) was fitted on" in check.detail


def test_a_run_says_that_its_rows_are_not_held_out(workbench: Workbench) -> None:
    space: dict[str, Any] = {"train": trips(seed=1), "mixed": mixed(0.25), "pipeline": pipeline}
    workbench.namespace = space
    code = 'model = pipeline().fit(train.drop(columns="late"), train["late"])'

    def run(evaluate: str) -> str:
        return workbench.run(
            Cell(code, lambda: exec(code, space), space), name="r", data="train", evaluate=evaluate
        ).note

    assert "25.0% of the rows of 'mixed' are rows of 'train'" in run("mixed")
    space["fresh"] = trips(seed=3)
    assert run("fresh") == ""
