"""Columns are trained, contracted, served and compared as what they are; a verdict belongs to the rows it is of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import champion, registered, set_policy, trips
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops_workbench import cli
from mlops_workbench.base.errors import ContractViolation, Drifted, InvalidData, UsageError
from mlops_workbench.data import validations
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def customers(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "zip": rng.choice(["01067", "04103", "20095"], rows),
            "member": rng.random(rows) < 0.4,
            "month": pd.Categorical(rng.integers(1, 13, rows)),
            "debt": pd.Series([None, *rng.normal(size=rows - 1)], dtype=object),
        }
    )
    frame["risk"] = np.where(frame["month"].astype(int) + 3 * frame["member"] > 8, "01", "00")
    return frame


def fitted(frame: pd.DataFrame) -> Any:
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["zip", "member", "month"]), remainder="drop"
    )
    return make_pipeline(encoder, LogisticRegression()).fit(frame.drop(columns="risk"), frame["risk"])


def test_files_of_the_rows_it_was_fitted_on_are_what_it_was_fitted_on(workbench: Workbench) -> None:
    """With codes, truth values as a database has them, categories of whole numbers and numbers as objects."""
    set_policy(workbench, "[gate]\ntrained_rows = 1.0\n")
    frame = customers()
    model = fitted(frame)
    workbench.register(model, name="risk", data=frame, target="risk")
    os.chdir(workbench.project.root)
    stored = frame.assign(member=frame["member"].astype(int))
    stored.to_csv("ROWS.CSV.gz", index=False, compression="gzip")
    stored.to_json("rows.jsonl", orient="records", lines=True)
    stored.astype({"month": int, "debt": float}).to_parquet("rows.parquet")
    expected = workbench.gate("risk", version=1, data=frame, first=True).metrics["accuracy"]
    assert expected > 0.9
    for name in ("ROWS.CSV.gz", "rows.jsonl", "rows.parquet"):
        assert workbench.gate("risk", version=1, data=name, first=True).metrics["accuracy"] == expected, name
        report = workbench.drift("risk", version=1, data=name, fail=True)
        assert {f.name: f.status for f in report.features} == dict.fromkeys(frame.columns[:-1], "ok"), name
        assert not any(f.note for f in report.features), name
    workbench.promote("risk", version=1, why="t")
    workbench.serve("risk", kind="process")
    try:
        wanted = model.predict(frame.drop(columns="risk")).tolist()
        for name in ("ROWS.CSV.gz", "rows.jsonl", "rows.parquet"):
            answers = workbench.predict("risk", name).frame
            assert answers["prediction"].tolist() == wanted, name
        answers.assign(risk=frame["risk"]).drop(columns=["prediction", "score"]).to_csv(
            "truth.csv", index=False
        )
        assert workbench.label("risk", "truth.csv").matched == len(frame)
        performance = workbench.drift("risk", last=len(frame)).performance
        assert performance is not None
        assert performance.metrics["accuracy"] == expected
    finally:
        workbench.stop("risk")


def test_a_contract_reads_a_file_as_its_columns_are(workbench: Workbench) -> None:
    frame = customers().assign(at=pd.date_range("2020-01-01", periods=400, freq="h"))
    assert workbench.validate(frame, contract="c").verdict == "inferred"
    os.chdir(workbench.project.root)
    frame.assign(member=frame["member"].astype(int)).to_csv("rows.csv.gz", index=False)
    kept = workbench.validate("rows.csv.gz", contract="c")
    assert (kept.verdict, kept.breaches) == ("kept", ())


def test_a_verdict_belongs_to_the_rows_it_is_of(workbench: Workbench) -> None:
    def run(name: str, **given: str) -> dict[str, str]:
        done = workbench.run(Cell("1", lambda: None, dict(workbench.namespace)), name=name, **given).run
        tags = workbench.tracking.run(done.id).tags
        return {key: value for key, value in tags.items() if key.startswith("contract.")}

    workbench.validate("train", contract="trips")
    with pytest.raises(ContractViolation):
        workbench.validate(trips().drop(columns="hour"), contract="trips")
    assert run("none") == {}
    assert run("other", data="test") == {}
    assert run("train", data="train")["contract.trips.verdict"] == "inferred"
    workbench.validate("train", contract="trips")
    fresh = Workbench(workbench.project.root, namespace=dict(workbench.namespace))
    try:  # yesterday's, in another process
        done = fresh.run(Cell("1", lambda: None, dict(fresh.namespace)), name="tomorrow", data="train").run
        (last, *_) = validations.of_contract(fresh.store, "trips")
        tags = fresh.tracking.run(done.id).tags
        assert (tags["contract.trips.verdict"], tags["contract.trips.data"]) == ("kept", "train")
        assert last.verdict == "kept"
    finally:
        fresh.close()


@pytest.mark.prepared(by=registered)
def test_drift_fails_when_it_is_asked_to(workbench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    moved = trips(shift=30.0)
    assert workbench.drift("trips", version=1, data=moved).drifted == ("wind speed",)
    with pytest.raises(
        Drifted, match=r"1 of 4 features of trips version 1 have drifted: 'wind speed'"
    ) as found:
        workbench.drift("trips", version=1, data=moved, fail=True)
    assert found.value.report.drifted == ("wind speed",)
    assert workbench.drift("trips", version=1, data="test", fail=True).drifted == ()
    os.chdir(workbench.project.root)
    moved.to_csv("rows.csv", index=False)
    assert cli.main(["drift", "trips/1", "--data", "rows.csv"]) == 0
    assert cli.main(["drift", "trips/1", "--data", "rows.csv", "--fail"]) == 1
    shown = capsys.readouterr()
    assert "PSI" in shown.out
    assert "Drifted: 1 of 4 features" in shown.err


@pytest.mark.prepared(by=registered)
def test_an_error_spells_an_option_as_it_is_typed(
    workbench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    os.chdir(workbench.project.root)
    assert cli.main(["promote", "trips", "--why", "x"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "→ Say which: --version, or trips/N."
    with pytest.raises(UsageError, match="Say which: the option version, or trips/N"):
        workbench.promote("trips", why="x")


@pytest.mark.prepared(by=champion)
def test_a_request_id_of_a_csv_stays_a_text(workbench: Workbench, tmp_path: Path) -> None:
    pd.DataFrame({"request_id": ["007"], "late": [1]}).to_csv(tmp_path / "t.csv", index=False)
    frame, _ = workbench.frame(str(tmp_path / "t.csv"), {"request_id": "string"})
    assert frame["request_id"].tolist() == ["007"]


def test_what_no_file_can_hold_is_said_before_one_is_written(workbench: Workbench) -> None:
    frame = pd.DataFrame({"x": ["\ud800", "a"] * 10})
    for make in (workbench.validate, workbench.contract):
        with pytest.raises(InvalidData, match="no valid Unicode"):
            make(frame, contract="c") if make == workbench.validate else make("c", data=frame)
    assert not list((workbench.project.root / "contracts").glob("*"))


@pytest.mark.prepared(by=registered)
def test_the_gate_names_the_values_that_do_not_fit(workbench: Workbench) -> None:
    frame = trips().astype({"hour": object})
    frame.loc[:10, "hour"] = " "
    with pytest.raises(
        InvalidData, match=r"reads numbers in 'hour', and 11 of 800 values are none, such as ' '"
    ):
        workbench.gate("trips", version=1, data=frame, first=True)
