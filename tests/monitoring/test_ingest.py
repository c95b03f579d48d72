"""Rows that something else answered, in any order and again; what is too old, deleted while windows stay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from projects import champion, registered, trips

from mlops_workbench.base.clock import VirtualClock
from mlops_workbench.base.errors import InvalidData, NotFound, UsageError
from mlops_workbench.monitor import watching
from mlops_workbench.monitor.windowed import Asked, total
from mlops_workbench.workbench import Workbench

START = datetime(2026, 1, 5, tzinfo=UTC)
END = datetime(2026, 2, 1, tzinfo=UTC)


def answered(rows: int = 600, seed: int = 3, *, hours: float = 48.0) -> pd.DataFrame:
    """Trips with the time, class and score of an answer."""
    rng = np.random.default_rng(seed)
    frame = trips(seed=seed).head(rows).drop(columns="late")
    frame["answered at"] = pd.Timestamp(START) + pd.to_timedelta(np.sort(rng.random(rows)) * hours, unit="h")
    frame["p"] = rng.random(rows)
    frame["said"] = (frame["p"] > 0.5).astype(int)
    return frame


OPTIONS: dict[str, Any] = {"at": "answered at", "prediction": "said", "score": "p", "version": 1}


@pytest.fixture
def virtual(workbench: Workbench) -> VirtualClock:
    clock = VirtualClock(END)
    workbench.clock = clock
    return clock


def rows_of(workbench: Workbench, start: datetime = START, end: datetime = END) -> int:
    found = total(watching.window_log(workbench, "trips"), Asked("1", start.timestamp(), end.timestamp()))
    return 0 if found is None else found.window.rows


@pytest.mark.prepared(by=registered)
def test_rows_enter_log_and_windows_once_in_any_order(workbench: Workbench, virtual: VirtualClock) -> None:
    frame = answered()
    parts = [frame.iloc[400:], frame.iloc[:300], frame.iloc[200:450]]
    news = [workbench.ingest("trips", part, **OPTIONS) for part in parts]
    assert [(n.rows, n.known) for n in news] == [(200, 0), (300, 0), (100, 150)]
    assert workbench.monitor("trips").models[0].again == 0
    assert workbench.ingest("trips", frame.sample(frac=1, random_state=0), **OPTIONS).rows == 0
    assert rows_of(workbench) == 600 == workbench.log("trips/1").rows
    logged = workbench.log("trips/1").frame
    for column in ("hour", "wind speed", "größe"):
        np.testing.assert_array_equal(logged[column].to_numpy(), frame[column].to_numpy())
    assert logged["carrier"].fillna("").tolist() == frame["carrier"].fillna("").tolist()
    assert logged["score"].tolist() == frame["p"].tolist()
    assert logged["at"].dt.floor("ms").tolist() == frame["answered at"].dt.floor("ms").tolist()


@pytest.mark.prepared(by=registered)
def test_rows_that_come_after_the_seal_are_in_the_sums(workbench: Workbench, virtual: VirtualClock) -> None:
    frame = answered()
    workbench.ingest("trips", frame.iloc[::2], **OPTIONS)
    workbench.monitor()
    workbench.ingest("trips", frame.iloc[1::2], **OPTIONS)
    assert rows_of(workbench) == 600
    assert workbench.monitor().models[0].again == 0
    assert rows_of(workbench) == 600


@pytest.mark.prepared(by=registered)
def test_from_a_folder_of_parquet_and_from_a_query(
    workbench: Workbench, virtual: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = answered()
    folder = tmp_path / "rows"
    for day, part in frame.groupby(frame["answered at"].dt.date):
        (folder / f"day={day}").mkdir(parents=True)
        part.to_parquet(folder / f"day={day}" / "part.parquet")
    assert workbench.ingest("trips", str(folder), **OPTIONS).rows == 600
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    engine = sa.create_engine(url)
    answered(100, seed=9).to_sql("answers", engine, index=False)
    engine.dispose()
    monkeypatch.setenv("ELSEWHERE", url)
    done = workbench.ingest("trips", "SELECT * FROM answers", sql="secret://env/ELSEWHERE", **OPTIONS)
    assert (done.rows, done.known) == (100, 0)
    with pytest.raises(InvalidData, match="does not answer this statement: no such table: other"):
        workbench.ingest("trips", "SELECT * FROM other", sql=url, **OPTIONS)
    with pytest.raises(UsageError, match="variable of secret://env/NOTHING is not set"):
        workbench.ingest("trips", "SELECT 1", sql="secret://env/NOTHING", **OPTIONS)


@pytest.mark.prepared(by=registered)
@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (lambda f: f, {"at": "when"}, "have no column 'when'"),
        (lambda f: f.assign(**{"answered at": 5}), {}, "holds numbers, not times"),
        (
            lambda f: f.assign(**{"answered at": f["answered at"].where(f.index != 3)}),
            {},
            "1 of 50 rows have no time",
        ),
        (lambda f: f.assign(said="maybe"), {}, "50 of 50 labels are no class of the model"),
        (lambda f: f.assign(p=1.5), {}, "1.5 is no probability"),
        (lambda f: f.assign(hour="noon"), {}, "The column 'hour' holds 'noon', which is no double"),
        (lambda f: f[["answered at", "said", "p"]], {}, "none of the columns that 'trips' reads"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    workbench: Workbench, virtual: VirtualClock, change: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidData, match=sentence):
        workbench.ingest("trips", change(answered(50)), **OPTIONS | options)
    with pytest.raises(NotFound):
        workbench.log("trips/1")


@pytest.mark.prepared(by=registered)
def test_old_rows_are_deleted_and_the_windows_stay(workbench: Workbench, virtual: VirtualClock) -> None:
    (workbench.project.root / "mlops.toml").write_text(
        '[project]\nname = "trips"\n[monitor]\nkeep_rows = "26d"\nkeep_minutes = "1h"\n'
    )
    frame = answered()
    workbench.ingest("trips", frame, **OPTIONS)
    logged = workbench.log("trips/1").frame
    labels = logged[["request_id", "row_index"]].assign(late=0)
    workbench.label("trips", labels)
    kept = int((frame["answered at"] >= pd.Timestamp(END) - pd.Timedelta(days=26)).sum())
    assert 0 < kept < 600
    done = workbench.monitor().models[0]
    assert done.deleted_rows == 600 - kept
    assert workbench.log("trips/1").rows == kept == workbench.log("trips/1", labelled=True).rows
    assert rows_of(workbench) == 600
    found = workbench.drift("trips/1", start="2026-01-05", end="2026-01-07")
    assert found.current_rows == 600
    # a row of an hour that is kept as one window, and of a minute whose rows are gone
    late = answered(3, seed=11)
    workbench.ingest("trips", late, **OPTIONS)
    assert rows_of(workbench) == 603
    assert workbench.monitor().models[0].deleted_rows == int(
        (late["answered at"] < pd.Timestamp(END) - pd.Timedelta(days=26)).sum()
    )
    assert rows_of(workbench) == 603


@pytest.mark.prepared(by=champion)
def test_drift_of_a_period_against_another(workbench: Workbench, virtual: VirtualClock) -> None:
    calm, windy = answered(400, hours=24), answered(400, seed=5, hours=24)
    windy["wind speed"] += 3 * windy["wind speed"].std()
    windy["answered at"] += pd.Timedelta(days=1)
    workbench.ingest("trips", calm, **OPTIONS)
    workbench.ingest("trips", windy, **OPTIONS)
    day = {"start": "2026-01-06", "end": "2026-01-07"}
    found = workbench.drift("trips", **day, against="previous")
    assert found.drifted == ("wind speed",)
    assert (found.current_rows, found.reference_rows) == (400, 400)
    assert found.period == "2026-01-06"
    assert "400 of 2026-01-05" in found.summary
    assert {f.name for f in found.answers} == {"prediction", "score"}
    wind = found.feature("wind speed")
    assert wind.p is not None
    assert wind.p < 1e-6
    assert wind.wasserstein is not None
    assert 2 < wind.wasserstein < 4
    assert workbench.drift("trips", start="2026-01-05", end="2026-01-06").current_rows == 400
    with pytest.raises(NotFound, match=r"no row of version 1 was answered in 2026-01-04"):
        workbench.drift("trips", start="2026-01-05", end="2026-01-06", against="previous")
    with pytest.raises(NotFound, match=r"was answered in 2025"):
        workbench.drift("trips", start="2025-01-05", end="2025-01-06")
    with pytest.raises(UsageError, match="Given rows are of no period"):
        workbench.drift("trips", data=calm, start="7d")
