"""Serving as a container: the same runtime, in the image that goes to production."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mlops_workbench.base.errors import EngineUnavailable, NotFound, ServingFailed
from mlops_workbench.config.resources import CPUS, MEMORY
from mlops_workbench.manifest import Servable
from mlops_workbench.package.docker_client import DockerEngine, connect
from mlops_workbench.package.dockerfile import INFERENCE_DIR, PORT, UID
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch
from mlops_workbench.rollout.runtime.environment import FOLLOW, KEYS_FILE
from mlops_workbench.rollout.runtime.waiting import GRACE_SECONDS, until_ready

_HOST = "127.0.0.1"
_KEYS_DIR = "/run/mlops-keys"
_FOLLOW_DIR = "/run/mlops-follow"
LOG_FILE = "inference.db"
"""name of the inference log in its folder"""


def start_container(
    image: str,
    servable: Servable,
    launch: Launch,
    *,
    inference_dir: Path | None = None,
    memory: str = MEMORY,
    cpus: float = CPUS,
) -> Deployment:
    """Run an image, published on 127.0.0.1 only, and wait until it is ready.

    The inference log is `inference.db` in `inference_dir` (mounted, so that the rows are on the host), else what
    `launch` names. The folder of a file of API keys is mounted, too, so that the file may be replaced. The container is
    confined (`docker_client.CONFINED`). Raises EngineUnavailable, NotFound for an image that is not here, Conflict if
    the port is in use, ServingFailed with the end of its log.
    """
    with connect() as engine:
        found = engine.image(image)
        if found is None:
            raise NotFound(f"There is no image '{image}' here.", "Build it first.")
        labels = found.labels
        other = (
            servable.manifest and labels.get("mlops.manifest.digest", servable.manifest) != servable.manifest
        )
        if labels.get("mlops.model.digest") != servable.digest or other:
            raise ServingFailed(
                f"The image '{image}' holds another model than digest {servable.digest[:16]}…."
            )
        options: dict[str, Any] = {"mem_limit": memory, "nano_cpus": int(cpus * 1e9)}
        env, mounts = _told(launch.environment)
        if (
            FOLLOW in env
        ):  # a version of MLflow's is copied before it is verified: as much as its memory holds
            options["tmpfs"] = {"/tmp": f"rw,nosuid,nodev,size={memory}"}  # noqa: S108 (the container's own)
        env["MLOPS_ROLE"] = launch.role
        if inference_dir is not None:
            options |= _mounted(inference_dir)
            env["MLOPS_LOG_URL"] = f"sqlite:///{INFERENCE_DIR}/{LOG_FILE}"
        elif launch.log_url:
            env["MLOPS_LOG_URL"] = launch.log_url
        options["volumes"] = options.get("volumes", {}) | mounts
        container_id = engine.start(
            image, port=PORT, host_port=launch.port, name=f"mlops-{launch.id}", environment=env, **options
        )
        try:
            url, published = _address(engine, container_id)
            until_ready(
                url,
                digest=servable.digest,
                seconds=launch.seconds,
                running=lambda: _runs(engine, container_id),
            )
        except BaseException as error:
            # Also when the wait was interrupted: nothing may be left that no record knows.
            log = engine.logs(container_id)
            engine.remove_container(container_id, grace=1)
            if not isinstance(error, ServingFailed):
                raise
            raise ServingFailed(
                f"'{image}' did not start: {error.message} Its log ends:\n{log.strip()}\n",
                error.next_step or "Correct what the log says, then start it again.",
            ) from None
    return Deployment(
        id=launch.id,
        model=servable.name,
        version=servable.version,
        kind="container",
        url=url,
        port=published,
        role=launch.role,
        digest=servable.digest,
        container_id=container_id,
        image=image,
        memory=memory,
        cpus=cpus,
    )


def ended(deployment: Deployment) -> Literal["stopped", "failed"] | None:
    """None while it runs; a container that was removed was stopped, one whose engine is gone has failed."""
    try:
        with connect() as engine:
            facts = engine.container(_id(deployment))
    except EngineUnavailable:
        return "failed"
    if facts is None:
        return "stopped"
    if facts.status in ("exited", "dead"):
        return "stopped" if facts.exit_code == 0 else "failed"
    return None


def stop(deployment: Deployment) -> None:
    with connect() as engine:
        engine.remove_container(_id(deployment), grace=GRACE_SECONDS)


def stop_unrecorded(deployment: str) -> str | None:
    """Remove the container of a deployment, by its name."""
    try:
        with connect() as engine:
            if engine.container(f"mlops-{deployment}") is None:
                return None
            engine.remove_container(f"mlops-{deployment}", grace=0)
    except EngineUnavailable:
        return None
    return f"The container mlops-{deployment}"


def remove(deployment: Deployment) -> None:
    """At once: nothing is in flight there that anybody waits for."""
    with connect() as engine:
        engine.remove_container(_id(deployment), grace=0)


def tail(deployment: Deployment, lines: int) -> str:
    with connect() as engine:
        if engine.container(_id(deployment)) is None:
            return ""
        return engine.logs(_id(deployment), lines)


def _told(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The variables as they are inside, and the mounts that the files they name need: keys, and what to follow.

    Their folders are mounted, for a file is replaced by another one of its name.
    """
    env, mounts = dict(environment), {}
    for name, folder in ((KEYS_FILE, _KEYS_DIR), (FOLLOW, _FOLLOW_DIR)):
        if file := env.get(name):
            env[name] = f"{folder}/{Path(file).name}"
            mounts[str(Path(file).parent)] = {"bind": folder, "mode": "ro"}
    return env, mounts


def _mounted(inference_dir: Path) -> dict[str, Any]:
    """The mount of the log's folder, and the user that may write there.

    An ordinary user's container runs as that user. Root's runs as the image's own user, to whom the folder is
    given: root can still write there, and SQLite gives what root creates beside a database to its owner.
    """
    folder = Path(inference_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        uid = gid = UID
        for path in (folder, *folder.glob(f"{LOG_FILE}*")):
            os.chown(path, uid, gid)
    return {
        "user": f"{uid}:{gid}",
        "volumes": {str(folder): {"bind": INFERENCE_DIR, "mode": "rw"}},
    }


def _address(engine: DockerEngine, container_id: str) -> tuple[str, int]:
    facts = engine.container(container_id)
    if facts is None or facts.port is None:
        raise ServingFailed("It ended while it was starting.")
    return f"http://{_HOST}:{facts.port}", facts.port


def _runs(engine: DockerEngine, container_id: str) -> bool:
    facts = engine.container(container_id)
    return facts is not None and facts.status in ("created", "running", "restarting")


def _id(deployment: Deployment) -> str:
    assert deployment.container_id is not None
    return deployment.container_id
