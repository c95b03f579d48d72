"""A version made again from its records: fresh environment, recorded cell, snapshots."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import trips

from mlops_workbench.base.errors import NotFound
from mlops_workbench.notebooks.reproduction import Reproduction
from mlops_workbench.track.runs import Cell
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.timeout(580)

THERE = "the environment is there already"
FIT = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

columns = ["hour", "wind speed", "größe"]
model = make_pipeline(SimpleImputer(), RandomForestClassifier(20, max_depth=5{seed}))
model.fit(train[columns], train["late"])
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all these tests, in whichever process they run: the first of them makes the environment."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


def fit(workbench: Workbench, source: str) -> Any:
    space: dict[str, Any] = {
        "train": trips(seed=1).drop(columns="carrier"),
        "test": trips(seed=2).drop(columns="carrier"),
    }
    workbench.namespace = space

    def execute() -> None:
        exec(source, space)

    workbench.run(Cell(source, execute, space), name="forest", data="train", evaluate="test")
    workbench.register("model", name="trips")
    return space["model"]


def test_a_version_is_made_again_in_a_fresh_environment(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # of its own: nothing is in it yet
    fit(workbench, FIT.format(seed=", random_state=7"))
    steps: list[str] = []
    workbench.progress = lambda message, fraction=None: steps.append(message)
    found = workbench.reproduce("trips/1")
    assert isinstance(found, Reproduction)
    assert (found.verdict, found.labels, found.largest, found.rows) == ("equal", 0, 0.0, 800)
    assert found.metrics["roc_auc"][0] == pytest.approx(found.metrics["roc_auc"][1], abs=1e-12)
    assert found.packages > 50
    assert "installing the locked requirements" in " ".join(steps)
    assert THERE not in steps
    notebook = json.loads(Path(found.notebook).read_text())
    assert any("RandomForestClassifier" in "".join(c["source"]) for c in notebook["cells"])
    assert not list(workbench.project.state.glob("jobs/*/venv"))
    assert [v.version for v in workbench.models().models] == [1]

    steps.clear()
    again = workbench.reproduce("trips/1")
    assert isinstance(again, Reproduction)
    assert (again.verdict, again.packages) == ("equal", found.packages)
    assert THERE in steps
    assert "installing the locked requirements" not in " ".join(steps)


def test_the_files_of_then_are_used_with_their_uncommitted_changes(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workbench.project.root

    def git(*words: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)

    module = root / "depths_of_then.py"
    module.write_text("DEPTH = 2\n")
    git("init", "-q")
    git("add", "depths_of_then.py", "mlops.toml")
    git("commit", "-q", "-m", "first")
    module.write_text("DEPTH = 3\n")  # not committed: what the run really used
    monkeypatch.syspath_prepend(str(root))
    source = FIT.format(seed=", random_state=7").replace("max_depth=5", "max_depth=DEPTH")
    fit(workbench, "from depths_of_then import DEPTH\n" + source)
    module.write_text("DEPTH = 9\n")
    found = workbench.reproduce("trips/1")
    assert isinstance(found, Reproduction)
    assert (found.verdict, found.differences) == ("equal", ())


def test_without_a_seed_it_is_different_and_says_in_what(workbench: Workbench) -> None:
    fit(workbench, FIT.format(seed=""))
    found = workbench.reproduce("trips/1", tolerance=1e-9)
    assert isinstance(found, Reproduction)
    assert found.verdict == "different"
    assert found.largest > 1e-9
    assert any("answered otherwise" in d or "roc_auc was" in d for d in found.differences)
    assert found.differences[0].startswith("no seed was set (randomforestclassifier__random_state is None)")


def test_what_was_not_recorded_is_said_before_anything_runs(workbench: Workbench) -> None:
    model = fit(workbench, FIT.format(seed=", random_state=7"))
    workbench.models_made.clear()
    workbench.register(model, name="loose", data="train")
    with pytest.raises(NotFound, match="was not made in a tracked run"):
        workbench.reproduce("loose/1")
    snapshot = workbench.tracking.version("trips", 1).tags["data.sha256"]
    (workbench.project.state / "snapshots" / f"{snapshot}.parquet").unlink()
    with pytest.raises(NotFound, match="The snapshot"):
        workbench.reproduce("trips/1")
    assert workbench.jobs().jobs == ()


def test_rows_that_were_given_as_a_file_are_read_from_it_again_and_other_files_as_they_are_now(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(workbench.project.root)
    trips(seed=1).drop(columns="carrier").to_csv("trips.csv", index=False)
    space: dict[str, Any] = {"test": trips(seed=2).drop(columns="carrier")}
    workbench.namespace = space
    elsewhere = tmp_path / "depth.txt"
    elsewhere.write_text("5")
    source = f"""
from pathlib import Path
import pandas as pd
train = pd.read_csv("trips.csv")
DEPTH = int(Path({str(elsewhere)!r}).read_text())
""" + FIT.format(seed=", random_state=7").replace("max_depth=5", "max_depth=DEPTH")
    workbench.run(
        Cell(source, lambda: exec(source, space), space), name="file", data="trips.csv", evaluate="test"
    )
    workbench.register("model", name="trips")
    Path("trips.csv").unlink()
    found = workbench.reproduce("trips/1")
    assert isinstance(found, Reproduction)
    assert (found.verdict, found.labels, found.largest) == ("equal", 0, 0.0)
    assert "'trips.csv' was written from the recorded rows" in found.differences
    assert f"'{elsewhere}' was read as it is now" in found.differences
