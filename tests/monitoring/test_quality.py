"""`quality` and `label` as a person uses them: a champion, its log, and labels that come bit by bit."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from projects import champion, set_policy, trips
from sklearn import metrics

from mlops_workbench.base.clock import VirtualClock
from mlops_workbench.base.errors import InvalidConfig, InvalidData, NotFound, UsageError
from mlops_workbench.monitor.quality import QualityReport, duration
from mlops_workbench.registry.versions import recorded
from mlops_workbench.rollout import loading
from mlops_workbench.serving.tables import feature_columns, predictions_table
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.prepared(by=champion)
START = datetime(2026, 3, 2, tzinfo=UTC)
ROWS, DAYS = 600, 6


@cache
def asked() -> pd.DataFrame:
    return trips(ROWS, seed=9)


def served(workbench: Workbench) -> pd.DataFrame:
    """The champion's answers to `asked()` over six days, logged as the runtime logs them; with ids and times."""
    stored = workbench.version("trips", None)
    folder, manifest = recorded(workbench.tracking, stored)
    score = loading.probabilities(folder, stored, asked())[:, 1]
    at = START.timestamp() + np.arange(ROWS) * DAYS * 86_400 / ROWS
    features = feature_columns(manifest.columns)
    engine = sa.create_engine(workbench.project.inference_url)
    Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    table = predictions_table(sa.MetaData(), manifest, "trips")
    rows = [
        {
            "request_id": f"r{i}",
            "row_index": 0,
            "role": "champion",
            "at": at[i],
            "model_version": str(stored.version),
            "latency_ms": 1.0,
            "prediction": float(score[i] > 0.5),
            "score": float(score[i]),
            **{features[name]: None if row[name] != row[name] else row[name] for name in manifest.columns},
        }
        for i, row in enumerate(asked().to_dict("records"))
    ]
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), rows)
    engine.dispose()
    workbench.clock = VirtualClock(START + timedelta(days=DAYS + 1))
    return asked()[["late"]].assign(request_id=[f"r{i}" for i in range(ROWS)], at=at, score=score)


def test_windows_hold_what_scikit_learn_says_with_coverage_and_delay(workbench: Workbench) -> None:
    truth = served(workbench)
    workbench.label("trips", truth[:450][["request_id", "late"]])
    found = workbench.quality("trips", by=["carrier"])
    assert [w.rows for w in found.windows] == [100] * 6
    assert [w.labelled for w in found.windows] == [100, 100, 100, 100, 50, 0]
    assert found.windows[5].metrics == {}
    assert found.windows[5].delay_median is None
    second, part = found.windows[1], truth[100:200]
    for name, value in (
        ("roc_auc", metrics.roc_auc_score(part["late"], part["score"])),
        ("accuracy", metrics.accuracy_score(part["late"], part["score"] > 0.5)),
        ("pr_auc", metrics.average_precision_score(part["late"], part["score"])),
    ):
        one = second.metrics[name]
        assert one.value == pytest.approx(value)
        assert one.low is not None
        assert one.high is not None
        assert one.low < value < one.high
    # labelled on the seventh day at midnight, answered in the course of the second
    assert second.delay_median == pytest.approx(5.5 * 86_400, abs=900)
    assert second.delay_p90 == pytest.approx(5.9 * 86_400, abs=900)
    mine = asked()["carrier"][:450] == "AA"
    whole = next(w for w in found.segments if w.segment == "carrier = AA")
    assert (whole.rows, whole.labelled) == (int((asked()["carrier"] == "AA").sum()), int(mine.sum()))
    assert whole.metrics["accuracy"].value == pytest.approx(
        np.mean((truth["score"][:450] > 0.5)[mine] == truth["late"][:450][mine])
    )
    assert found.baseline["roc_auc"] > 0.7
    assert found.estimate is None
    assert "450 of 600 rows are labelled (75.0%)" in found.text()
    assert "200 resamples" in found.text()
    assert found.to_dict()["windows"][1]["start"] == "2026-03-03T00:00:00+00:00"


