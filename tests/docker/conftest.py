"""A real engine and a real base image; tests that use them carry the marker `docker`."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from mlops_workbench.package.docker_client import DockerEngine, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """One at a time, whichever worker runs them: they look at all that the engine has before and after."""
    if item.get_closest_marker("docker") is None and item.get_closest_marker("podman") is None:
        return (yield)
    with (Path(tempfile.gettempdir()) / "mlops-workbench-engine.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


@pytest.fixture(scope="session")
def base_image() -> str:
    return os.environ.get("MLOPS_BASE_IMAGE", DEFAULT_BASE)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    with connect() as engine:
        yield engine
