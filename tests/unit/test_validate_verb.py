"""`validate` and `contract` as verbs: what they keep, where they write, and what they leave alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from projects import project, trips
from sqlalchemy import select

from mlops_workbench.base.errors import (
    Conflict,
    ContractViolation,
    InvalidData,
    MissingDependency,
    NotFound,
)
from mlops_workbench.data import frames, profiles, validations
from mlops_workbench.data.tables import validations as table
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench


def cell(workbench: Workbench, data: Any) -> Cell:
    """A tracked cell that validates."""

    def execute() -> None:
        workbench.validate(data, contract="trips")

    return Cell("validate", execute, dict(workbench.namespace))


@pytest.mark.both_stores
def test_a_validation_in_a_tracked_cell_belongs_to_its_run(workbench: Workbench) -> None:
    workbench.validate("train", contract="trips")
    made = workbench.run(cell(workbench, trips().assign(hour=500)), name="warned").run
    with pytest.raises(ContractViolation):
        workbench.run(cell(workbench, trips().assign(hour="noon")), name="broken")
    broken = workbench.tracking.run("broken")
    assert broken.status == "failed"
    before, warned, failed = reversed(validations.of_contract(workbench.store, "trips"))
    assert [v.verdict for v in (before, warned, failed)] == ["inferred", "warned", "broken"]
    assert [v.run for v in (before, warned, failed)] == [None, made.id, broken.id]
    tags = workbench.tracking.run(made.id).tags
    assert tags["contract.trips.verdict"] == "warned"
    assert tags["contract.trips.digest"] == warned.digest
    folder = Path(workbench.tracking.client.download_artifacts(broken.id, "contracts"))
    assert "breaks the contract" in (folder / "trips.html").read_text()
    assert json.loads((folder / "trips.json").read_text())["run"] == broken.id


def test_a_run_can_be_named_and_a_wrong_name_changes_nothing(workbench: Workbench) -> None:
    run = workbench.run(Cell("1", lambda: None, {}), name="done").run
    with pytest.raises(NotFound, match=r"There is no run 'dine'. Did you mean 'done'"):
        workbench.validate("train", contract="trips", run="dine")
    assert validations.of_contract(workbench.store, "trips") == ()
    assert workbench.validate("train", contract="trips", run="done").run == run.id


def test_a_run_of_another_project_is_none_of_ours(
    workbench: Workbench, template: Path, tmp_path: Path
) -> None:
    other = project(template, tmp_path / "other")
    try:
        other.run(cell(workbench, trips()), name="elsewhere")
    finally:
        other.close()
    (kept,) = validations.of_contract(workbench.store, "trips")
    assert kept.run is None


def test_the_rows_of_a_validation_are_found_by_their_fingerprint(workbench: Workbench) -> None:
    report = workbench.validate("train", contract="trips")
    mark = frames.fingerprint(trips(seed=1), "other name").sha256
    assert report.data_sha256 == mark
    (kept,) = workbench.store.rows(select(table).where(table.c.data_sha256 == mark))
    assert (kept["contract"], kept["contract_digest"]) == ("trips", report.digest)


def test_the_report_is_written_also_when_the_data_break_the_contract(
    workbench: Workbench, tmp_path: Path
) -> None:
    workbench.validate("train", contract="trips")
    with pytest.raises(NotFound, match="There is no folder"):
        workbench.validate("train", contract="trips", report=str(tmp_path / "no" / "x.html"))
    file = tmp_path / "x.html"
    with pytest.raises(
        ContractViolation, match=r"column 'hour': column is missing .800 rows.; 1 error in all"
    ):
        workbench.validate(trips().drop(columns="hour"), contract="trips", report=str(file))
    assert "column is missing" in file.read_text()


def test_an_old_record_is_still_shown(workbench: Workbench) -> None:
    workbench.validate("train", contract="trips")
    with workbench.store.write() as connection:
        old = {"at": "2026-01-01T00:00:00", "contract": "trips", "contract_digest": "0" * 64, "data": "old"}
        connection.execute(table.insert().values(**old, passed=0, report={"breaches": []}))
    assert "broken" in workbench.contract("trips").text()


@pytest.mark.whylogs
def test_a_contract_from_data_comes_with_its_profile(workbench: Workbench) -> None:
    told: list[str] = []
    workbench.progress = lambda message, fraction=None: told.append(message)
    made = workbench.contract("trips", data="train")
    assert Path(made.profile).name == f"trips-{made.contract.digest[:12]}.bin"
    assert profiles.summary(Path(made.profile).read_bytes())["hour"]["rows"] == 800
    assert any(one.startswith("hour: mean within") for one in made.constraints)
    assert any(one.startswith("profile: row") for one in told)
    with pytest.raises(Conflict, match="already"):
        workbench.contract("trips", data="test")
    again = workbench.contract("trips", data="test", replace=True)
    assert [p.name for p in Path(again.profile).parent.iterdir()] == [Path(again.profile).name]
    workbench.validate("train", contract="trips")
    shown = workbench.contract("trips")
    assert (shown.profile, shown.constraints) == (again.profile, again.constraints)
    assert [v.verdict for v in shown.validations] == ["kept"]
    assert "this one" in shown.text()
    assert shown.to_dict()["columns"]["hour"]["type"] == "number"
    workbench.validate("train", contract="trips", infer=True)
    assert workbench.contract("trips").profile == ""
    with pytest.raises(NotFound, match=r"There is no contract 'trip'. Did you mean 'trips'"):
        workbench.contract("trip")


@pytest.mark.whylogs
def test_constraints_are_checked_on_a_profile_when_asked(workbench: Workbench, tmp_path: Path) -> None:
    workbench.contract("trips", data="train")
    file = tmp_path / "rows.bin"
    kept = workbench.validate("train", contract="trips", profile=str(file))
    rules = {(c.column, c.rule) for c in kept.checks if c.kind == "profile" and c.passed}
    assert ("hour", "profile: no missing values") in rules
    assert ("carrier", "profile: frequent values in the list") in rules
    assert not kept.breaches
    assert profiles.summary(file.read_bytes())["hour"]["rows"] == 800
    changed = trips().assign(carrier="??", größe=lambda f: f["größe"] + 1.5).drop(columns="late")
    with pytest.raises(ContractViolation) as refused:
        workbench.validate(changed, contract="trips", profile=str(file))
    broken = {(b.column, b.rule.split()[1]) for b in refused.value.report.breaches if b.kind == "profile"}
    assert {("größe", "mean"), ("carrier", "frequent"), ("late", "range"), ("late", "mean")} <= broken
    assert not {column for column, _ in broken} & {"hour", "wind speed"}


@pytest.mark.whylogs
def test_profiles_of_parts_are_one_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = trips()
    monkeypatch.setattr(profiles, "CHUNK", 300)
    parts = profiles.summary(profiles.profile(frame))
    monkeypatch.undo()
    whole = profiles.summary(profiles.profile(frame))
    assert parts["hour"]["rows"] == whole["hour"]["rows"] == 800
    assert parts["hour"]["mean"] == pytest.approx(whole["hour"]["mean"])
    assert parts["carrier"]["frequent"] == whole["carrier"]["frequent"]


def test_useless_data_make_no_contract(workbench: Workbench) -> None:
    for column, sentence in ((None, "is empty"), (np.inf, "has infinite values")):
        with pytest.raises(InvalidData, match=sentence):
            workbench.contract("c", data=trips().assign(bad=column))
    assert not (workbench.project.root / "contracts").exists()


def test_a_killed_writer_leaves_no_half_contract(workbench: Workbench) -> None:
    """The draft is a file of its own: what is found under the name is whole."""
    path = Path(workbench.contract("c", data="train").path)
    assert not [p for p in path.parent.iterdir() if "draft" in p.name]


@pytest.mark.postgres
def test_it_all_works_on_postgresql(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_STORE_URL", database)
    monkeypatch.setenv("MLOPS_TRACKING_URL", database)
    workbench = Workbench(tmp_path, namespace={"train": trips(seed=1)})
    workbench.init("trips")
    try:
        workbench.validate("train", contract="trips")
        workbench.run(cell(workbench, trips().assign(hour=500)), name="warned")
        assert [v.verdict for v in workbench.contract("trips").validations] == ["warned", "inferred"]
        assert workbench.store.rows(select(table.c.run))[-1]["run"]
    finally:
        workbench.close()


def test_fingerprints_do_not_depend_on_how_texts_are_hashed() -> None:
    """Different texts are hashed as they are, repeated ones once each: the digest must be one and the same."""
    for values in (["x"] * 5000, [f"x{i}" for i in range(5000)], [f"x{i}" for i in range(4999)] + [None]):
        frame = pd.DataFrame({"a": values})
        hashes = pd.util.hash_array(frame["a"].to_numpy(), categorize=True)
        twin = pd.util.hash_array(frame["a"].to_numpy(), categorize=frames._repeats(frame["a"]))
        assert (hashes == twin).all()
    assert not frames._repeats(pd.Series([f"x{i}" for i in range(5000)]))


def test_without_whylogs_all_but_profiles_works(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no wheels for Python 3.13 and later."""
    monkeypatch.setitem(sys.modules, "whylogs", None)
    sheet = workbench.contract("trips", data="train")
    assert (sheet.profile, sheet.constraints) == ("", ())
    assert "'whylogs', which is not installed" in sheet.text()
    assert workbench.validate("train", contract="trips").passed
    for contract in ("trips", "new"):
        with pytest.raises(MissingDependency, match="'whylogs', which is not installed"):
            workbench.validate("train", contract=contract, profile="rows.bin")
    assert not (workbench.project.root / "contracts" / "new.yaml").exists()
