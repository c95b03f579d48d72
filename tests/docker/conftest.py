"""A real engine and a real base image: absent on a laptop perhaps, not where MLOPS_TEST_REQUIRE says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from mlops_workbench.errors import EngineUnavailable
from mlops_workbench.package.docker_client import Engine, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE


def _absent(reason: str) -> None:
    if "docker" in os.environ.get("MLOPS_TEST_REQUIRE", ""):
        pytest.fail(f"MLOPS_TEST_REQUIRE asks for docker, but: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def base_image() -> str:
    return os.environ.get("MLOPS_BASE_IMAGE", DEFAULT_BASE)


@pytest.fixture(scope="session")
def engine(base_image: str) -> Iterator[Engine]:
    try:
        engine = connect()
    except EngineUnavailable as error:
        _absent(str(error))
        raise
    with engine:
        if engine.image(base_image) is None:
            _absent(f"The engine has no base image '{base_image}' (name one with MLOPS_BASE_IMAGE).")
        yield engine
