"""A real engine and a real base image; tests that use them carry the marker `docker`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mlops_workbench.package.docker_client import Engine, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE


@pytest.fixture(scope="session")
def base_image() -> str:
    return os.environ.get("MLOPS_BASE_IMAGE", DEFAULT_BASE)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with connect() as engine:
        yield engine
