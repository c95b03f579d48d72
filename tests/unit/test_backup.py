"""`backup`, `restore`, `move`: everything a project keeps, at one moment, in another folder, and back."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import forks
import pytest
from projects import champion, fit, registered

from mlops_workbench.base.errors import Conflict, Damaged, InvalidData, NotFound, UsageError
from mlops_workbench.base.scratch import scratch_folder
from mlops_workbench.rollout.runtime import processes
from mlops_workbench.store import archive as archives
from mlops_workbench.workbench import Workbench


def in_use(workbench: Workbench) -> None:
    """A project with something in every store."""
    champion(workbench)
    workbench.validate("train", contract="trips", infer=True)
    workbench.snapshot("train", name="rows")
    log = workbench.project.state / "inference" / "inference.db"
    log.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE predictions_trips (request_id TEXT)")
        connection.execute("INSERT INTO predictions_trips VALUES ('a')")
        connection.commit()


@pytest.fixture(autouse=True)
def _its_place_stays(workbench: Workbench) -> Iterator[None]:
    """What prepares projects puts the next one there, in the place of what a test has moved away."""
    root = workbench.project.root
    yield
    root.mkdir(exist_ok=True)


def works(workbench: Workbench) -> None:
    """Records of each store are read, files are opened, and more is written."""
    assert workbench.status().models[0].champion == 1
    assert workbench.ledger("verify").holds
    assert len(workbench.load("trips").model.feature_names_in_) == 4
    assert len(workbench.snapshot("rows@1").frame) == 800
    assert workbench.lineage("trips").version == 1
    workbench.register(fit(workbench, c=0.5, run="later"), name="trips")


@pytest.mark.prepared(by=in_use)
def test_a_backup_brings_back_everything(workbench: Workbench, tmp_path: Path) -> None:
    (workbench.project.folder("keys") / "trips").write_text("a secret")
    made = workbench.backup(out=str(tmp_path / "b.tar.gz"))
    with tarfile.open(made.file) as tar:
        assert not [name for name in tar.getnames() if "/keys/" in name]
    assert Path(made.file).stat().st_mode & 0o777 == 0o600
    assert made.outside == ()
    workbench.register(fit(workbench, c=0.2, run="after"), name="trips")
    after = {p.name for p in workbench.project.root.iterdir()}
    restored = workbench.restore(made.file, sha256=made.sha256)
    assert restored.files == made.files
    assert Path(restored.aside or "").is_dir()
    assert {p.name for p in workbench.project.root.iterdir()} == {*after, Path(restored.aside or "").name}
    assert workbench.models().models[0].version == 1
    works(workbench)
    with closing(sqlite3.connect(workbench.project.state / "inference" / "inference.db")) as connection:
        assert connection.execute("SELECT * FROM predictions_trips").fetchall() == [("a",)]


@pytest.mark.prepared(by=in_use)
def test_a_backup_works_in_another_folder(workbench: Workbench, tmp_path: Path) -> None:
    made = workbench.backup(out=str(tmp_path / "b.tar.gz"))
    shutil.rmtree(workbench.project.root)
    elsewhere = tmp_path / "another ü place"
    elsewhere.mkdir()
    other = Workbench(elsewhere, namespace=workbench.namespace)
    other.restore(made.file)
    works(other)
    other.close()


@pytest.mark.prepared(by=in_use)
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_moved_or_copied_project_works_after_move(
    workbench: Workbench, tmp_path: Path, how: Callable[[str, str], object]
) -> None:
    old, new = workbench.project.root, tmp_path / "new place"
    workbench.close()
    how(str(old), str(new))
    moved = Workbench(new, namespace=workbench.namespace)
    with pytest.raises(Conflict, match="Run `move` here"):
        moved.models()
    done = moved.move()
    assert done.before == str(old)
    assert moved.move().before is None
    works(moved)
    moved.close()
    assert old_places(new / ".mlops", old) <= {
        ("tags", "value"),  # where a run was made, and what was read there
        ("workbench_validations", "report"),
        ("workbench_deployments", "deployment"),
        ("workbench_snapshots", "path"),  # not read: its place follows from the hash
    }


def old_places(state: Path, old: Path) -> set[tuple[str, str]]:
    """Columns that name the old place."""
    found = set()
    for file in state.glob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            tables = [t for (t,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                    for spelling in (str(old), old.as_uri()):
                        like = f'SELECT 1 FROM "{table}" WHERE "{column}" LIKE ?'
                        if connection.execute(like, (f"%{spelling}/%",)).fetchone():
                            found.add((table, column))
    return found


@pytest.mark.prepared(by=in_use)
def test_what_a_moved_project_served_is_stopped_and_a_copy_leaves_the_original_alone(
    workbench: Workbench, tmp_path: Path
) -> None:
    live = workbench.serve("trips")
    workbench.close()
    copy = tmp_path / "copy"
    shutil.copytree(workbench.project.root, copy)
    other = Workbench(copy)
    assert len(other.move().ended) == 1
    assert other.deployments().deployments == ()
    other.close()
    assert workbench.deployments().deployments[0].state == "ready"
    workbench.close()
    new = tmp_path / "new"
    workbench.project.root.rename(new)
    moved = Workbench(new)
    assert live.url in moved.move().ended[0]
    assert processes.ended(live.deployment) is not None
    assert moved.serve("trips").state == "ready"
    moved.stop("trips")
    moved.close()


@pytest.mark.prepared(by=in_use)
def test_at_the_moment_of_the_cut_nobody_writes_and_afterwards_everybody(workbench: Workbench) -> None:
    workbench.close()
    state = workbench.project.state
    stores = [state / "workbench.db", state / "mlflow.db", state / "inference" / "inference.db"]
    refused = []

    def make_table(file: Path) -> None:
        with closing(sqlite3.connect(file, timeout=0)) as connection:
            connection.execute("CREATE TABLE beat (n)")
            connection.commit()

    def meanwhile() -> None:
        for file in stores:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                make_table(file)
            refused.append(file)

    with archives._cut(stores, meanwhile) as readers:
        for file in (stores[0], stores[2]):  # MLflow's has no WAL: who reads it keeps writers waiting
            make_table(file)
        found = [
            r.execute("SELECT 1 FROM sqlite_master WHERE name = 'beat'").fetchone() for r in readers.values()
        ]
    assert refused == stores
    assert found == [None] * 3
    make_table(stores[1])


@pytest.mark.prepared(by=registered)
def test_a_backup_is_of_one_moment_while_others_write(workbench: Workbench, tmp_path: Path) -> None:
    """Two databases are written one after the other, again and again: a copy may lack the second, never the first."""
    state = workbench.project.state
    (state / "inference").mkdir(exist_ok=True)
    log = state / "inference" / "inference.db"
    ends = threading.Event()
    for file in (log, state / "workbench.db"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE beats (n INTEGER)")
            connection.commit()

    def write() -> None:
        with (
            closing(sqlite3.connect(log, timeout=30)) as first,
            closing(sqlite3.connect(state / "workbench.db", timeout=30)) as second,
        ):
            beat = 0
            while not ends.is_set():
                beat += 1
                for connection in (first, second):
                    connection.execute("INSERT INTO beats VALUES (?)", (beat,))
                    connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [workbench.backup(out=str(tmp_path / f"{n}.tar.gz")).file for n in range(5)]
    finally:
        ends.set()
        writer.join()
    seen = []
    for n, file in enumerate(made):
        with tarfile.open(file) as tar:
            tar.extractall(tmp_path / f"out{n}", filter="data")
        beats = []
        for name in ("inference/inference.db", "workbench.db"):
            with closing(sqlite3.connect(tmp_path / f"out{n}" / ".mlops" / name)) as connection:
                beats.append(connection.execute("SELECT coalesce(max(n), 0) FROM beats").fetchone()[0])
        seen.append(beats)
    assert all(log - ours in (0, 1) for log, ours in seen), seen
    assert seen[-1][0] > 0


def altered(
    file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]
) -> Path:
    """A copy of an archive, each member changed."""
    out = file.with_name("altered.tar.gz")
    out.unlink(missing_ok=True)
    with tarfile.open(file) as tar, tarfile.open(out, "w:gz") as copy:
        for member in tar:
            opened = tar.extractfile(member)
            kept = change(member, opened.read() if opened else b"")
            if kept is not None:
                kept[0].size = len(kept[1])
                copy.addfile(kept[0], io.BytesIO(kept[1]))
    return out


def _flip(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return (info, data[:-1] + bytes([data[-1] ^ 1])) if info.name.endswith("mlflow.db") else (info, data)


def _drop(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if info.name.endswith("mlops.toml") else (info, data)


def _unlisted(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if info.name == archives.CONTENTS else (info, data)


def _escapes(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info.name = ".mlops/../../out" if info.name.endswith("mlops.toml") else info.name
    return info, data


def _absolute(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info.name = "/tmp/out" if info.name.endswith("mlops.toml") else info.name
    return info, data


def _links(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if info.name.endswith("mlops.toml"):
        info.type, info.linkname, data = tarfile.SYMTYPE, "/etc/passwd", b""
    return info, data


@pytest.mark.prepared(by=registered)
def test_an_archive_that_is_not_as_it_was_packed_changes_nothing(
    workbench: Workbench, tmp_path: Path
) -> None:
    made = workbench.backup(out=str(tmp_path / "b.tar.gz"))
    good, root = Path(made.file), workbench.project.root
    assert workbench.restore(str(good), check=True).root is None
    before = sorted(str(p) for p in root.rglob("*") if not p.name.endswith(("-wal", "-shm")))
    for change in (_flip, _drop, _unlisted, _escapes, _absolute, _links):
        with pytest.raises(InvalidData):
            workbench.restore(str(altered(good, change)))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    later = tmp_path / "later.tar.gz"
    later.write_bytes(gzip.compress(b"no tar at all" * 100))
    for bad in (cut, later):
        with pytest.raises(InvalidData, match="no whole backup"):
            workbench.restore(str(bad))
    with pytest.raises(InvalidData, match="not the archive of SHA-256"):
        workbench.restore(str(good), sha256="0" * 64)
    with pytest.raises(NotFound, match="no archive"):
        workbench.restore(str(tmp_path / "none"))
    after = sorted(str(p) for p in root.rglob("*") if not p.name.endswith(("-wal", "-shm")))
    assert after == before


@pytest.mark.prepared(by=registered)
def test_what_a_backup_does_not_hold_is_named(workbench: Workbench, tmp_path: Path) -> None:
    root = workbench.project.root
    (root / "contracts").mkdir()
    (root / "contracts" / "shared.yaml").symlink_to(tmp_path / "shared.yaml")
    text = (root / "mlops.toml").read_text()
    policy = (
        '[stores]\ninference = "postgresql+psycopg://me:hidden1@db/x"\nartifacts = "s3://bucket/models"\n'
    )
    (root / "mlops.toml").write_text(
        text.replace("[stores]\n", policy) if "[stores]\n" in text else text + policy
    )
    made = workbench.backup(out=str(tmp_path / "b.tar.gz"))
    said = json.dumps(made.to_dict())
    assert "hidden1" not in said
    assert [word in said for word in ("pg_dump", "s3://bucket/models", "shared.yaml is a link")] == [True] * 3


@pytest.mark.prepared(by=champion)
def test_a_served_project_and_another_project_are_not_replaced(workbench: Workbench, tmp_path: Path) -> None:
    made = workbench.backup(out=str(tmp_path / "b.tar.gz"))
    with pytest.raises(UsageError, match="There is a file"):
        workbench.backup(out=made.file)
    workbench.serve("trips")
    with pytest.raises(Conflict, match="is being served"):
        workbench.restore(made.file)
    workbench.stop("trips")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlops.toml").write_text('[project]\nname = "other"\n')
    with pytest.raises(Conflict, match="is the project 'other'"):
        Workbench(other).restore(made.file)
    assert os.listdir(other) == ["mlops.toml"]


@pytest.mark.prepared(by=registered)
def test_a_damaged_database_is_not_backed_up(workbench: Workbench, tmp_path: Path) -> None:
    workbench.close()
    file = workbench.project.state / "mlflow.db"
    with file.open("r+b") as opened:
        opened.seek(4096 * 3)
        opened.write(b"\xff" * 4096 * 20)
    with pytest.raises(Damaged, match=r"mlflow\.db .*damaged"):
        workbench.backup(out=str(tmp_path / "b.tar.gz"))
    assert list(tmp_path.glob("*.tar.gz")) == []
    assert list(workbench.project.state.glob(".backup-*")) == []


def _kill(message: str, _fraction: float | None = None) -> None:
    if message == "packing":
        os.kill(os.getpid(), signal.SIGKILL)


def _backup(root: Path, out: Path) -> None:
    with closing(Workbench(root)) as workbench:
        workbench.progress = _kill
        workbench.backup(out=str(out))


def test_what_a_killed_backup_has_left_goes_with_the_next(workbench: Workbench, tmp_path: Path) -> None:
    """A backup that is being made meanwhile stays."""
    root, state, out = workbench.project.root, workbench.project.state, tmp_path / "b.tar.gz"
    _ = workbench.store
    killed = forks.context().Process(target=_backup, args=(root, out))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (left,) = state.glob(".backup-*")
    draft = Path((left / "draft").read_text())
    draft.write_text("begun")
    with ExitStack() as living:
        assert workbench.backup(out=str(out)).file == str(out)
        assert not left.exists()
        assert not draft.exists()
        alive = living.enter_context(scratch_folder(state, ".backup-"))
        workbench.backup(out=str(tmp_path / "c.tar.gz"))
        assert [*state.glob(".backup-*")] == [alive]
    assert [*state.glob(".backup-*")] == []
