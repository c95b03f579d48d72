"""The other checks, one by one: what passes, what fails, what cannot be evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gate_cases import case
from model_folders import classifier, flights, regressor, save

from mlops_workbench.base.errors import EngineUnavailable, ServingFailed
from mlops_workbench.config.gate import GatePolicy, LatencyPolicy, RegressionPolicy
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry.checks.check import Contestant, GateContext, Measured
from mlops_workbench.registry.checks.latency import latency
from mlops_workbench.registry.checks.metrics import constant, thresholds
from mlops_workbench.registry.checks.regression import cases
from mlops_workbench.registry.checks.skew import image, runtime
from mlops_workbench.rollout import judging

TRUTH = np.tile([0, 1], 50)
FRAME = pd.DataFrame(index=range(100))


# better than a constant, thresholds


def test_a_version_must_beat_a_constant() -> None:
    policy = GatePolicy()
    assert constant(case(FRAME, TRUTH, TRUTH, policy=policy)).passed
    check = constant(case(FRAME, TRUTH, np.zeros(100, dtype=int), policy=policy))
    assert check.passed is False
    assert "'test', in a file" in check.next_step
    one_class = case(FRAME, np.ones(100, dtype=int), TRUTH, policy=policy, metric="roc_auc")
    assert constant(one_class).passed is None


def test_thresholds_from_both_sides() -> None:
    labels = TRUTH.copy()
    labels[:10] = 1 - labels[:10]
    limits = {"accuracy": 0.9, "balanced_accuracy": 0.95, "rmse": 1.0}
    good, bad, unknown = thresholds(case(FRAME, TRUTH, labels, policy=GatePolicy(thresholds=limits)))
    assert (good.passed, bad.passed, unknown.passed) == (True, False, None)
    assert (bad.figure, bad.limit) == ("0.9000", "≥ 0.9500")
    assert unknown.detail.startswith("known here: accuracy")
    off = np.arange(100.0) + 1.0
    made = case(
        FRAME,
        np.arange(100.0),
        off,
        policy=GatePolicy(thresholds={"rmse": 0.5, "mae": 1.0}),
        metric="rmse",
        task="regression",
    )
    assert [c.passed for c in thresholds(made)] == [False, True]


# regression cases


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Contestant:
    folder = tmp_path_factory.mktemp("late")
    return Contestant(1, save(folder, classifier()), judging.load(folder))


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Contestant:
    folder = tmp_path_factory.mktemp("minutes")
    return Contestant(1, save(folder, regressor(), task="regression"), judging.load(folder))


def table(contestant: Contestant, rows: int = 4) -> pd.DataFrame:
    frame = flights(rows, seed=5)
    answers = contestant.served([*_json(frame)]).values
    return frame.assign(expected=answers)


def _json(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    from mlops_workbench.data.rows import to_rows

    yield from to_rows(frame)


CASES = RegressionPolicy(cases="cases.csv")


def test_no_file_named_no_check(late: Contestant, tmp_path: Path) -> None:
    assert cases(late, RegressionPolicy(), tmp_path) == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_cases_that_are_right_pass_with_texts_numbers_gaps_and_times(
    late: Contestant, tmp_path: Path, suffix: str
) -> None:
    frame = table(late, 40)
    assert frame.isna().any().any()
    if suffix == "csv":
        frame.to_csv(tmp_path / "cases.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "cases.parquet", index=False)
    (check,) = cases(late, RegressionPolicy(cases=f"cases.{suffix}"), tmp_path)
    assert check.passed, check
    assert check.figure == "40 of 40 right"
    assert len(check.evidence["sha256"]) == 64


def test_a_wrong_case_names_its_row_and_shows_its_inputs(late: Contestant, tmp_path: Path) -> None:
    frame = table(late)
    frame.loc[1, "expected"] = "late" if frame.loc[1, "expected"] == "on time" else "on time"
    frame.to_csv(tmp_path / "cases.csv", index=False)
    (check,) = cases(late, CASES, tmp_path)
    assert check.passed is False
    assert check.figure == "3 of 4 right"
    assert check.detail.startswith("row 2: ")
    assert check.next_step == "Look at row 2 of cases.csv."
    (wrong,) = check.evidence["wrong"]
    assert wrong["row"] == 2
    assert wrong["required"] == frame.loc[1, "expected"]
    assert wrong["seats"] == frame.loc[1, "seats"]


def test_numbers_are_right_within_a_tolerance_of_the_policy_or_the_row(
    minutes: Contestant, tmp_path: Path
) -> None:
    frame = table(minutes)
    frame["expected"] += [0.0, 0.4, 0.4, 0.0]
    frame.to_csv(tmp_path / "cases.csv", index=False)
    (check,) = cases(minutes, CASES, tmp_path)
    assert [w["row"] for w in check.evidence["wrong"]] == [2, 3]
    assert check.next_step == "Look at rows 2, 3 of cases.csv."
    assert cases(minutes, replace(CASES, tolerance=0.5), tmp_path)[0].passed
    frame.assign(tolerance=[None, 1.0, None, None]).to_csv(tmp_path / "cases.csv", index=False)
    (check,) = cases(minutes, CASES, tmp_path)
    assert [w["row"] for w in check.evidence["wrong"]] == [3]


def test_the_label_column_says_the_required_answer_too(late: Contestant, tmp_path: Path) -> None:
    table(late).rename(columns={"expected": "late"}).to_csv(tmp_path / "cases.csv", index=False)
    assert cases(late, CASES, tmp_path)[0].passed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, "There is no file cases.csv"),
        (lambda f: f.head(0), "cases.csv has no rows"),
        (lambda f: f.drop(columns="carrier"), "has no column 'carrier', which the model reads"),
        (lambda f: f.drop(columns="expected"), "no column 'expected' or 'late' with the required answers"),
        (
            lambda f: f.assign(expected="perhaps"),
            "row 1: 'expected' must be one of late, on time. Got 'perhaps'",
        ),
        (lambda f: f.assign(seats=np.inf), "'seats' has 4 infinite values"),
        (lambda f: f.assign(sched="tomorrow"), "cannot answer the rows of cases.csv: ValueError"),
    ],
)
def test_cases_that_cannot_be_asked_are_not_a_pass(
    late: Contestant, tmp_path: Path, change: Any, sentence: str
) -> None:
    if change is not None:
        change(table(late)).to_csv(tmp_path / "cases.csv", index=False)
    (check,) = cases(late, CASES, tmp_path)
    assert check.passed is None
    assert sentence in check.detail
    assert check.next_step


def test_a_file_that_is_no_table_is_not_a_pass(late: Contestant, tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"no parquet")
    (check,) = cases(late, RegressionPolicy(cases="cases.parquet"), tmp_path)
    assert check.passed is None
    assert "cannot be read" in check.detail


# skew


def test_the_runtime_must_answer_as_was_recorded(late: Contestant) -> None:
    assert runtime(late).passed
    other = "on time" if late.manifest.expected[0] == "late" else "late"
    changed: Manifest = replace(late.manifest, expected=(other, *late.manifest.expected[1:]))
    check = runtime(Contestant(1, changed, late.served))
    assert check.passed is False
    assert check.figure.startswith("sample row 0: ")
    assert len(check.evidence["rows"]) == 5


def test_the_image_must_too(late: Contestant, tmp_path: Path) -> None:
    assert not image(late, GateContext()).applies
    same = GateContext(image="trips:1", ask_image=late.served)
    assert image(late, same).passed
    save(tmp_path, classifier(seed=7))
    another = judging.load(tmp_path)  # a model that was fitted on other rows
    rows = late.manifest.sample * 8
    recorded = tuple(late.served(rows).values)
    longer = replace(late, manifest=replace(late.manifest, sample=rows, expected=recorded))
    if list(another(rows).values) == list(recorded):
        recorded_probabilities = tuple(map(tuple, late.served(rows).probabilities or ()))
        longer = replace(
            longer, manifest=replace(longer.manifest, expected_probabilities=recorded_probabilities)
        )
    check = image(longer, GateContext(image="trips:1", ask_image=another))
    assert check.passed is False
    assert check.detail == "40 recorded rows asked of a container of trips:1"


def test_an_image_that_cannot_be_asked_is_not_a_pass(late: Contestant) -> None:
    def nobody(_rows: Any) -> Any:
        raise EngineUnavailable("No engine answers.", "Start Docker.")

    check = image(late, GateContext(image="trips:1", ask_image=nobody))
    assert (check.passed, check.applies) == (None, True)
    assert (check.detail, check.next_step) == ("No engine answers", "Start Docker.")
    assert image(late, GateContext(image="trips:1")).passed is None


# latency and memory


def measured(_rows: int) -> Measured:
    return Measured(200, 3.0, 20.0, 300.0)


def test_latency_and_memory_against_their_limits() -> None:
    context = GateContext(measure=measured)
    assert latency(LatencyPolicy(), context) == []
    slow, small = latency(LatencyPolicy(p99_ms=19.0, memory_mb=300.0), context)
    assert (slow.passed, small.passed) == (False, True)
    assert (slow.figure, slow.limit) == ("p99 20.0 ms", "≤ 19 ms")
    (big,) = latency(LatencyPolicy(memory_mb=299.0), context)
    assert (big.name, big.passed, big.figure) == ("memory", False, "300 MB")
    assert latency(LatencyPolicy(p99_ms=20.0), context)[0].passed


def test_a_runtime_that_cannot_be_measured_is_not_a_pass() -> None:
    def dead(_rows: int) -> Measured:
        raise ServingFailed("It did not start. Its log ends:\nmuch", "Correct it.")

    policy = LatencyPolicy(p99_ms=50.0, memory_mb=300.0)
    for context in (GateContext(), GateContext(measure=dead)):
        assert [c.passed for c in latency(policy, context)] == [None, None]
    assert latency(policy, GateContext(measure=dead))[0].detail == "It did not start"
