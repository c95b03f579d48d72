"""What all tests share: isolation from the person's own settings, and skips that CI does not allow."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import databases
import forks
import projects
import pytest
from hypothesis import settings
from projects import Prepared
from serving_kit import KSERVE

from mlops_workbench.base.errors import EngineUnavailable
from mlops_workbench.package import docker_client
from mlops_workbench.workbench import Workbench

pytest_plugins = ["pytest_jupyter.jupyter_server"]

settings.register_profile("house", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("house")

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "1"
for name in (
    "MLOPS_TRACKING_URL",
    "MLOPS_STORE_URL",
    "MLOPS_INFERENCE_URL",
    "MLOPS_ARTIFACT_ROOT",
    "MLOPS_JOB_ID",
    "MLOPS_PROJECT",
    "MLOPS_API_KEYS",
    "MLOPS_API_KEYS_FILE",
):
    os.environ.pop(name, None)

# folders and files that start kernels, environments or many processes; single tests carry the marker themselves
SLOW = (
    "browser",
    "docker",
    "notebooks",
    "packaging",
    "serving/test_broken_log.py",
    "serving/test_fast_equal.py",
    "serving/test_follow.py",
    "serving/test_kill.py",
    "serving/test_process.py",
    "serving/test_rollout.py",
    "serving/test_trials.py",
    "server/test_loaded.py",
    "unit/test_faults.py",
    "unit/test_following.py",
    "unit/test_forks.py",
    "unit/test_jobs.py",
    "unit/test_kills.py",
    "unit/test_mlflow_server.py",
    "unit/test_reports.py",
    "unit/test_scripts.py",
)
SLOW_PATHS = {Path(__file__).parent / place for place in SLOW}

BASE_IMAGE = os.environ.get("MLOPS_BASE_IMAGE", "python:3.11-slim")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", metavar="URL", help="PostgreSQL server that tests make databases on")


def pytest_configure(config: pytest.Config) -> None:
    forks.use(os.environ)
    databases.use(config.getoption("--postgres"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `both_stores` run with every record on SQLite, and again on PostgreSQL."""
    if metafunc.definition.get_closest_marker("both_stores") and "stores" in metafunc.fixturenames:
        on_postgres = pytest.param("postgres", marks=pytest.mark.postgres)
        metafunc.parametrize("stores", ["sqlite", on_postgres], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a service is slow, too; a service that is missing is said once, as a skip."""
    required = set(filter(None, os.environ.get("MLOPS_TEST_REQUIRE", "").split(",")))
    missing = {
        "docker": _docker_lacks,
        "browser": _browser_lacks,
        "node": _node_lacks,
        "postgres": lambda: None if databases.server() else "MLOPS_TEST_POSTGRES names no server",
        "podman": _podman_lacks,
        "whylogs": lambda: None if sys.version_info < (3, 13) else "whylogs has no wheels for this Python",
        "kserve": lambda: None if KSERVE else "MLOPS_TEST_KSERVE names no Python that has kserve",
    }
    reasons: dict[str, str | None] = {}
    for item in items:
        needs_service = any(item.get_closest_marker(marker) for marker in missing)
        if needs_service or SLOW_PATHS.intersection((item.path, *item.path.parents)):
            item.add_marker(pytest.mark.slow)
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


def _podman_lacks() -> str | None:
    if not (socket := os.environ.get("MLOPS_TEST_PODMAN")):
        return "MLOPS_TEST_PODMAN names no socket of Podman"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", socket)
        return _docker_lacks()


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
def stores(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None: every record on SQLite; else the URL of a PostgreSQL database with MLflow's tables and ours."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield None
        return
    with databases.database(request.getfixturevalue("migrated_database")) as url:
        yield url
        databases.let_go(url)


@pytest.fixture
def workbench(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, stores: str | None
) -> Iterator[Workbench]:
    """A workbench in a fresh project with real stores, and two DataFrames in its namespace: train and test.

    With the mark `prepared(by=build)` the project is as `build(workbench)` left one.
    """
    if marker := request.node.get_closest_marker("prepared"):
        prepared = request.getfixturevalue("prepared")(marker.kwargs["by"], on_postgres=stores is not None)
        made = prepared.restored()
        yield made
        prepared.left(made)
        return
    made = projects.project(template, tmp_path / "project", stores=stores)
    yield made
    made.close()


@pytest.fixture(scope="session")
def prepared(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Prepared]]:
    """Gives the project that `build` makes; each is made once."""
    with ExitStack() as held:

        @cache
        def get(build: Callable[[Workbench], Any], *, on_postgres: bool) -> Prepared:
            folder = tmp_path_factory.mktemp("prepared")
            url = None
            if on_postgres:
                url = held.enter_context(databases.database(request.getfixturevalue("migrated_database")))
            made = Prepared.made(build, template, folder, url)
            held.callback(made.forgotten)
            return made

        yield get


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on a real PostgreSQL, dropped at the end."""
    with databases.database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database that MLflow has migrated, to copy: that takes it seconds."""
    with databases.database() as url:
        folder = tmp_path_factory.mktemp("migrated")
        process = forks.context().Process(target=projects.migrate, args=(folder, url))
        process.start()
        process.join(120)
        assert process.exitcode == 0
        yield databases.name(url)
