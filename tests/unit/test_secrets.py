"""Secrets that are planted are nowhere: in no file that the project wrote, no record, no output, no command line."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import tarfile
import threading
import time
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databases
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from projects import fit, trips

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.config import project as projects
from mlops_workbench.workbench import Workbench

API_KEY, HASH_KEY, PASSWORD = "planted-api-key-7f3a", "planted-hash-key-91cc", "planted-password-b2d4"
NOTEBOOK = {
    "cells": [{"cell_type": "code", "source": "%load_ext mlops_workbench\n%mlops status\n1 / 0", "metadata": {},
               "outputs": [], "execution_count": None, "id": "a"}],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip
URLS = ("MLOPS_TRACKING_URL", "MLOPS_STORE_URL", "MLOPS_INFERENCE_URL")


class CommandLines:
    """Every process's command line, again and again while a test runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ends.wait(0.02):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    self.seen.add("\0".join(process.cmdline()))


@pytest.fixture
def planted(
    stores: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Workbench, list[str]]]:
    """A project whose database, runtime and log have secrets; and which these are."""
    secrets = [API_KEY, HASH_KEY]
    monkeypatch.setenv("MLOPS_API_KEYS", API_KEY)
    monkeypatch.setenv("MLOPS_LOG_HASH_KEY", HASH_KEY)
    if stores:
        url = sa.make_url(stores)
        url = url if url.password else url.set(password=PASSWORD)
        secrets.append(str(url.password))
        for name in URLS:
            monkeypatch.setenv(name, url.render_as_string(hide_password=False))
    made = Workbench(tmp_path / "project", namespace={"train": trips(seed=1), "test": trips(seed=2)})
    made.init("trips")
    (made.project.root / "mlops.toml").write_text(
        '[project]\nname = "trips"\n[gate]\ntrained_rows = 1.0\n[serving]\nlog_hash = ["carrier"]\n'
    )
    yield made, secrets
    with contextlib.suppress(MlopsError):
        made.stop("trips")
    made.close()
    if stores:
        databases.let_go(os.environ["MLOPS_TRACKING_URL"])


@pytest.mark.both_stores
def test_planted_secrets_are_nowhere(
    planted: tuple[Workbench, list[str]], stores: str | None, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    workbench, secrets = planted
    shown: list[str] = []

    def show(call: Any) -> None:
        try:
            value = call()
        except Exception as problem:
            shown.extend(everything(problem))
        else:
            shown.extend([str(value), repr(value), str(value._repr_html_()), str(value.to_dict())])

    with CommandLines() as lines:
        model = fit(workbench)
        version = workbench.register(model, name="trips").version
        show(lambda: workbench.gate("trips", version=version, first=True))
        show(lambda: workbench.promote("trips", version=version, why="a test"))
        show(lambda: workbench.serve("trips", kind="process"))
        show(lambda: workbench.predict("trips", "test"))
        show(lambda: workbench.drift("trips", report=str(workbench.project.root / "drift.html")))
        show(lambda: workbench.log("trips"))
        notebook = workbench.project.root / "retrain.ipynb"
        notebook.write_text(json.dumps(NOTEBOOK))
        show(lambda: workbench.retrain("trips", notebook=str(notebook), detach=True))
        while not workbench.jobs(id=1).jobs[0].ended:
            time.sleep(0.1)
        show(lambda: workbench.export("grafana"))
        for name in (
            "status",
            "models",
            "runs",
            "deployments",
            "jobs",
            "doctor",
            "alerts",
            "backup",
            "ledger",
        ):
            show(getattr(workbench, name))
        for name in ("lineage", "card", "history"):
            show(lambda name=name: getattr(workbench, name)("trips"))
        show(lambda: workbench.stop("trips"))
        # what fails says where, and not with what
        wrong = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:9/none"
        secrets.append(PASSWORD)
        for name in URLS:
            with monkeypatch.context() as patch:
                patch.setenv(name, wrong)
                with contextlib.closing(Workbench(workbench.project.root)) as other:
                    for verb in ("status", "doctor", "log", "backup"):
                        show(
                            lambda verb=verb, other=other: getattr(other, verb)(
                                *(["trips"] if verb == "log" else [])
                            )
                        )
    assert any("mlops_workbench.serving" in line for line in lines.seen)
    assert any("jobrunner" in line for line in lines.seen)
    assert [text for text in shown if "UnexpectedError" in text] == []
    out = capfd.readouterr()
    found = {
        "shown": [s for s in secrets for text in shown if s in text],
        "output": [s for s in secrets if s in out.out + out.err],
        "command lines": [line for line in lines.seen if any(s in line for s in secrets)],
        "files": in_files(workbench.project.root, secrets),
        "records": in_records(os.environ["MLOPS_STORE_URL"], secrets) if stores else [],
    }
    assert found == {name: [] for name in found}


def in_files(root: Path, secrets: list[str]) -> list[str]:
    return [
        str(path)
        for path in root.rglob("*")
        if path.is_file()
        and any(secret.encode() in part for part in expanded(path.read_bytes()) for secret in secrets)
    ]


def expanded(data: bytes) -> Iterator[bytes]:
    """What a file holds, and what the archives hold that it is: a compressed secret does not look like one."""
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield from expanded(gzip.decompress(data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from expanded(archive.read(name))
    if data.startswith(b"PAR1"):
        yield str(pq.read_table(io.BytesIO(data)).to_pylist()).encode()


def everything(problem: BaseException) -> Iterator[str]:
    """What any face could show of an error, with what it was raised from."""
    yield "".join(traceback.format_exception(problem))
    if isinstance(problem, MlopsError):
        yield str(problem.to_dict())
        yield from problem._render_traceback_()


def test_each_kind_of_leak_is_noticed(tmp_path: Path) -> None:
    """The look itself: plain, in an archive, in an archive of an archive, compressed by column, behind an error."""
    (tmp_path / "clean").write_text("nothing")
    (tmp_path / "log").write_text(f"key={API_KEY}")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "log")
    with zipfile.ZipFile(tmp_path / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "b.tar.gz")
    pd.DataFrame({"a": [API_KEY] * 9}).to_parquet(tmp_path / "rows.parquet", compression="gzip")
    found = {Path(path).name for path in in_files(tmp_path, [API_KEY])}
    assert found == {"log", "b.tar.gz", "m.skops", "rows.parquet"}
    problem = MlopsError("It failed.")
    problem.__cause__ = ValueError(PASSWORD)
    assert any(PASSWORD in text for text in everything(problem))


def in_records(url: str, secrets: list[str]) -> list[str]:
    """Tables of the database that hold one, MLflow's and ours."""
    engine = sa.create_engine(url)
    found = []
    with engine.connect() as connection:
        for name in sa.inspect(engine).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT row_to_json(t)::text FROM "{name}" t').scalars()
            found += [name] if any(secret in row for row in rows for secret in secrets) else []
    engine.dispose()
    return found


def test_the_state_of_a_project_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        made = Workbench(tmp_path / "project")
        made.init("x")
        _ = made.store
        made.close()
        archive = made.backup(out=str(tmp_path / "b.tar.gz")).file
        made.restore(archive)
    finally:
        os.umask(before)
    for path in (made.project.state, *made.project.root.glob(".mlops-before-*"), Path(archive)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert projects.find(made.project.root).name == "x"
    made.close()
