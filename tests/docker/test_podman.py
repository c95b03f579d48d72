"""The same, through Podman's compatible socket: built, proven, served, stopped, and nothing left."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fast_models
import model_folders
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.base.errors import BuildFailed
from mlops_workbench.manifest import Servable
from mlops_workbench.package.build import DEPENDENCIES, build_image
from mlops_workbench.package.docker_client import DockerEngine, connect
from mlops_workbench.package.dockerfile import ImageOptions
from mlops_workbench.package.image import image_repository
from mlops_workbench.rollout.runtime import deployments, proofs
from mlops_workbench.rollout.runtime.deployment import Launch
from mlops_workbench.track.requirements import for_model

pytestmark = pytest.mark.podman


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    monkeypatch.setenv("DOCKER_HOST", os.environ["MLOPS_TEST_PODMAN"])
    with connect() as engine:
        yield engine


def test_podman_builds_proves_and_serves(podman: DockerEngine, base_image: str, tmp_path: Path) -> None:
    data = fast_models.frame()
    model = make_pipeline(fast_models.prepared(), LogisticRegression()).fit(data, fast_models.target(data, 2))
    manifest = fast_models.saved(tmp_path / "model", model, 2, data, requirements=for_model(["sklearn"]))
    name = f"pod-{uuid.uuid4().hex[:8]}"
    servable = Servable(name, "1", manifest.sha256, manifest.extra["fast"]["sha256"], fast_only=True)
    steps: list[str] = []
    unnamed = set(podman.unnamed())
    try:
        image = build_image(
            tmp_path / "model",
            servable,
            ImageOptions(base_image),
            cache_dir=tmp_path / "cache",
            records_dir=tmp_path / "records",
            prove=lambda tag, manifest: proofs.prove(tag, manifest, servable),
            progress=lambda said, fraction=None: steps.append(said),
        )
        assert any(step.startswith("step 1/") for step in steps)
        assert len(image.proof.contracts) == 4
        assert image.added_mb < 140
        deployment = deployments.start_container(
            image.tag, servable, Launch(), inference_dir=tmp_path / "inference", memory="512m", cpus=1
        )
        try:
            answer = deployments.predict(deployment, model_folders.rows_of(data.head(20)))
            assert answer["predictions"] == model.predict(data.head(20)).tolist()
            assert deployments.alive(deployment) == "ready"
        finally:
            deployments.stop(deployment)
        assert deployments.alive(deployment) == "stopped"
        with pytest.raises(BuildFailed, match=r"(?s)The image could not be built.*alpha.*WHEEL"):
            _broken(tmp_path, base_image)
        assert set(podman.unnamed()) == unnamed
    finally:
        for repository in (image_repository(name), DEPENDENCIES):
            for tag in podman.tags(repository):
                podman.remove_image(f"{repository}:{tag}", force=True)


def _broken(tmp_path: Path, base_image: str) -> None:
    """A wheel that pip refuses: the tail of the log says why."""
    manifest = model_folders.save(tmp_path / "bad", model_folders.classifier(), requirements=("alpha==1.0",))
    (folder,) = (tmp_path / "cache" / "wheels").iterdir()
    with zipfile.ZipFile(folder / "alpha-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("alpha-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n")
    build_image(
        tmp_path / "bad",
        Servable("bad", "1", manifest.sha256),
        ImageOptions(base_image),
        cache_dir=tmp_path / "cache",
        records_dir=tmp_path / "records",
        prove=lambda tag, manifest: proofs.prove(tag, manifest, Servable("bad", "1", "0")),
    )
