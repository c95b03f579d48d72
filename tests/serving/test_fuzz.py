"""The OpenAPI document, tried out: what fits it is answered, what does not is refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from serving_kit import ask, served

from mlops_workbench.serving.app import AppOptions, create_app
from mlops_workbench.serving.batcher import Limits
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.predlog import PredictionLog


@pytest.fixture(scope="module")
def url(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    plane = DataPlane.load(classifier_folder, name="flights", version="3")
    log = PredictionLog(f"sqlite:///{tmp_path_factory.mktemp('log')}/i.db", plane.manifest, "flights")
    with served(create_app(plane, log, AppOptions(limits=Limits(request_rows=20)))) as url:
        yield url


@pytest.fixture(scope="module")
def described(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [*GenerationMode])
def test_every_operation(described: Any, mode: GenerationMode) -> None:
    """Not through schemathesis's own pytest plugin, which does not know this pytest."""
    tried = set()
    for found in described.get_all_operations():
        operation = found.ok()
        tried.add(f"{operation.method} {operation.path}")
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # there is nothing in it that could be wrong

        @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode))
        def answered(case: schemathesis.Case) -> None:
            answer = case.call()
            assert answer.status_code < 500, answer.text
            if "between the years" in answer.text:
                return  # which JSON schema cannot say of a time
            case.validate_response(answer)
            if answer.status_code >= 400:
                assert answer.json()["message"].endswith((".", "?"))

        answered()
    assert {"post /predict", "get /", "get /health/ready", "get /metrics"} <= tried


def test_the_examples_work_when_tried(url: str) -> None:
    document = ask(f"{url}/openapi.json").json
    for example in document["components"]["schemas"]["PredictRequest"]["examples"]:
        assert ask(f"{url}/predict", example).status == 200
