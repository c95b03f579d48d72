"""A container that follows the champion: other versions out of a mounted folder, if the image has what they need."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from projects import champion, fit, trips
from serving_kit import ask, free_port

from mlops_workbench.base.errors import ServingFailed
from mlops_workbench.manifest import Manifest, file_sha256
from mlops_workbench.package import docker_client
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.docker

NAME = "trips-follow"


@pytest.mark.timeout(600)
def test_a_container_follows_the_champion(workbench: Workbench) -> None:
    workbench.project.root.joinpath("mlops.toml").write_text(
        f'[project]\nname = "trips"\n[image]\nbase = "{os.environ.get("MLOPS_BASE_IMAGE", "python:3.11-slim")}"\n'
    )
    champion(workbench, NAME)
    for number in (2, 3):
        workbench.register(fit(workbench, c=0.1 * number, run=f"run {number}"), name=NAME)
    image = workbench.build(NAME)
    try:
        live = workbench.serve(NAME, kind="container", follow=True, port=free_port())
        try:
            assert (live.deployment.kind, live.deployment.follows) == ("container", "champion")
            workbench.promote(f"{NAME}/2", why="next", force=True)
            assert ask(f"{live.url}/").json["version"] == "2"
            assert workbench.predict(NAME, trips(5, seed=3)).version == "2"
            with docker_client.connect() as engine:  # started anew it is the champion at once
                engine._client.containers.get(live.deployment.container_id).restart(timeout=5)
            _ready(live.url)
            assert ask(f"{live.url}/").json["version"] == "2"
            # what the image was not built with
            folder = workbench.tracking.folder(workbench.tracking.version(NAME, 3))
            manifest = Manifest.load(folder)
            other = replace(manifest, requirements=(*manifest.requirements, "xgboost==3.0.0")).dump(folder)
            workbench.tracking.tag_version(NAME, 3, "manifest.sha256", file_sha256(other))
            workbench.gate(NAME, version=3)
            with pytest.raises(ServingFailed, match=r"needs xgboost==3.0.0, which is not what this image"):
                workbench.promote(f"{NAME}/3", why="other libraries")
            assert ask(f"{live.url}/").json["version"] == "2"
            assert len(workbench.alerts().alerts) == 1
        finally:
            workbench.stop(NAME)
    finally:
        with docker_client.connect() as engine:
            engine.remove_image(image.tag)
            engine.remove_image(f"{image.tag.rpartition(':')[0]}:build-cache")


def _ready(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if ask(f"{url}/health/ready").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("it did not come back")