def test_what_cannot_be_measured_is_a_sentence(workbench: Workbench) -> None:
    with pytest.raises(NotFound, match="No prediction of 'trips' has been logged yet"):
        workbench.quality("trips")
    served(workbench)
    none = workbench.quality("trips", start="2026-03-03", end="2026-03-04")
    assert "0 of 100 rows are labelled yet" in none.text()
    assert "`label trips DATA`" in none.text()
    with pytest.raises(NotFound, match="is logged in 2025-01-01 to 2025-01-31"):
        workbench.quality("trips", start="2025-01-01", end="2025-02-01")
    with pytest.raises(InvalidData, match=r"no feature 'carier'.*Did you mean 'carrier'"):
        workbench.quality("trips", by=["carier"])
    with pytest.raises(UsageError, match=r"8,6.. windows of 1m, more than 1,000"):
        workbench.quality("trips", every="1m")
    with pytest.raises(UsageError, match="'daily' is no length of time"):
        workbench.quality("trips", every="daily")
    set_policy(workbench, '[serving]\nlog_exclude = ["carrier"]\n')
    with pytest.raises(InvalidData, match="no feature 'carrier'"):
        workbench.quality("trips", by=["carrier"])


def test_few_labels_have_an_estimate_beside_them(workbench: Workbench) -> None:
    truth = served(workbench)
    workbench.label("trips", truth[:100][["request_id", "late"]])
    found = workbench.quality("trips", every="1w")
    (week,) = found.windows
    assert week.start == START.timestamp()  # a Monday
    assert set(week.estimated) == {"roc_auc", "accuracy", "f1"}
    assert week.estimated["roc_auc"].value == pytest.approx(
        metrics.roc_auc_score(truth["late"], truth["score"]), abs=0.06
    )
    assert "wrong under concept drift" in found.text()
    assert "Calibrated on 800 held-out rows" in found.text()
    workbench.label("trips", truth[["request_id", "late"]])
    assert workbench.quality("trips").estimate is None
    assert workbench.quality("trips", estimate=True).estimate is not None


def test_a_change_of_what_inputs_mean_is_found(workbench: Workbench) -> None:
    truth = served(workbench)
    turned = truth["late"].where(np.arange(ROWS) < 300, 1 - truth["late"])
    workbench.label("trips", truth[["request_id"]].assign(late=turned))
    change = workbench.quality("trips").change
    assert change is not None
    assert abs(change.at - (START.timestamp() + 3 * 86_400)) < 0.5 * 86_400
    assert change.size > 0.3
    workbench.label("trips", truth[["request_id", "late"]])
    assert workbench.quality("trips").change is None


def test_own_metrics_stand_beside(workbench: Workbench) -> None:
    truth = served(workbench)
    workbench.label("trips", truth[:100][["request_id", "late"]])
    set_policy(
        workbench,
        '[monitor.metrics]\nsavings = "SUM(CASE WHEN label = 1 AND prediction = 1 THEN 40 ELSE 0 END)"\n'
        "windy = 'AVG(\"wind speed\")'\n",
    )
    found = workbench.quality("trips")
    hits = int(((truth["late"] == 1) & (truth["score"] > 0.5))[:100].sum())
    assert found.windows[0].own == {
        "savings": 40.0 * hits,
        "windy": pytest.approx(asked()["wind speed"][:100].mean()),
    }
    assert found.windows[1].own == {}
    assert found.whole.own["savings"] == 40.0 * hits
    set_policy(workbench, '[monitor.metrics]\nsavings = "SUM(lable)"\n')
    with pytest.raises(
        InvalidConfig, match="savings = 'SUM\\(lable\\)' cannot be evaluated: no such column: lable"
    ):
        workbench.quality("trips")


