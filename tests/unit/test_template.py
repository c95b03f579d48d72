"""A new tracking store is a copy of one that MLflow has migrated; whatever is odd, MLflow makes it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlops_workbench.track import template
from mlops_workbench.workbench import Workbench

SCRIPT = """
import sys
from mlops_workbench.cli import main
assert main(["init", "trips"]) == 0
print("mlflow" in sys.modules)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache folder with a template, as the first `init` on a machine leaves it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        first = tmp_path_factory.mktemp("first")
        assert init(first) == "True"
        assert template.place().is_file()
        assert template.place().is_relative_to(folder)
        yield folder


def init(folder: Path) -> str:
    """Whether a new process loaded MLflow to make a project."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def ask(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
def test_the_second_project_is_made_without_mlflow_and_is_the_same(cache: Path, tmp_path: Path) -> None:
    assert init(tmp_path) == "False"
    made = tmp_path / ".mlops" / "mlflow.db"
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    assert ask(made, schema) == ask(template.place(), schema)
    root = f"{(tmp_path / '.mlops' / 'artifacts').as_uri()}/0"
    assert ask(made, "SELECT experiment_id, name, artifact_location FROM experiments") == [
        (0, "Default", root)
    ]
    assert sorted(p.name for p in made.parent.iterdir() if "draft" in p.name) == []
    workbench = Workbench(tmp_path)
    assert workbench.runs().runs == ()
    run = workbench.tracking.client.create_run(workbench.tracking.experiment_id, run_name="by MLflow")
    assert workbench.tracking.run("by MLflow").id == run.info.run_id
    workbench.close()


def test_a_store_that_is_there_stays(cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "mlflow.db"
    target.write_text("somebody's")
    assert template.copy(target, "file:///a")
    assert target.read_text() == "somebody's"
    target.unlink()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: template.copy(target, f"file:///{n}"), range(16)))
    assert ask(target, "PRAGMA integrity_check") == [("ok",)]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("oddity", ["none", "cut off", "no database", "another schema", "used", "no folder"])
def test_an_odd_template_is_not_used(
    cache: Path, tmp_path: Path, oddity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = template.place().read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    odd = template.place()
    odd.parent.mkdir(parents=True)
    if oddity == "cut off":
        odd.write_bytes(whole[: len(whole) // 2])
    elif oddity == "no database":
        odd.write_text("no database at all, whatever its name may say" * 100)
    elif oddity == "no folder":
        odd.parent.rmdir()
        odd.parent.write_text("")
    elif oddity != "none":
        odd.write_bytes(whole)
        change = {
            "another schema": "UPDATE alembic_version SET version_num = 'of tomorrow'",
            "used": "INSERT INTO registered_models (name) VALUES ('m')",
        }[oddity]
        with closing(sqlite3.connect(odd)) as connection, connection:
            connection.execute(change)
    target = tmp_path / "made" / "mlflow.db"
    target.parent.mkdir()
    assert not template.copy(target, "file:///a")
    assert list(target.parent.iterdir()) == []
    monkeypatch.setenv("MLOPS_TRACKING_URL", f"sqlite:///{target}")
    workbench = Workbench(tmp_path / "project")
    workbench.init("trips")
    assert workbench.tracking.experiment_id == "1"
    workbench.close()
    if oddity != "no folder":  # and is replaced by what MLflow made
        assert template.copy(target.with_name("other.db"), "file:///a")


def test_a_store_that_was_used_is_no_template(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "mlflow.db"
    assert template.copy(target, "file:///a")
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("INSERT INTO registered_models (name) VALUES ('m')")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    template.keep(target)
    assert not template.place().exists()
    assert not os.path.exists(tmp_path / "cache")
