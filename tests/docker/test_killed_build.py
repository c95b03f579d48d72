"""Kill -9 of `build` at random moments: nothing wrong is left, and what is left goes with the next one."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import kills
import pytest

from mlops_workbench.package.docker_client import DockerEngine
from mlops_workbench.workbench import Workbench

pytestmark = pytest.mark.docker
KILLS = 8
NUMBER = len(kills.VICTIMS)
"""of the verb `build`"""


@pytest.mark.timeout(600)
@pytest.mark.prepared(by=kills.built)
def test_a_killed_build_leaves_nothing(workbench: Workbench, engine: DockerEngine, base_image: str) -> None:
    root, state = workbench.project.root, workbench.project.state
    with (root / "mlops.toml").open("a") as policy:
        policy.write(f'[image]\nbase = "{base_image}"\n')
    workbench.close()
    before = containers(engine)
    found, rng = kills.Kills(), random.Random(5)
    kills.kill(root, NUMBER, 0, 4.0)  # while wheels are fetched
    found.wrong += kills.looked(root, found)
    usual, _, said = kills.kill(root, NUMBER, 1, None)
    assert said == "done"
    usual, _, said = kills.kill(root, NUMBER, 2, None)  # with all libraries there
    assert said == "done"
    for round_ in range(KILLS):
        _, killed, said = kills.kill(root, NUMBER, 3 + round_, (0.2 + 0.8 * rng.random()) * usual)
        assert killed or said == "done"
        found.landed["build"] += killed
        found.wrong += kills.looked(root, found)
        with_images(root)
    assert found.wrong == []
    assert found.landed["build"] >= KILLS // 2
    with closing(Workbench(root)) as again:
        image = again.build(kills.NAME, version=1)
        (listed,) = again.images().images
        assert (listed.tag, listed.here) == (image.tag, True)
    try:
        assert [*state.rglob(".build-*"), *state.rglob(".fetch-*"), *state.rglob("tmp*")] == []
        assert containers(engine) <= before
        repository = image.tag.partition(":")[0]
        assert [tag for tag in engine.tags(repository) if tag.startswith("unproven-")] == []
    finally:
        engine.remove_image(image.tag)


def with_images(root: Path) -> None:
    """What is on record is at the engine."""
    with closing(Workbench(root)) as workbench:
        assert [i.here for i in workbench.images().images] == [True]


def containers(engine: DockerEngine) -> set[str]:
    return {c.id for c in engine._client.containers.list(all=True)}
