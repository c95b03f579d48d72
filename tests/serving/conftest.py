from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import model_folders
import pytest
from sqlalchemy import text

from mlops_workbench.serving.tables import log_engine


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    model_folders.save(folder, model_folders.classifier())
    return folder


@pytest.fixture(scope="session")
def regressor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "regressor"
    model_folders.save(folder, model_folders.regressor(), task="regression")
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a log: a file of SQLite, or a schema of its own on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/inference.db"
        return
    server = os.environ["MLOPS_TEST_POSTGRES"]
    schema = f"t_{uuid.uuid4().hex[:12]}"
    engine = log_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
