"""What counts as a proof of an image: asked of the runtime itself; real images are proven in tests/docker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from serving_kit import served

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.manifest import Manifest
from mlops_workbench.rollout.runtime import proofs
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.serving.app import create_app
from mlops_workbench.serving.dataplane import DataPlane

SPOKEN = ("POST /predict", "Open Inference Protocol v2", "MLflow's /invocations")


@pytest.fixture
def running(classifier_folder: Path) -> Iterator[Deployment]:
    with served(create_app(DataPlane.load(classifier_folder, name="m", version="1"))) as url:
        yield Deployment("1", "m", "1", "container", url, 1, proofs.ROLE, "")


@pytest.mark.parametrize("contract", SPOKEN)
def test_the_recorded_answers_are_a_proof(
    running: Deployment, classifier_folder: Path, contract: str
) -> None:
    manifest = Manifest.load(classifier_folder)
    found = proofs._asked(contract, running, manifest, "m")
    assert (found.rows, found.equal) == (len(manifest.sample), len(manifest.sample))
    assert found.difference <= proofs.TOLERANCE


@pytest.mark.parametrize("contract", SPOKEN)
def test_other_answers_are_none(running: Deployment, classifier_folder: Path, contract: str) -> None:
    manifest = Manifest.load(classifier_folder)
    first, *rest = manifest.expected_probabilities
    lower = replace(manifest, expected_probabilities=((first[0] - 1e-3, *first[1:]), *rest))
    with pytest.raises(ServingFailed, match="the probability of sample row 0 otherwise"):
        proofs._asked(contract, running, lower, "m")
    others = replace(manifest, expected=("never", *manifest.expected[1:]))
    with pytest.raises(ServingFailed, match="the prediction of sample row 0 otherwise"):
        proofs._asked(contract, running, others, "m")


@pytest.mark.parametrize("contract", SPOKEN[:2])
def test_probabilities_that_are_not_answered_are_none(regressor_folder: Path, contract: str) -> None:
    manifest = Manifest.load(regressor_folder)
    chances = tuple((0.5, 0.5) for _ in manifest.sample)
    with served(create_app(DataPlane.load(regressor_folder, name="m", version="1"))) as url:
        running = Deployment("1", "m", "1", "container", url, 1, proofs.ROLE, "")
        with pytest.raises(ServingFailed, match="answered the probabilities of 0 rows"):
            proofs._asked(contract, running, replace(manifest, expected_probabilities=chances), "m")
