"""The same loop with every record on a real PostgreSQL: one line for each store moves it there."""

from __future__ import annotations

from pathlib import Path

import forks
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import all_tables
from projects import fit, trips

from mlops_workbench.registry import ledger
from mlops_workbench.store.engine import VERSION_TABLE, Store
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.postgres


def test_migrations_make_exactly_the_tables(database: str) -> None:
    store = Store(database)
    with store.engine.connect() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}), all_tables()
            )
            == []
        )
    store.close()


@pytest.mark.timeout(900)
def test_the_loop_on_postgresql(database: str, tmp_path: Path) -> None:
    # MLflow keeps its connections until the process ends: one of its own
    process = forks.context().Process(target=tell, args=(database, tmp_path / "project"))
    process.start()
    process.join(240)
    assert process.exitcode == 0


def tell(database: str, root: Path) -> None:
    root.mkdir()
    (root / "mlops.toml").write_text(
        '[project]\nname = "trips"\n[stores]\n'
        + "".join(f'{store} = "{database}"\n' for store in ("tracking", "workbench", "inference"))
    )
    workbench = Workbench(root, namespace={"train": trips(seed=1), "test": trips(seed=2)})
    workbench.init("trips")
    for number in (1, 2):
        workbench.register(fit(workbench, run=f"run {number}"), name="trips")
        workbench.gate("trips", version=number, first=number == 1)
        workbench.promote("trips", version=number, why=f"to {number}")
    later = trips(seed=9, shift=20.0)
    workbench.serve("trips")
    try:
        answers = workbench.predict("trips", later).frame
    finally:
        workbench.stop("trips")
    receipt = workbench.label("trips", answers.assign(late=later["late"]))
    assert (receipt.matched, receipt.unmatched) == (800, 0)
    report = workbench.drift("trips")
    assert "wind speed" in report.drifted
    assert report.performance is not None
    assert workbench.rollback("trips", why="drill").new_version == 1
    assert workbench.history("trips").champion == 1
    assert workbench.lineage("trips").to_dict()["run"]["name"] == "run 1"
    assert ledger.broken(workbench.store) is None
    assert not list(root.glob(".mlops/**/*.db"))
    with workbench.store.engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
    assert {"workbench_ledger", "model_versions", "predictions_trips", "labels_trips"} <= set(tables)
    workbench.close()


@pytest.mark.timeout(900)
def test_runs_and_snapshots_on_postgresql(database: str, tmp_path: Path) -> None:
    process = forks.context().Process(target=look, args=(database, tmp_path / "project"))
    process.start()
    process.join(240)
    assert process.exitcode == 0


def look(database: str, root: Path) -> None:
    root.mkdir()
    (root / "mlops.toml").write_text(
        '[project]\nname = "trips"\n[stores]\n'
        + "".join(f'{store} = "{database}"\n' for store in ("tracking", "workbench", "inference"))
    )
    workbench = Workbench(root, namespace={"train": trips(seed=1), "test": trips(seed=2)})
    workbench.init("trips")
    for c in (0.01, 10.0, 2.0):
        fit(workbench, c=c, run=f"c{c}")
    by_c = workbench.runs(sort="logisticregression__C", where="roc_auc > 0.5 and target = late")
    assert [r.name for r in by_c.runs] == ["c10.0", "c2.0", "c0.01"]
    assert len(workbench.runs(sort="seconds", where="status = finished and estimator like 'Pipe%'").runs) == 3
    losses = [r.metrics["log_loss"] for r in workbench.runs(sort="log_loss", ascending=True).runs]
    assert losses == sorted(losses)
    assert workbench.compare("c2.0", "c10.0").differences
    kept = [workbench.snapshot(name, name="rows") for name in ("train", "test", "train")]
    assert [s.version for s in kept] == [1, 2, 1]  # type: ignore[union-attr]
    assert workbench.snapshot("rows@latest").frame.equals(trips(seed=2))  # type: ignore[union-attr]
    workbench.close()
