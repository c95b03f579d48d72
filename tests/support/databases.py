"""Databases on a real PostgreSQL server, and MLflow's grip on them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

_server = os.environ.get("MLOPS_TEST_POSTGRES")


def use(url: str | None) -> None:
    """The server of an option counts before that of the environment."""
    global _server
    _server = url or _server


def server() -> str | None:
    """URL of the server that databases are made on; None where there is none."""
    return _server


@contextmanager
def database(template: str = "template1") -> Iterator[str]:
    """The URL of a new database, dropped at the end."""
    made = f"test_{uuid.uuid4().hex[:12]}"
    copy(template, made)
    yield sa.make_url(_server or "").set(database=made).render_as_string(hide_password=False)
    drop(made)


def name(url: str) -> str:
    return str(sa.make_url(url).database)


def copy(template: str, made: str) -> None:
    _execute(f"CREATE DATABASE {made} TEMPLATE {template}")


def drop(gone: str) -> None:
    _execute(f"DROP DATABASE {gone} WITH (FORCE)")


def _execute(statement: str) -> None:
    assert _server, "tests that use it are marked postgres"
    engine = sa.create_engine(_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def let_go(url: str) -> None:
    """MLflow keeps its connections until the process ends: what the server drops would be a warning, and a file
    that was replaced would be read on."""
    from mlops_workbench.track.client import let_go

    let_go(url)


def all_tables() -> sa.MetaData:
    """What the rooms of the workbench declare."""
    import importlib
    from pathlib import Path

    import mlops_workbench
    from mlops_workbench.store.schema import metadata

    for file in Path(mlops_workbench.__file__).parent.glob("*/tables.py"):
        if file.parent.name != "serving":  # the log's, one a model
            importlib.import_module(f"mlops_workbench.{file.parent.name}.tables")
    return metadata
