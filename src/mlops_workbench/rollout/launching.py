"""`serve` and `stop`: the new deployment becomes ready before the old one is stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import make_url

from mlops_workbench.base.errors import Conflict, EngineUnavailable, NotFound, UsageError
from mlops_workbench.config.project import Project
from mlops_workbench.package import docker_client
from mlops_workbench.package.dockerfile import UID
from mlops_workbench.package.image import Image
from mlops_workbench.registry import promotion
from mlops_workbench.rollout import following, pointers, records, unfinished
from mlops_workbench.rollout.cut_over import prepare_followers
from mlops_workbench.rollout.pointers import Alias
from mlops_workbench.rollout.records import Live
from mlops_workbench.rollout.runtime import deployments as running
from mlops_workbench.rollout.runtime import environment as environments
from mlops_workbench.rollout.runtime.containers import start_container
from mlops_workbench.rollout.runtime.deployment import Deployment, Launch
from mlops_workbench.rollout.runtime.processes import is_free, moved_to, start_local
from mlops_workbench.store.context import Context
from mlops_workbench.store.engine import Store
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion


@dataclass(frozen=True)
class ServeRequest:
    """How a version is to be served; None: as the policy says, and as it can be."""

    port: int | None = None
    kind: str | None = None
    memory: str | None = None
    cpus: float | None = None


def serve(
    context: Context,
    stored: RegisteredVersion,
    folder: Path,
    image: Image | None,
    request: ServeRequest,
    *,
    follow: Alias | None = None,
) -> Live:
    """Start a version, wait until it is ready, then stop what served the model before.

    `follow`: the alias that the version has, and whose later versions are to be served as well.
    """
    project, store, progress = context.project, context.store, context.progress
    kind = request.kind or ("container" if image and docker_client.engine_answers() else "process")
    if kind == "container" and image is None:
        raise NotFound(
            f"Version {stored.version} of '{stored.name}' has no image.",
            f"Build it first: `build {stored.name} --version {stored.version}`.",
        )
    if kind == "process" and (request.memory or request.cpus):
        raise UsageError(
            "A local process has no limits of memory and cores.", "Serve the version as a container."
        )
    old = records.current(store, stored.name)
    _make_room(store, old, request.port)
    address = _address(old[0] if old else None, kind, request.port)
    progress(f"starting version {stored.version} as a {kind}")
    environment = environments.variables(project.policy.serving, project.root)
    if follow is not None:
        pointers.require(follow)
        environment[environments.FOLLOW] = str(follow.pointer)
    role = follow.name if follow else "champion"
    address = replace(address, role=role, environment=environment)
    with unfinished.noted(project, address.id, stored.name):
        if kind == "container":
            assert image is not None
            new = _container(project, stored, image, request, address)
        else:
            # what is installed here is there for all versions; an image has what its own needs
            environment |= {"MLOPS_FOLLOW_REQUIREMENTS": "any"} if follow else {}
            launch = replace(address, log_url=project.inference_url)
            log_file = project.folder("logs") / f"{stored.name}-{stored.version}.log"
            new = start_local(folder, stored.servable, launch, log_file=log_file)
        new = replace(new, follows=follow.name if follow else None)
        records.keep(store, new)
        if follow is not None:
            following.look([follow])  # the alias may have moved before there was a record of this one
        for live in _before(store, new):  # not only the old ones: another `serve` may have been as quick
            progress(f"stopping version {live.version}")
            _end(store, live)
        if kind == "process" and address.takes:
            new = moved_to(new, address.takes)
            records.readdressed(store, new)
    changed = _changed(old[0].deployment, new) if old else ""
    return Live(new, running.alive(new, store.clock.now()), changed)


def _before(store: Store, new: Deployment) -> tuple[Live, ...]:
    """What serves the model and was recorded earlier: of two that start at once, the later one stays."""
    found = records.current(store, new.model)
    places = [place for place, live in enumerate(found) if live.deployment.id == new.id]
    return found[places[0] + 1 :] if places else ()


def _address(old: Live | None, kind: str, port: int | None) -> Launch:
    """Where a new process listens: where the old one did, unless a port is asked for. A process that still answers
    keeps its port until the new one is ready."""
    if port is not None or old is None or kind != "process":
        return Launch(port=port)
    before = old.deployment
    if before.kind == "process" and old.state in ("ready", "starting"):
        return Launch(takes=before.port)
    return Launch(port=before.port if is_free(before.port) else None)


def _changed(old: Deployment, new: Deployment) -> str:
    """What a person may not expect; the version is in the title anyway."""
    found = [f"version {old.version} → {new.version}"] if old.version != new.version else []
    if old.url != new.url:
        found.append(f"the address, which was {old.url}")
    if old.kind != new.kind:
        found.append(f"a {new.kind}, was a {old.kind}")
    if old.follows and not new.follows:
        found.append(f"it no longer follows {old.follows}")
    elif old.follows != new.follows:
        found.append(f"it follows {new.follows}")
    return "; ".join(found)


def _end(store: Store, live: Live) -> None:
    running.stop(live.deployment)
    records.end(store, live.deployment)


def _make_room(store: Store, old: tuple[Live, ...], port: int | None) -> None:
    """The same port cannot be taken twice: what served this model there has to go first."""
    for live in old:
        if port is not None and live.deployment.port == port:
            _end(store, live)


def _container(
    project: Project,
    stored: RegisteredVersion,
    image: Image,
    request: ServeRequest,
    launch: Launch,
) -> Deployment:
    url = make_url(project.inference_url)
    if url.get_backend_name() != "sqlite":
        raise Conflict(
            "A container reaches a database only over a network, which is not set up here.",
            "Serve as a process.",
        )
    if not docker_client.engine_answers():
        raise EngineUnavailable("No Docker engine answers.", "Start Docker, or serve as a process.")
    # who runs in the container: see `containers._mounted`
    owner = UID if os.getuid() == 0 else None
    environment = environments.without_keys(launch.environment, project.folder("keys") / stored.name, owner)
    return start_container(
        image.tag,
        stored.servable,
        replace(launch, port=request.port, environment=environment),
        inference_dir=Path(str(url.database)).parent,
        memory=request.memory or project.policy.serving.memory,
        cpus=request.cpus or project.policy.serving.cpus,
    )


def stop(store: Store, model: str) -> Live:
    """Stop all that serves a model; the newest is returned. Raises `NotFound`."""
    found = records.current(store, model)
    if not found:
        records.require(store, model)
    for live in found:
        _end(store, live)
    return Live(found[0].deployment, "stopped")


def stop_following(store: Store, model: str, alias: str) -> int:
    """Stop what follows this alias, and say how many deployments that were."""
    found = [live for live in records.current(store, model) if live.deployment.follows == alias]
    for live in found:
        _end(store, live)
    return len(found)


def stop_version(store: Store, model: str, version: int) -> int:
    """Stop what serves this version, and say how many deployments that were."""
    found = [live for live in records.current(store, model) if live.version == str(version)]
    for live in found:
        _end(store, live)
    return len(found)


def cut_over(context: TrackedContext, model: str, alias: str, *, force: bool = False) -> promotion.CutOver:
    """What follows an alias, cut over together with it when it moves."""
    following.sync_followers(context, model)
    return lambda new: prepare_followers(
        following.followed(context, model, alias),
        new,
        force=force,
        stop=lambda: stop_following(context.store, model, alias),
        progress=context.progress,
    )
