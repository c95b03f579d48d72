"""The lines of docs/serving.md, run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from serving_kit import served

from mlops_workbench.config.serving import ServingPolicy
from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.protocols.vertex import VertexRoutes

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
LINES = re.findall(r"^curl .*$", TEXT, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def url(classifier_folder: Path) -> Iterator[str]:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    with served(
        create_app(plane, options=AppOptions(vertex_routes=VertexRoutes("/vertex", "/vertex-health")))
    ) as url:
        yield url


def test_there_is_a_line_for_each_contract() -> None:
    assert all(
        any(path in line for line in LINES) for path in ("/predict", "/v2/", "/invocations", "/vertex")
    )


@pytest.mark.parametrize("line", LINES)
def test_a_line_works(url: str, line: str) -> None:
    line = line.replace("http://127.0.0.1:8080", url).replace("curl -s", "curl -s --fail-with-body", 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert not said.keys() & {"error"}


def test_every_setting_is_told() -> None:
    assert all(f"`{field.name}`" in TEXT for field in fields(ServingPolicy))
