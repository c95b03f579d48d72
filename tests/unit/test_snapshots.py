"""Snapshots by name, version and hash; what DVC says of a file."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from projects import trips

from mlops_workbench.base.errors import NotFound, UsageError
from mlops_workbench.data import dvc
from mlops_workbench.data.snapshots import Snapshot, SnapshotList
from mlops_workbench.workbench import Workbench


def keep(workbench: Workbench, data: Any, **options: Any) -> Snapshot:
    kept = workbench.snapshot(data, **options)
    assert isinstance(kept, Snapshot)
    return kept


@pytest.mark.both_stores
def test_the_same_rows_are_one_version_and_one_file(workbench: Workbench) -> None:
    first, again = keep(workbench, "train"), keep(workbench, "train")
    assert (first.reference, again.reference) == ("train@1", "train@1")
    assert keep(workbench, "test", name="train").version == 2
    assert keep(workbench, "train", name="other").version == 1
    folder = workbench.project.state / "snapshots"
    assert len(list(folder.glob("*.parquet"))) == 2
    assert keep(workbench, "train").version == 1  # back to rows that were version 1
    for told in ("train@1", first.sha256[:12], f"{first.bytes:,}", "800 rows × 5 columns"):
        assert told in first.text()
    listed = workbench.snapshot()
    assert isinstance(listed, SnapshotList)
    assert [s.reference for s in listed.snapshots] == ["other@1", "train@2", "train@1"]
    assert len(workbench.snapshot(name="train").snapshots) == 2  # type: ignore[union-attr]


@pytest.mark.both_stores
def test_found_again_by_name_version_and_hash(workbench: Workbench) -> None:
    kept = keep(workbench, "train", name="rows")
    keep(workbench, "test", name="rows")
    for reference in ("rows@1", "rows@v1", kept.sha256, kept.sha256[:8]):
        found = keep(workbench, reference)
        pd.testing.assert_frame_equal(found.frame, workbench.namespace["train"], check_dtype=True)
    assert keep(workbench, "rows@latest").version == keep(workbench, "rows").version == 2
    with pytest.raises(NotFound, match=r"'rows' has no version 3\. It has 1 to 2"):
        workbench.snapshot("rows@3")
    with pytest.raises(NotFound, match="Did you mean 'rows'"):
        workbench.snapshot("row@1")
    with pytest.raises(NotFound, match="no DataFrame 'deadbeef'"):
        workbench.snapshot("deadbeef")
    with pytest.raises(UsageError, match="need a name"):
        workbench.snapshot(trips())
    with pytest.raises(UsageError, match="name of a snapshot"):
        workbench.snapshot("train", name="a b")


def test_a_variable_comes_before_a_snapshot_of_its_name(workbench: Workbench) -> None:
    keep(workbench, "train")
    workbench.namespace["train"].loc[0, "hour"] += 1  # type: ignore[index]
    assert keep(workbench, "train").version == 2


def test_every_verb_that_takes_rows_takes_a_reference(workbench: Workbench) -> None:
    keep(workbench, "train", name="rows")
    del workbench.namespace["train"]  # type: ignore[attr-defined]
    workbench.validate("rows@1", contract="trips")
    assert workbench.validate("rows@latest", contract="trips").passed


@pytest.mark.both_stores
def test_many_may_name_at_once(workbench: Workbench) -> None:
    frames = [trips(rows=50, seed=n) for n in range(8)]
    wrong: list[BaseException] = []

    def name_one(frame: pd.DataFrame) -> None:
        try:
            workbench.snapshot(frame, name="rows")
        except BaseException as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=name_one, args=(frame,)) for frame in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    listed = workbench.snapshot()
    assert isinstance(listed, SnapshotList)
    assert sorted(s.version for s in listed.snapshots) == list(range(1, 9))


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", "-C", root, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_file_that_dvc_tracks_records_its_revision(workbench: Workbench) -> None:
    root = workbench.project.root
    file = root / "trips.csv"
    trips(rows=60).to_csv(file, index=False)
    assert keep(workbench, str(file)).revision is None
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    record = root / "trips.csv.dvc"
    record.write_text(f"outs:\n- md5: {md5}\n  size: {file.stat().st_size}\n  hash: md5\n  path: trips.csv\n")
    assert dvc.revision(file) == f"dvc md5 {md5}, trips.csv.dvc is not committed"
    git(root, "init", "-q")
    git(root, "add", "trips.csv.dvc")
    git(root, "commit", "-qm", "data")
    commit = git(root, "rev-parse", "HEAD")
    kept = keep(workbench, str(file), name="tracked")
    assert kept.revision == f"dvc md5 {md5}, commit {commit}"
    assert kept.source == str(file)
    file.write_text(file.read_text().replace("AA", "UA"))
    assert "the file was changed since" in str(dvc.revision(file))
    space: dict[str, Any] = {}
    from mlops_workbench.track.runs import Cell

    done = workbench.run(Cell("x = 1", lambda: None, space), name="r", data=str(file))
    assert done.run.tags["data.revision"] == dvc.revision(file)


def test_folders_and_pipelines_of_dvc(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("a\n1\n")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
    assert str(dvc.revision(tmp_path / "data" / "a.csv")).startswith("dvc md5 abc.dir, ")
    (tmp_path / "out.csv").write_text("a\n1\n")
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  make:\n    cmd: x\n    outs:\n    - path: out.csv\n      md5: 01ab\n"
    )
    assert str(dvc.revision(tmp_path / "out.csv")).startswith("dvc md5 01ab (the file was changed since)")
    assert dvc.revision(tmp_path / "other.csv") is None
    (tmp_path / "broken.csv.dvc").write_text("outs: [")
    assert dvc.revision(tmp_path / "broken.csv") is None