def test_labels_by_key_come_from_a_database(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer's `größe` is its own, so that it can stand for a customer."""
    truth = served(workbench).assign(größe=asked()["größe"])
    path = workbench.project.root / "warehouse.db"
    with closing(sqlite3.connect(path)) as connection:
        seen = pd.to_datetime(truth["at"] + 3600, unit="s", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%S")
        truth[["größe", "late"]].assign(seen=seen).to_sql("outcomes", connection, index=False)
    monkeypatch.setenv("WAREHOUSE", f"sqlite:///{path}")
    by: dict[str, Any] = {"key": "größe", "at": "seen", "tolerance": "2h", "sql": "secret://env/WAREHOUSE"}
    receipt = workbench.label("trips", "SELECT * FROM outcomes", **by)
    assert (receipt.matched, receipt.total) == (ROWS, ROWS)
    found = workbench.quality("trips")
    assert found.whole.delay_median == pytest.approx(3600, abs=1)
    assert found.whole.metrics["roc_auc"].value == pytest.approx(
        metrics.roc_auc_score(truth["late"], truth["score"])
    )
    with pytest.raises(InvalidData, match="readonly database"):
        workbench.label("trips", "DELETE FROM outcomes RETURNING *", **by)
    with pytest.raises(InvalidData, match="The database does not answer this statement"):
        workbench.label("trips", "SELECT * FROM nothing", **by)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM outcomes").fetchone() == (ROWS,)
    with pytest.raises(UsageError, match="variable of secret://env/ELSEWHERE is not set"):
        workbench.label("trips", "SELECT 1", **{**by, "sql": "secret://env/ELSEWHERE"})


def test_options_of_labels_that_do_not_go_together(workbench: Workbench) -> None:
    truth = served(workbench)
    with pytest.raises(UsageError, match="Labels by request_id need no time"):
        workbench.label("trips", truth, tolerance="2h")
    with pytest.raises(UsageError, match="Labels by a key need their time"):
        workbench.label("trips", truth, key="carrier")
    set_policy(workbench, '[serving]\nlog_hash = ["carrier"]\n')
    with pytest.raises(InvalidData, match="The log does not hold 'carrier' as it was sent: log_hash"):
        workbench.label("trips", truth, key="carrier", at="at")


def test_labels_wait_and_are_there_for_every_reader(workbench: Workbench) -> None:
    """Given by key before anything was logged; `log` and `drift` see them, too."""
    first = asked().head(50)
    labels = first[["größe", "late"]].assign(seen=START + timedelta(days=2))
    with pytest.raises(NotFound, match="No prediction of 'trips'"):
        workbench.label("trips", labels, key="größe", at="seen")
    receipt = workbench.label("trips", labels, key="größe", at="seen", wait=True)
    assert (receipt.matched, receipt.unmatched) == (0, 50)
    served(workbench)
    assert workbench.log("trips", labelled=True).labelled == 50
    assert workbench.quality("trips").whole.labelled == 50


def test_the_picture_is_escaped_and_runs_nothing(workbench: Workbench) -> None:
    truth = served(workbench)
    workbench.label("trips", truth[:500][["request_id", "late"]])
    engine = sa.create_engine(workbench.project.inference_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE predictions_trips SET x_carrier = '<script>alert(1)</script>' WHERE at > 0"
        )
    engine.dispose()
    found = workbench.quality("trips", by=["carrier"], estimate=True)
    html = found._repr_html_()
    assert "<script" not in html
    assert "carrier = &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.index("<svg") < html.index("<table")
    assert html.count("<figure") == 9
    assert 'aria-label="roc_auc: ' in html
    assert "NaN" not in html
    assert "nan" not in html.lower().replace("finance", "")


def test_a_report_of_one_window_has_a_picture_too(workbench: Workbench) -> None:
    truth = served(workbench)
    workbench.label("trips", truth[["request_id", "late"]])
    html = workbench.quality("trips", every="4w")._repr_html_()
    assert "<figure" in html


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (5.5 * 86_400, "5.5 d")],
)
def test_how_a_delay_is_said(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_report_is_one_of_the_records() -> None:
    assert QualityReport.__dataclass_params__.frozen  # type: ignore[attr-defined]
