"""build → serve → predict → stop through the workbench, in a real container."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from projects import fit, trips

from mlops_workbench.base.errors import GateFailed
from mlops_workbench.package import docker_client
from mlops_workbench.package.image import Image
from mlops_workbench.registry.gate_report import GateReport
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.docker

_ARTIFACTS = ("requirements.txt", "sbom.cdx.json", "image.json")


@pytest.mark.timeout(600)
def test_a_container_answers_as_the_notebook_does(workbench: Workbench) -> None:
    workbench.project.root.joinpath("mlops.toml").write_text(
        f'[project]\nname = "trips"\n[image]\nbase = "{os.environ.get("MLOPS_BASE_IMAGE", "python:3.11-slim")}"\n'
    )
    fitted = fit(workbench)
    workbench.register(fitted, name="trips-e2e")
    workbench.gate("trips-e2e", version=1, first=True)
    workbench.promote("trips-e2e", version=1, why="to be served")
    steps: list[str] = []
    workbench.progress = lambda message, fraction=None: steps.append(message)
    image = workbench.build("trips-e2e")
    try:
        assert steps[-1].startswith("proving")
        _is_recorded(workbench, image)
        assert workbench.models().models[0].image == image.tag
        _gate_asks_the_image(workbench)
        live = workbench.serve("trips-e2e", docker=True, memory="1g", cpus=1.5)
        try:
            assert (live.state, live.deployment.kind) == ("ready", "container")
            assert live.limits == "1g, 1.5 cores"
            assert "1g, 1.5 cores" in workbench.deployments().text()
            (listed,) = workbench.images(name="trips-e2e").images
            assert (listed.here, listed.deployments) == (True, (live.url,))
            later = trips(seed=9)
            answers = workbench.predict("trips-e2e", later).frame
            wanted = fitted.predict_proba(later.drop(columns="late"))[:, 1]
            assert np.allclose(answers["score"], wanted, rtol=0, atol=1e-12)
            assert workbench.drift("trips-e2e").current_rows == len(later)
            tree = workbench.lineage("trips-e2e").to_dict()
            assert tree["image"]["tag"] == image.tag
            # a second version takes its place without a moment when nothing serves
            workbench.register(fitted, name="trips-e2e", data="train", evaluate="test")
            second = workbench.serve("trips-e2e", version=2, kind="process")
            assert second.deployment.kind == "process"
            assert [d.version for d in workbench.deployments().deployments] == ["2"]
        finally:
            workbench.stop("trips-e2e")
    finally:
        with docker_client.connect() as engine:
            engine.remove_image(image.tag)


def _is_recorded(workbench: Workbench, image: Image) -> None:
    """Lock, bill of materials and proof with the version's run; the ledger's entry on the image."""
    stored = workbench.tracking.version("trips-e2e", 1)
    files = {f: workbench.tracking.text(stored.run_id, f"image/1/{f}") for f in _ARTIFACTS}
    assert files["requirements.txt"] == Path(image.lock).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(files["sbom.cdx.json"]) is None
    assert [c["equal"] for c in json.loads(files["image.json"])["proof"]["contracts"]] == [5] * 4
    entry = next(e for e in workbench.ledger().entries if e.model == "trips-e2e")
    with docker_client.connect() as engine:
        facts = engine.image(image.tag)
    assert facts is not None
    assert facts.labels["mlops.ledger.entry"] == str(entry.id)
    assert facts.labels["mlops.ledger.hash"] == entry.hash
    assert facts.labels["mlops.ledger.action"] == "promote"
    assert facts.labels["mlops.plan.digest"] == stored.tags["fast.sha256"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
        (listed,) = workbench.images().images
    assert (listed.tag, listed.here, listed.deployments) == (image.tag, None, ())


def _gate_asks_the_image(workbench: Workbench) -> None:
    """With an image its own answers count; when it cannot be asked, that is not a pass."""
    before = _containers()
    report = workbench.gate("trips-e2e", version=1)
    assert isinstance(report, GateReport)
    skew = next(c for c in report.checks if c.name == "training/image skew")
    assert (skew.passed, skew.figure) == (True, "no difference")
    assert _containers() == before
    assert not list(workbench.project.state.glob("inference/*"))  # what was asked is in no log of the project
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
        with pytest.raises(GateFailed, match="training/image skew: No container engine answers"):
            workbench.gate("trips-e2e", version=1)


def _containers() -> set[str]:
    """All that the engine has, running or not."""
    with docker_client.connect() as engine:
        return {c.id for c in engine._client.containers.list(all=True)}
