"""The same verbs with the runs behind a real MLflow server: one line of mlops.toml."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import fit, trips

from mlops_workbench.base.errors import InvalidConfig, NotFound, StoreUnavailable
from mlops_workbench.track import ranking
from mlops_workbench.track import remote_runs as elsewhere
from mlops_workbench.track import server as tracking_server
from mlops_workbench.track.ranking import RunTest as Comparison
from mlops_workbench.workbench import Workbench


@pytest.fixture
def server(tmp_path: Path, template: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"),
                *("--default-artifact-root", str(tmp_path / "artifacts")),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/health", timeout=1).close()
                    break
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


@pytest.mark.timeout(300)
def test_the_registry_on_a_tracking_server(server: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "mlops.toml").write_text(f'[project]\nname = "trips"\n[stores]\ntracking = "{server}"\n')
    workbench = Workbench(root, namespace={"train": trips(seed=1), "test": trips(seed=2)})
    workbench.init("trips")
    for number in (1, 2):
        workbench.register(fit(workbench, run=f"run {number}", c=float(number)), name="trips")
        workbench.promote("trips", version=number, why=f"to {number}", force=True)
    assert workbench.rollback("trips", why="drill").new_version == 1
    assert workbench.ledger("verify").to_dict()["holds"]
    assert [r.name for r in workbench.runs().runs] == ["run 2", "run 1"]
    assert [r.name for r in workbench.runs(sort="logisticregression__C", ascending=True).runs] == [
        "run 1",
        "run 2",
    ]
    assert [r.name for r in workbench.runs(where="roc_auc > 0.5 and name like '%1'").runs] == ["run 1"]
    with pytest.raises(NotFound, match="No run has a metric, parameter or tag 'nothing'"):
        workbench.runs(sort="nothing")
    assert workbench.lineage("trips").to_dict()["run"]["name"] == "run 1"
    workbench.close()


class Fake:
    """One of MLflow's runs, as far as it is looked at."""

    def __init__(self, number: int, metrics: dict[str, float], params: dict[str, str]) -> None:
        kept = {"metrics": metrics, "params": params, "tags": {}}
        self.data = type("Data", (), kept)
        times = {"start_time": -number, "end_time": None, "run_name": f"r{number}", "status": "FINISHED"}
        self.info = type("Info", (), times | {"run_id": str(number)})


values = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=16))


@given(
    st.lists(st.tuples(values, st.sampled_from(["1", "10", "9", "a", None]))),
    st.booleans(),
    st.integers(0, 9),
)
def test_sorting_all_runs_is_sorting_them_by_the_figure(
    rows: list[tuple[float | None, str | None]], ascending: bool, limit: int
) -> None:
    runs: list[Any] = [
        Fake(n, {} if m is None else {"m": m}, {} if p is None else {"p": p}) for n, (m, p) in enumerate(rows)
    ]
    for kind, key in (("metric", "m"), ("param", "p")):
        everything = elsewhere.chosen(runs, [], kind, key, ascending, len(runs))
        assert sorted(r.info.run_id for r in everything) == sorted(r.info.run_id for r in runs)
        figures = [elsewhere.value_of(r, kind, key) for r in everything]
        there = [f for f in figures if f is not None]
        assert figures == there + [None] * (len(figures) - len(there))
        assert there == sorted(there, key=ranking.comparable, reverse=not ascending)
        assert elsewhere.chosen(runs, [], kind, key, ascending, limit) == everything[:limit]
    above = elsewhere.chosen(runs, [Comparison("metric", "m", ">", 0.0)], "metric", "m", ascending, len(runs))
    assert {r.info.run_id for r in above} == {
        str(n) for n, (m, _) in enumerate(rows) if m is not None and m > 0
    }


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    """One that refuses, one that never answers, one that is not there: none keeps a person waiting for minutes."""
    with socket.socket() as silent, socket.socket() as closed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking_server, "SECONDS", 0.3)
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        reasons = {
            f"http://me:secret@127.0.0.1:{silent.getsockname()[1]}": "it took too long",
            f"http://127.0.0.1:{closed.getsockname()[1]}": "Connection refused",
            "http://no.such.host.invalid:5000": "there is no host",
        }
        for url, reason in reasons.items():
            (tmp_path / "mlops.toml").write_text(f'[project]\nname = "trips"\n[stores]\ntracking = "{url}"\n')
            workbench = Workbench(tmp_path)
            for verb in (
                workbench.status,
                workbench.runs,
                workbench.models,
                lambda w=workbench: w.history("trips"),
            ):
                with pytest.raises(StoreUnavailable) as refused:
                    verb()
                assert reason in refused.value.message
                assert url.replace("me:secret@", "") in refused.value.message
                assert "secret" not in str(refused.value)
                assert "[stores] tracking" in refused.value.next_step
            found = {f.what: f for f in workbench.doctor().findings}
            assert (found["tracking store"].level, reason in found["tracking store"].found) == (
                "problem",
                True,
            )
            workbench.close()


def test_a_server_that_went_away_is_noticed(server: str, tmp_path: Path) -> None:
    (tmp_path / "mlops.toml").write_text(f'[project]\nname = "trips"\n[stores]\ntracking = "{server}"\n')
    workbench = Workbench(tmp_path)
    assert workbench.runs().runs == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking_server, "_FRESH", 0.0)
        (process,) = [p for p in psutil.Process().children() if "mlflow" in p.cmdline()]
        os.killpg(process.pid, 9)
        process.wait(30)
        with pytest.raises(StoreUnavailable):
            workbench.runs()
    workbench.close()


@pytest.mark.parametrize("store", ["tracking", "workbench", "inference"])
def test_a_database_that_cannot_be_used_names_those_that_can(tmp_path: Path, store: str) -> None:
    (tmp_path / "mlops.toml").write_text(
        f'[project]\nname = "trips"\n[stores]\n{store} = "mysql://me:secret@db/x"\n'
    )
    with pytest.raises(InvalidConfig, match=r"SQLite.* PostgreSQL") as refused:
        Workbench(tmp_path).init("trips")
    assert "secret" not in str(refused.value)
