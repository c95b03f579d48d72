"""What `status` and the card say of what needs a look: reports, jobs, drift and quality."""

from __future__ import annotations

from typing import Any

import pytest
from projects import champion, fit, registered, set_policy, trips

from mlops_workbench.alerts import watched
from mlops_workbench.base.errors import GateFailed
from mlops_workbench.jobs import queue
from mlops_workbench.monitor.drift import DriftReport, compare
from mlops_workbench.monitor.performance import Performance
from mlops_workbench.workbench import Workbench


def warnings(workbench: Workbench) -> str:
    return "\n".join(workbench.status().warnings)


@pytest.mark.prepared(by=champion)
def test_a_later_red_report_stands_beside_the_one_that_decided(workbench: Workbench) -> None:
    assert workbench.status().warnings == ()
    set_policy(workbench, "[gate.thresholds]\nroc_auc = 0.99\n")
    with pytest.raises(GateFailed):
        workbench.gate("trips", version=1)
    card = workbench.card("trips").markdown
    assert "It passed the gate (report 1 of " in card
    assert "**A later report (2 of " in card
    assert "did not pass:** threshold roc_auc" in card
    assert "| threshold roc_auc |" not in card  # the table is of the report that decided
    assert "later gate report (2) did not pass" in warnings(workbench)
    tree = workbench.lineage("trips").to_dict()["gate"]
    assert (tree["report"], tree["verdict"]) == (1, "passed")
    assert tree["later report"] == "2, failed"


@pytest.mark.prepared(by=champion)
def test_the_newest_version_without_a_green_report_is_named(workbench: Workbench) -> None:
    set_policy(workbench, "[gate.thresholds]\nroc_auc = 0.99\n")
    workbench.register(fit(workbench, c=0.5, run="second"), name="trips")
    assert warnings(workbench) == ""  # it waits to be judged
    with pytest.raises(GateFailed):
        workbench.gate("trips", version=2)
    assert "The newest version of 'trips', 2, did not pass the gate (report 2)." in warnings(workbench)


@pytest.mark.prepared(by=registered)
def test_a_version_that_cannot_be_judged_is_named(workbench: Workbench) -> None:
    model: Any = fit(workbench, run="x")
    workbench.models_made.clear()
    workbench.register(model, name="bare", data=trips(), target="late")
    assert "The newest version of 'bare', 1, has no held-out rows to be judged by." in warnings(workbench)


@pytest.mark.prepared(by=champion)
def test_a_failed_job_is_named_until_a_later_one_succeeds(workbench: Workbench) -> None:
    store = workbench.store

    def ended(state: str, error: str | None) -> None:
        with store.write() as connection:
            from mlops_workbench.jobs.tables import jobs

            connection.execute(
                jobs.insert().values(
                    kind="retrain",
                    model="trips",
                    who="ada",
                    state=state,
                    step="",
                    created=store.now(),
                    ended=store.now(),
                    error=error,
                    options={},
                    line="retrain trips",
                    host="here",
                )
            )

    ended("failed", "Cell 2 of 'job.ipynb' failed: ZeroDivisionError: division by zero")
    number = queue.find(store, 1)[0].id
    assert f"Job {number} (retrain trips) failed " in warnings(workbench)
    assert "division by zero" in warnings(workbench)
    ended("succeeded", None)
    assert "failed" not in warnings(workbench)


def found(workbench: Workbench, shift: float, auc: float) -> DriftReport:
    import dataclasses

    report = compare(trips(seed=1), trips(seed=2, shift=shift))
    return dataclasses.replace(
        report,
        model="trips",
        version="1",
        period=f"{shift} logged rows",
        performance=Performance(50, {"roc_auc": auc}, {}, 60),
    )


@pytest.mark.prepared(by=champion)
def test_drift_and_quality_beyond_their_limits_are_shown_until_they_are_over(workbench: Workbench) -> None:
    set_policy(workbench, "[gate.thresholds]\nroc_auc = 0.7\n")
    watched.noted(workbench, found(workbench, 0.0, 0.8))
    assert workbench.alerts().alerts == ()
    watched.noted(workbench, found(workbench, 9.0, 0.6))
    shown = warnings(workbench)
    assert "of 5 features have drifted: " in shown
    assert "roc_auc 0.6000, limit ≥ 0.7000 on 50 labelled rows" in shown
    watched.noted(workbench, found(workbench, 9.0, 0.6))
    assert [a.count for a in workbench.alerts().alerts] == [1, 1]  # the same rows again
    watched.noted(workbench, found(workbench, 0.0, 0.8))
    assert workbench.alerts().alerts == ()
    assert {a.acknowledged_by for a in workbench.alerts(everything=True).alerts} == {"over"}
