"""Databases whose pages were overwritten: every verb and the runtime say so, with the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from projects import champion

from mlops_workbench.base.errors import Damaged, MlopsError
from mlops_workbench.workbench import Workbench, verbs

ASKED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "init": (("trips",), {}),
    "restore": (("none.tar.gz",), {}),
    "validate": (("train",), {"contract": "trips", "infer": True}),
    "snapshot": (("train",), {"name": "rows"}),
    "contract": (("trips",), {}),
    "run": ((), {}),
    "compare": (("first", "first"), {}),
    "register": (("model",), {"name": "trips"}),
    "load": (("trips",), {}),
    "gate": (("trips",), {}),
    "approve": (("trips",), {"why": "x", "version": 1}),
    "promote": (("trips",), {"why": "x", "version": 1}),
    "rollback": (("trips",), {"why": "x"}),
    "alias": (("trips", "staging"), {"version": 1, "why": "x"}),
    "retire": (("trips",), {"version": 1, "why": "x"}),
    "delete": (("trips",), {"version": 1, "why": "x"}),
    "history": (("trips",), {}),
    "lineage": (("trips",), {}),
    "card": (("trips",), {}),
    "ledger": (("verify",), {}),
    "build": (("trips",), {}),
    "export": (("grafana",), {}),
    "serve": (("trips",), {"kind": "process"}),
    "stop": (("trips",), {}),
    "predict": (("trips", "test"), {}),
    "label": (("trips", "labels"), {}),
    "ingest": (("trips", "labels"), {"at": "late"}),
    "log": (("trips",), {}),
    "drift": (("trips",), {}),
    "quality": (("trips",), {}),
    "retrain": (("trips",), {"notebook": "none.ipynb"}),
    "reproduce": (("trips",), {}),
}
# they open no record of the damaged file, or none before what is asked of them is found to be wrong
UNCONCERNED = {
    "run",
    "runs",
    "monitor",
    "ingest",
    "compare",
    "contract",
    "restore",
    "retrain",
    "export",
    "init",
    "load",
    "log",
    "move",
}
UNCONCERNED |= {"register"}
READ_THE_LOG = ("log", "drift", "quality", "label", "monitor", "backup")


def header(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"\x13" * 100)


def pages(file: Path) -> None:
    """All but the first page: the file still looks like a database."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    whole = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size)
        opened.write(b"\xa5" * (whole - size))


def asked(workbench: Workbench, names: Iterable[str] = ()) -> dict[str, str]:
    """What each verb says: nothing, a damaged file, or something else."""
    said = {}
    labels = pd.DataFrame({"request_id": ["a"], "row_index": [0], "late": [1]})
    workbench.namespace = {**workbench.namespace, "labels": labels}
    for name in names or verbs():
        given, options = ASKED.get(name, ((), {}))
        try:
            getattr(workbench, name)(*given, **options)
        except Damaged as problem:
            said[name] = f"damaged: {problem}"
        except MlopsError as problem:
            said[name] = f"{problem.kind}: {problem}"
        workbench.close()
    return said


@pytest.mark.prepared(by=champion)
@pytest.mark.parametrize("damage", [header, pages])
def test_every_verb_names_a_damaged_workbench_db_and_the_way_back(
    workbench: Workbench, damage: Callable[[Path], None]
) -> None:
    workbench.close()
    damage(workbench.project.state / "workbench.db")
    said = asked(workbench)
    findings = {f.what: f for f in workbench.doctor().findings}
    assert "damaged" in findings["databases"].found
    for name in set(verbs()) - UNCONCERNED - {"doctor"}:
        assert "workbench.db cannot be opened: it is damaged" in said.get(name, ""), (name, said.get(name))
        assert "restore ARCHIVE" in said[name]
    assert not [text for text in said.values() if text.startswith("UnexpectedError")]


@pytest.mark.prepared(by=champion)
@pytest.mark.parametrize("damage", [header, pages])
def test_verbs_that_read_the_log_name_a_damaged_one(
    workbench: Workbench, damage: Callable[[Path], None]
) -> None:
    live = workbench.serve("trips", kind="process")
    workbench.predict("trips", "test")
    workbench.stop("trips")
    workbench.close()
    assert live.state == "ready"
    damage(workbench.project.state / "inference" / "inference.db")
    said = asked(workbench, [*READ_THE_LOG, "serve"])
    for name in READ_THE_LOG:
        assert "inference.db cannot be opened: it is damaged" in said.get(name, ""), (name, said.get(name))
    assert "is damaged" in said["serve"]
    assert "restore ARCHIVE" in said["serve"]
    assert not [text for text in asked(workbench).values() if text.startswith("UnexpectedError")]


@pytest.mark.prepared(by=champion)
def test_a_damaged_tracking_store_is_named(workbench: Workbench) -> None:
    workbench.close()
    pages(workbench.project.state / "mlflow.db")
    for name, text in asked(workbench).items():
        assert not text.startswith("UnexpectedError"), (name, text)
    with pytest.raises(Damaged, match=r"mlflow\.db cannot be opened: it is damaged"):
        workbench.models()
