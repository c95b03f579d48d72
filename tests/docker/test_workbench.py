"""build → serve → predict → stop through the workbench, in a real container."""

from __future__ import annotations

import os

import numpy as np
import pytest
from projects import fit, trips

from mlops_workbench.errors import GateFailed
from mlops_workbench.package import docker_client
from mlops_workbench.registry.gate import GateReport
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.docker


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
        assert len(steps) > 5
        assert workbench.models().models[0].image == image.tag
        _gate_asks_the_image(workbench)
        live = workbench.serve("trips-e2e")
        try:
            assert (live.state, live.deployment.kind) == ("ready", "container")
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
