"""What happens around the records: moved, removed, read-only, two at once, another machine."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from projects import FIT, champion, fit

from mlops_workbench.base.errors import (
    Conflict,
    GateFailed,
    InvalidConfig,
    InvalidModel,
    NotFound,
    UsageError,
)
from mlops_workbench.config import project as projects
from mlops_workbench.jobs import queue as jobs
from mlops_workbench.jobs.tables import jobs as job_table
from mlops_workbench.registry import intents, ledger, promotion, tables
from mlops_workbench.rollout.runtime import deployments as running
from mlops_workbench.store.engine import VERSION_TABLE, Store
from mlops_workbench.track.runs import Cell
from mlops_workbench.track.scripts import script
from mlops_workbench.workbench import Workbench


def test_an_edited_policy_counts_at_once(workbench: Workbench) -> None:
    version = workbench.register(fit(workbench), name="trips").version
    assert workbench.gate("trips", version=version, first=True).passed
    path = workbench.project.root / "mlops.toml"
    path.write_text('[project]\nname = "trips"\n[gate.thresholds]\nroc_auc = 0.999\n')
    with pytest.raises(GateFailed, match="threshold roc_auc"):
        workbench.gate("trips", version=version)


def test_records_that_were_removed_are_missed(workbench: Workbench) -> None:
    champion(workbench)
    shutil.rmtree(workbench.project.state)
    for verb in (workbench.models, workbench.status, lambda: fit(workbench)):
        with pytest.raises(Conflict, match="were removed or replaced while they were open"):
            verb()
    (workbench.project.root / "mlops.toml").unlink()
    with pytest.raises(NotFound, match=r"no mlops\.toml"):
        workbench.models()


def test_a_moved_project_says_so_and_writes_nothing_at_its_old_place(workbench: Workbench) -> None:
    champion(workbench)
    old = workbench.project.root
    workbench.close()
    new = old.with_name("moved ü")
    old.rename(new)
    moved = Workbench(new, namespace=workbench.namespace)
    verbs = (moved.status, moved.jobs, moved.deployments, moved.models, moved.snapshot)
    for verb in (*verbs, lambda: moved.history("trips"), lambda: moved.lineage("trips"), lambda: fit(moved)):
        with pytest.raises(Conflict, match="was moved or copied from"):
            verb()
    assert not old.exists()
    old.symlink_to(new)
    assert moved.lineage("trips").version == 1
    moved.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="No project can be made in"):
        projects.init(tmp_path / "file", "x")


def test_a_store_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/w.db"
    store = Store(url)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.commit()
    with pytest.raises(Conflict, match="cannot be written"), store.write() as connection:
        connection.execute(sa.delete(tables.intents))
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=OFF")
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.commit()
    store.close()
    with pytest.raises(InvalidConfig, match="schema 9999; this version knows up to"):
        Store(url)
    (tmp_path / "broken.db").write_text("no database at all, whatever its name may say" * 100)
    with pytest.raises(InvalidConfig, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path}/broken.db")


@pytest.mark.prepared(by=champion)
def test_a_champion_taken_away_is_recorded_once_and_can_be_rolled_back_to(workbench: Workbench) -> None:
    workbench.tracking.client.delete_registered_model_alias("trips", "champion")
    for _ in range(3):
        workbench.status()
    actions = [e.action for e in ledger.entries(workbench.store, "trips") if e.alias]
    assert actions == ["promote", "moved outside"]
    assert workbench.models().models[0].state == "former champion"
    assert workbench.status().models[0].champion is None
    assert workbench.rollback("trips", why="bring it back").new_version == 1
    assert ledger.champions(ledger.entries(workbench.store, "trips")) == [1]
    assert workbench.status().warnings == ()


@pytest.mark.prepared(by=champion)
def test_a_promotion_between_the_two_looks_is_not_taken_for_a_move_outside(workbench: Workbench) -> None:
    second = workbench.register(fit(workbench, c=0.5), name="trips").version
    tracking = workbench.tracking

    class Late:
        """Someone promotes between the look at the ledger and the look at the alias."""

        done = False

        def aliases(self, name: str) -> dict[str, int]:
            if not self.done:
                self.done = True
                workbench.promote("trips", version=second, why="meanwhile", force=True)
            return tracking.aliases(name)

        def version_numbers(self, name: str) -> set[int]:
            return tracking.version_numbers(name)

    late: Any = Late()
    assert promotion.reconcile(workbench.store, late, "trips") is None
    assert [e.action for e in ledger.entries(workbench.store, "trips") if e.alias] == ["promote", "promote"]


def test_an_intent_of_another_machine_is_given_up_in_the_end(workbench: Workbench) -> None:
    version = workbench.register(fit(workbench), name="trips").version
    row = {"model": "trips", "entry": {}, "host": "elsewhere", "pid": 1, "pid_started": 0.0}
    for age, free in ((10, False), (intents.ABANDONED_SECONDS + 10, True)):
        at = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
        with workbench.store.write() as connection:
            connection.execute(sa.delete(tables.intents))
            connection.execute(tables.intents.insert().values(**row, at=at))
        if free:
            assert workbench.promote("trips", version=version, why="x", force=True).new_version == version
        else:
            with pytest.raises(Conflict, match="Someone else is moving"):
                workbench.promote("trips", version=version, why="x", force=True)


def put(workbench: Workbench, **values: Any) -> int:
    number = jobs.create(workbench.project, workbench.store, "retrain", "trips", {}, "retrain")
    with workbench.store.write() as connection:
        connection.execute(sa.update(job_table).where(job_table.c.id == number).values(id=number, **values))
    return number


def test_jobs_of_another_machine_and_those_never_started(workbench: Workbench) -> None:
    ago = (datetime.now(UTC) - timedelta(seconds=jobs.SILENT_SECONDS + 10)).isoformat()
    away = {"host": "elsewhere", "pid": 2**22 + 1, "pid_started": 0.0, "state": "running"}
    alive = put(workbench, heartbeat=workbench.store.now(), **away)
    silent = put(workbench, heartbeat=ago, **away)
    fresh, forgotten = put(workbench), put(workbench, created=ago)
    states = {j.id: j.state for j in workbench.jobs().jobs}
    assert states == {alive: "running", silent: "failed", fresh: "queued", forgotten: "failed"}
    with pytest.raises(Conflict, match="runs on the machine 'elsewhere'"):
        workbench.jobs(cancel=alive)
    assert workbench.jobs(cancel=fresh).jobs[0].state == "cancelled"
    with pytest.raises(Conflict, match=r"ended already \(cancelled\)"):
        workbench.jobs(cancel=fresh)
    with pytest.raises(Conflict, match="has ended already"), jobs.running(workbench.store, fresh):
        pytest.fail("a cancelled job began")


def test_a_script_is_run_as_python_runs_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 3")
    path = tmp_path / "fit.py"
    path.write_text("import sys, beside\ndef f(x: int): ...\nsys.exit(0)\n")
    cell = script(path)
    cell.execute()
    assert cell.namespace["f"].__annotations__ == {"x": int}
    assert str(tmp_path) not in sys.path
    path.write_text("raise SystemExit(3)")
    with pytest.raises(SystemExit):
        script(path).execute()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Exception, match="is not a text in UTF-8"):
        script(path)


def test_parameters_that_the_code_logged_stay_and_odd_names_are_kept(workbench: Workbench) -> None:
    space = dict(workbench.namespace)
    code = (
        "import mlflow\nfrom sklearn.pipeline import Pipeline\nmlflow.log_param('estimator', 'mine')\n"
        + FIT.format(c=0.3)
        + "model = Pipeline([('my, step!', model)])"
    )
    done = workbench.run(Cell(code, lambda: exec(code, space), space), name="r", data="train")
    assert done.run.params["estimator"] == "mine"
    assert done.run.params["my_ step___logisticregression__C"] == "0.3"


def test_a_reader_that_goes_away_is_no_error(workbench: Workbench) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "mlops_workbench", "runs"],
            cwd=workbench.project.root,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_version_whose_files_were_exchanged_is_not_judged(workbench: Workbench) -> None:
    """Model and manifest of another version, whole in themselves: only the registry's digest tells."""
    for c in (1.0, 0.001):
        workbench.register(fit(workbench, c=c), name="trips")
    first, second = (workbench.tracking.folder(workbench.tracking.version("trips", v)) for v in (1, 2))
    shutil.rmtree(first)
    shutil.copytree(second, first)
    with pytest.raises(InvalidModel, match="The manifest of version 1 of 'trips' is refused: it was changed"):
        workbench.gate("trips", version=1)
    assert workbench.gate("trips", version=2, first=True).passed


