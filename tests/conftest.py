"""What all tests share: isolation from the person's own settings, and skips that CI does not allow."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import projects
import pytest
import sqlalchemy as sa

from mlops_workbench.errors import EngineUnavailable
from mlops_workbench.package import docker_client
from mlops_workbench.workbench import Workbench

pytest_plugins = ["pytest_jupyter.jupyter_server"]

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "1"
for name in (
    "MLOPS_TRACKING_URL",
    "MLOPS_STORE_URL",
    "MLOPS_INFERENCE_URL",
    "MLOPS_ARTIFACT_ROOT",
    "MLOPS_JOB_ID",
    "MLOPS_PROJECT",
):
    os.environ.pop(name, None)

POSTGRES = os.environ.get("MLOPS_TEST_POSTGRES")
BASE_IMAGE = os.environ.get("MLOPS_BASE_IMAGE", "python:3.11-slim")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a folder named after what they need carry its marker; what is missing is said once, as a skip."""
    required = set(filter(None, os.environ.get("MLOPS_TEST_REQUIRE", "").split(",")))
    missing = {
        "docker": _docker_lacks,
        "browser": _browser_lacks,
        "node": _node_lacks,
        "postgres": lambda: None if POSTGRES else "MLOPS_TEST_POSTGRES names no server",
    }
    reasons: dict[str, str | None] = {}
    for item in items:
        for marker, look in missing.items():
            if item.get_closest_marker(marker) is None:
                continue
            if marker not in reasons:
                reasons[marker] = look()
            if reason := reasons[marker]:
                if marker in required:
                    raise pytest.UsageError(f"MLOPS_TEST_REQUIRE demands {marker}, but {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))


def _docker_lacks() -> str | None:
    try:
        with docker_client.connect() as engine:
            here = engine.image(BASE_IMAGE) is not None
    except EngineUnavailable as problem:
        return problem.message
    return None if here else f"the base image {BASE_IMAGE} (MLOPS_BASE_IMAGE) is not in the Docker engine"


def _browser_lacks() -> str | None:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return None if found else "there is no Chromium on PATH (or in CHROMIUM)"


def _node_lacks() -> str | None:
    return None if shutil.which("npm") else "there is no npm on PATH"


@pytest.fixture(autouse=True)
def _leave_the_working_folder_alone() -> Iterator[None]:
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def workbench(template: Path, tmp_path: Path) -> Iterator[Workbench]:
    """A workbench in a fresh project with real stores, and two DataFrames in its namespace: train and test."""
    made = projects.project(template, tmp_path / "project")
    yield made
    made.close()


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on a real PostgreSQL, dropped at the end."""
    assert POSTGRES, "tests that use it are marked postgres"
    name = f"test_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
