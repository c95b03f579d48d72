"""The gate as a verb: policy from mlops.toml, real versions, and where the report goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import projects
import pytest
from projects import champion, fit, pipeline, registered, trips

from mlops_workbench.base.errors import Conflict, GateFailed, NotFound
from mlops_workbench.config.gate import GatePolicy
from mlops_workbench.registry.explanation import Explanation
from mlops_workbench.registry.gate_report import GateReport
from mlops_workbench.workbench import Workbench


def policy(workbench: Workbench, text: str = "") -> None:
    projects.set_policy(workbench, text)


def refused(workbench: Workbench, **options: Any) -> GateFailed:
    with pytest.raises(GateFailed) as caught:
        workbench.gate("trips", **options)
    return caught.value


# the first version


@pytest.mark.prepared(by=registered)
def test_a_first_version_passes_by_a_persons_choice_and_the_report_keeps_whose(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = refused(workbench)
    assert "no worse than the champion: there is no champion to compare with" in red.message
    assert red.next_step == "If it is to be the first version, say so: `gate trips --first`."
    monkeypatch.setenv("MLOPS_USER", "ada")
    report = workbench.gate("trips", first=True)
    assert isinstance(report, GateReport)
    assert report.first_by == "ada"
    assert "first version, by choice of ada" in report.text()
    workbench.promote("trips", version=1, why="first")
    with pytest.raises(Conflict, match="Version 1 of 'trips' is no first version: version 1 is champion"):
        workbench.gate("trips", first=True)


@pytest.mark.prepared(by=registered)
def test_a_team_may_allow_it_always(workbench: Workbench) -> None:
    policy(workbench, '[gate]\nfirst_version = "allow"\n')
    assert 'by choice of the policy: first_version = "allow"' in workbench.gate("trips").text()


# what it judges, and where the report goes


@pytest.mark.prepared(by=champion)
def test_the_newest_version_is_meant_when_none_is_named(workbench: Workbench) -> None:
    workbench.register(fit(workbench, run="second"), name="trips")
    report = workbench.gate("trips")
    assert isinstance(report, GateReport)
    assert (report.version, report.champion) == (2, 1)
    with pytest.raises(NotFound, match="no model 'tripz'"):
        workbench.gate("tripz")


@pytest.mark.both_stores
@pytest.mark.prepared(by=registered)
def test_the_report_is_an_artifact_of_the_run_and_part_of_the_version(workbench: Workbench) -> None:
    report = workbench.gate("trips", first=True)
    assert isinstance(report, GateReport)
    stored = workbench.tracking.version("trips", 1)
    assert stored.tags["gate"] == "passed"
    assert stored.tags["gate.report"] == str(report.id) == "1"
    assert json.loads(stored.tags["metrics"]) == dict(report.metrics)
    client = workbench.tracking.client
    files = {f.path for f in client.list_artifacts(stored.run_id, "gate")}
    assert files == {"gate/report-1.json", "gate/report-1.html"}
    kept = json.loads(Path(client.download_artifacts(stored.run_id, "gate/report-1.json")).read_text())
    assert kept == report.to_dict()
    assert kept["policy_digest"] == workbench.project.policy.gate.digest
    assert kept["policy"]["slices"]["minimum_rows"] == 50
    page = Path(client.download_artifacts(stored.run_id, "gate/report-1.html")).read_text()
    assert "by choice of" in page
    workbench.gate("trips", first=True)
    assert workbench.tracking.version("trips", 1).tags["gate.report"] == "2"


@pytest.mark.prepared(by=registered)
def test_rows_that_were_given_are_kept_as_evidence(workbench: Workbench) -> None:
    report = workbench.gate("trips", data=trips(seed=6), first=True)
    assert isinstance(report, GateReport)
    kept = workbench.frame(report.rows_from.split("snapshot ")[1])[0]
    pd.testing.assert_frame_equal(kept, trips(seed=6))
    own = workbench.gate("trips", first=True)
    assert isinstance(own, GateReport)
    assert re.fullmatch("'test', 800 rows, snapshot [0-9a-f]{12}", own.rows_from)


def test_two_policies_have_one_digest_when_they_ask_the_same() -> None:
    assert GatePolicy().digest == GatePolicy().digest
    assert (
        GatePolicy(thresholds={"a": 1.0, "b": 2.0}).digest
        == GatePolicy(thresholds={"b": 2.0, "a": 1.0}).digest
    )
    assert GatePolicy(tolerance=0.03).digest != GatePolicy().digest


# all checks at once, on the real runtime

FULL = """
[gate.thresholds]
roc_auc = 0.6
[gate.slices]
columns = ["carrier", "hour"]
tolerance = 0.3
[gate.fairness]
column = "sex"
limit = 0.2
[gate.latency]
p99_ms = 60000
memory_mb = 20000
[gate.regression]
cases = "contracts/cases.csv"
"""


def test_every_check_of_a_full_policy(workbench: Workbench) -> None:
    rng = np.random.default_rng(3)
    namespace: dict[str, Any] = workbench.namespace  # type: ignore[assignment]
    for name in ("train", "test"):
        namespace[name]["sex"] = rng.choice(["f", "m"], len(namespace[name]))
    train = namespace["train"]
    model = pipeline().fit(train.drop(columns=["late", "sex"]), train["late"])
    cases = trips(6, seed=3).drop(columns="late")
    cases["expected"] = model.predict(cases)
    (workbench.project.root / "contracts").mkdir(exist_ok=True)
    cases.to_csv(workbench.project.root / "contracts" / "cases.csv", index=False)
    policy(workbench, FULL)
    workbench.register(model, name="trips", data="train", evaluate="test", target="late")
    report = workbench.gate("trips", first=True)
    assert isinstance(report, GateReport)
    assert {c.name: c.passed for c in report.checks} == {
        "training/serving skew": True,
        "rows not trained on": True,
        "better than a constant": True,
        "threshold roc_auc": True,
        "no worse than the champion": None,
        "slices by carrier": True,
        "slices by hour": True,
        "fairness by sex": True,
        "regression cases": True,
        "training/image skew": None,
        "latency": True,
        "memory": True,
    }
    shown = report._repr_html_()
    assert shown.count("<details") == 7
    assert "selection_rate" in shown
    # the same with limits that nothing can keep: each is named, and the first is the sentence
    policy(
        workbench,
        FULL.replace("60000", "0.001").replace("20000", "1").replace("tolerance = 0.3", "tolerance = 0"),
    )
    red = refused(workbench, first=True)
    assert {c.name for c in red.report.failures} == {
        "slices by carrier",
        "slices by hour",
        "latency",
        "memory",
    }
    assert "slices by carrier: roc_auc 0." in red.message
    assert "(3 more)" in red.message
    assert red.next_step.startswith("Look at the rows with carrier = ")
    assert "in 'test', 800 rows, snapshot " in red.next_step


# in words


def test_the_policy_in_words_needs_no_version(workbench: Workbench) -> None:
    plain = workbench.gate("anything", explain=True)
    assert isinstance(plain, Explanation)
    unasked = {c.check for c in plain.checks if not c.limit}
    assert unasked == {"thresholds", "slices", "fairness", "regression cases", "latency and memory"}
    assert "save for a first version when somebody says so" in plain.text()
    policy(workbench, FULL)
    full = workbench.gate("trips", explain=True)
    assert isinstance(full, Explanation)
    limits = {c.check: c.limit for c in full.checks}
    assert all(limits.values())
    assert limits["threshold roc_auc"] == "≥ 0.6000"
    assert limits["slices"] == "at most 30% worse than the whole"
    assert limits["latency and memory"] == "p99 ≤ 60000 ms, memory ≤ 20000 MB"
    assert all(c.otherwise for c in full.checks)
    assert "contracts/cases.csv" in full._repr_html_()
    assert full.to_dict()["policy_digest"] == workbench.project.policy.gate.digest