def test_the_newest_of_two_deployments_is_shown(workbench: Workbench) -> None:
    from mlops_workbench.rollout.records import Live
    from mlops_workbench.rollout.runtime.deployment import Deployment
    from mlops_workbench.verbs import status

    champion(workbench)
    made = {f.name: "" for f in dataclasses.fields(Deployment)}
    live = [
        Live(Deployment(**(made | {"model": "trips", "version": v, "url": f"http://x/{v}"})), "ready")  # type: ignore[arg-type]
        for v in ("2", "1")  # newest first, as the records give them
    ]
    (seen,) = status.models_served(workbench.tracking.versions(), live, ())
    assert seen.serving_version == "2"


@pytest.mark.slow
def test_a_new_deployment_answers_before_the_old_one_goes(workbench: Workbench) -> None:
    for _ in range(2):
        workbench.register(fit(workbench), name="trips")
    old = workbench.serve("trips", version=1, kind="process")
    try:
        seen: list[tuple[str, str]] = []

        def watch(message: str, fraction: float | None = None) -> None:
            if message.startswith("stopping"):
                seen.extend((d.version, d.state) for d in workbench.deployments().deployments)

        workbench.progress = watch
        workbench.serve("trips", version=2, kind="process")
        assert seen == [("2", "ready"), ("1", "ready")]
        assert [d.version for d in workbench.deployments().deployments] == ["2"]
        assert running.alive(old.deployment) == "stopped"
    finally:
        workbench.stop("trips")
    with pytest.raises(NotFound, match="Nothing serves 'trips'"):
        workbench.stop("trips")
