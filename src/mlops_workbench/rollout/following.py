"""Deployments that follow an alias: the pointer that they look at, and moving it together with the alias.

Before an alias moves, they load and warm the new version; while it moves, they let requests wait; then the pointer
says what the registry says, and they swap. Whoever is killed in between leaves a pointer that the next look mends:
it is made from the registry, never the other way round.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlops_workbench.alerts import records as alerts
from mlops_workbench.base.errors import MlopsError, NotFound, ServingFailed
from mlops_workbench.base.files import write_text
from mlops_workbench.base.progress import Progress
from mlops_workbench.manifest import file_sha256
from mlops_workbench.registry import promotion
from mlops_workbench.registry.intents import under_way
from mlops_workbench.rollout import records
from mlops_workbench.rollout.runtime.client import call
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.rollout.runtime.environment import api_key
from mlops_workbench.rollout.runtime.liveness import alive
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.pointer import FILE_NAME, Pointer, Target
from mlops_workbench.store.engine import Store
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking

NOT_LOADED = "serving: version did not load"
NOT_FOLLOWED = "serving: deployment does not follow"
PREPARE_SECONDS = 120.0
PAUSE_SECONDS = 1.0
FOLLOW_SECONDS = 15.0
_ASK_SECONDS = 0.02
_KEPT_FOLDERS = 4


@dataclass(frozen=True)
class Alias:
    """An alias that deployments follow, and where all that it takes is kept."""

    context: TrackedContext
    model: str
    name: str
    key: str | None = None
    """API key for asking the deployments"""

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def tracking(self) -> Tracking:
        return self.context.tracking

    @property
    def folder(self) -> Path:
        return self.context.project.state / "follow" / f"{self.model}@{self.name}"

    @property
    def pointer(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        return records.following(self.store, self.model, self.name)


@dataclass(frozen=True)
class PreparedFollowers:
    """The deployments that are taken along while the alias moves."""

    evidence: Mapping[str, Any] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None


# the pointer


def point(alias: Alias, *, mine: bool = False, known: Target | None = None) -> Pointer | None:
    """Let the pointer say what the registry says; None when the alias is on no version.

    What somebody is preparing just now is left to him, unless it is the caller's: `mine`. `known`: a version
    whose folder is there already. Raises `NotFound` for a version whose files are gone.
    """
    while True:
        number = alias.tracking.alias(alias.model, alias.name)
        if number is None:
            return None
        if known is not None and known.version == str(number):
            target = known
        else:
            stored = alias.tracking.version(alias.model, number)
            now = _read(alias)
            target = now.current if now and _is(now.current, stored) else _published(alias, stored)
        with alias.store.write():  # the lock of all who write a pointer
            if alias.tracking.alias(alias.model, alias.name) != number:
                continue
            now = _read(alias)
            if now is not None and now.current.same(target):
                busy = not mine and under_way(alias.store, alias.model)
                if now.next is None or busy:
                    return now
                target = now.current
            return _write(alias, Pointer(alias.model, alias.name, target))


def _prepare(alias: Alias, target: Target) -> Pointer:
    with alias.store.write():
        now = _read(alias)
        assert now is not None, "written when the first of them was started"
        return _write(alias, replace(now, next=target, pause=False))


def _pause(alias: Alias) -> Pointer:
    with alias.store.write():
        now = _read(alias)
        assert now is not None
        return _write(alias, replace(now, pause=True))


def _read(alias: Alias) -> Pointer | None:
    try:
        return Pointer.read(alias.pointer)
    except (FileNotFoundError, ModelRefused):
        return None


def _write(alias: Alias, pointer: Pointer) -> Pointer:
    pointer = replace(pointer, generation=uuid.uuid4().hex)
    write_text(alias.pointer, pointer.dumps()).chmod(0o644)  # a container reads it as another user
    return pointer


def _is(target: Target, stored: RegisteredVersion) -> bool:
    return (target.version, target.digest) == (str(stored.version), stored.facts.digest)


def _published(alias: Alias, stored: RegisteredVersion) -> Target:
    """A copy of the version's folder beside the pointer, named by its content: one that was damaged is not used."""
    source = alias.tracking.folder(stored)
    content = _content(source)
    name = f"{stored.version}-{content[:16]}"
    if (alias.folder / name).is_dir() and _content(alias.folder / name) != content:
        name += f"-{uuid.uuid4().hex[:6]}"  # the damaged one may be served from
    there = alias.folder / name
    if not there.is_dir():
        draft = alias.folder / f".{name}.{os.getpid()}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft)
        for path in (alias.folder, draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        with suppress(OSError):  # another process may have been quicker
            draft.replace(there)
        shutil.rmtree(draft, ignore_errors=True)
    os.utime(there)
    _tidy(alias, name)
    return Target(str(stored.version), stored.facts.digest, name, plan=stored.facts.plan)


def _content(folder: Path) -> str:
    found = sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(f"{path.relative_to(folder)}\0{file_sha256(path)}\n".encode())
    return found.hexdigest()


def _tidy(alias: Alias, newest: str) -> None:
    """Keep the folders that somebody may be serving from: the newest few, and those that the pointer names."""
    now = _read(alias)
    named = {newest, *(t.folder for t in (now.current, now.next) if t)} if now else {newest}
    folders = [p for p in alias.folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    folders.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for path in folders[_KEPT_FOLDERS:]:
        if path.name not in named:
            shutil.rmtree(path, ignore_errors=True)


def forget(alias: Alias) -> None:
    """Remove what nobody follows any more."""
    if not alias.deployments:
        shutil.rmtree(alias.folder, ignore_errors=True)


# moving


@contextmanager
def prepare_followers(
    alias: Alias, new: int | None, *, force: bool, stop: Callable[[], int], progress: Progress
) -> Iterator[PreparedFollowers]:
    """What follows the alias loads `new` before the block, and swaps to what the alias is on after it.

    Raises `ServingFailed` when one of them cannot, unless forced; an alert is recorded. `stop` ends them, when
    the alias is taken away.
    """
    if not alias.deployments:
        yield PreparedFollowers()
        return
    if new is None:
        yield PreparedFollowers()
        progress(f"stopping what follows {alias.name}")
        stop()
        forget(alias)
        return
    stored = alias.tracking.version(alias.model, new)
    moved = False
    point(alias, mine=True)
    target = _published(alias, stored)
    try:
        lacking = _all_have(alias, target, progress)
        if lacking and not force:
            raise ServingFailed(
                f"Version {new} of '{alias.model}' was not made {alias.name}: {lacking[0]}",
                "Nothing was changed. Mend it, or stop what serves.",
            )
        yield PreparedFollowers({"not followed": lacking} if lacking else {}, lambda: _all_pause(alias))
        moved = True
    finally:
        # Once it has moved, the next one may be preparing another version already.
        point(alias, mine=not moved, known=target)
    if not lacking:
        _all_serve(alias, target, progress)


def _all_have(alias: Alias, target: Target, progress: Progress) -> list[str]:
    """Wait until all have the version loaded; a sentence for each that will not."""
    generation = _prepare(alias, target).generation
    waiting, lacking, ready = list(alias.deployments), [], 0
    what = f"version {target.version}"
    for deployment in waiting:
        progress(f"{ready} of {len(waiting)} deployments have {what} ready", ready / len(waiting))
        said = _wait(alias, deployment, lambda said: _has(said, target, generation), PREPARE_SECONDS)
        if said is None:
            if alive(deployment, alias.store.clock.now()) in ("stopped", "failed"):
                continue  # nobody is answered by it
            lacking.append(f"{deployment.url} did not have it ready within {PREPARE_SECONDS:.0f} s.")
        elif failed := _failed(said, target):
            alert(alias, deployment, failed)
            lacking.append(f"{deployment.url} cannot load it: {failed['reason']}")
        else:
            ready += 1
    return lacking


def _all_pause(alias: Alias) -> None:
    generation = _pause(alias).generation
    for deployment in alias.deployments:
        _wait(alias, deployment, lambda said: _generation(said) == generation, PAUSE_SECONDS)


def _all_serve(alias: Alias, target: Target, progress: Progress) -> None:
    """Wait until all serve it, and record that they do."""
    progress(f"version {target.version} takes over")
    for deployment in alias.deployments:
        said = _wait(alias, deployment, lambda said: _serves(said, target), FOLLOW_SECONDS)
        if said is not None:
            records.moved(alias.store, deployment, target.version, target.digest)
        elif alive(deployment, alias.store.clock.now()) not in ("stopped", "failed"):
            alerts.raised(
                alias.context,
                model=alias.model,
                kind=NOT_FOLLOWED,
                subject=f"version {target.version}",
                message=f"{deployment.url} does not serve version {target.version} of '{alias.model}' after "
                f"{FOLLOW_SECONDS:.0f} s.",
            )


def _wait(
    alias: Alias, deployment: Deployment, enough: Callable[[Mapping[str, Any]], bool], seconds: float
) -> Mapping[str, Any] | None:
    """What it says of itself, when that is enough; None when it is gone, or the time is over."""
    end = time.monotonic() + seconds
    silent = 0
    while time.monotonic() < end:
        said = ask(alias, deployment)
        if said is not None and enough(said):
            return said
        silent = silent + 1 if said is None else 0
        if silent > 3 and alive(deployment, alias.store.clock.now()) in ("stopped", "failed"):
            return None
        time.sleep(_ASK_SECONDS)
    return None


def ask(alias: Alias, deployment: Deployment) -> Mapping[str, Any] | None:
    """What it says at `GET /`; None when it does not answer as ours do."""
    try:
        status, said = call(f"{deployment.url}/", key=alias.key, seconds=2)
    except ServingFailed:
        return None
    return said if status == 200 and said.get("name") == alias.model and said.get("follow") else None


def _follow(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = said["follow"]
    return found


def _generation(said: Mapping[str, Any]) -> str | None:
    """Of the pointer that it obeyed last; runtimes of earlier images call it `turn`."""
    follow = _follow(said)
    found: str | None = follow.get("generation", follow.get("turn"))
    return found


def _serves(said: Mapping[str, Any], target: Target) -> bool:
    return _same(said, target)


def _has(said: Mapping[str, Any], target: Target, generation: str) -> bool:
    """Whether it has decided about the version: ready, served already, or failed."""
    return _serves(said, target) or _generation(said) == generation


def _failed(said: Mapping[str, Any], target: Target) -> Mapping[str, Any] | None:
    failed = _follow(said).get("failed")
    return failed if failed and _same(failed, target) else None


def _same(said: Mapping[str, Any], target: Target) -> bool:
    return (said.get("version"), said.get("digest")) == (target.version, target.digest)


# looking


def look(aliases: Sequence[Alias]) -> None:
    """Mend the pointers, record which versions their deployments serve now, and raise alerts for what they lack."""
    for alias in aliases:
        try:
            there = point(alias)
        except (MlopsError, OSError) as problem:
            _cannot_follow(alias, f"What it is on cannot be given to them: {problem}")
        else:
            if there is None:
                _cannot_follow(alias, "It is on no version any more; they go on with the last one.")
        for deployment in alias.deployments:
            said = ask(alias, deployment)
            if said is None:
                continue
            if (said["version"], said["digest"]) != (deployment.version, deployment.digest):
                deployment = records.moved(alias.store, deployment, said["version"], said["digest"])
            if failed := _follow(said).get("failed"):
                alert(alias, deployment, failed)


def alert(alias: Alias, deployment: Deployment, failed: Mapping[str, Any]) -> None:
    version = failed["version"]
    alerts.raised(
        alias.context,
        model=alias.model,
        kind=NOT_LOADED,
        subject=f"version {version}",
        message=f"Version {version} of '{alias.model}' did not load at {deployment.url}, which goes on with version "
        f"{deployment.version}: {failed['reason']}",
        details={"url": deployment.url, "served": deployment.version, "at": failed["at"]},
        occurrence=f"{deployment.url} {failed['at']}",
    )


def _cannot_follow(alias: Alias, why: str) -> None:
    alerts.raised(
        alias.context,
        model=alias.model,
        kind=NOT_FOLLOWED,
        subject=f"alias {alias.name}",
        message=f"The alias '{alias.name}' of '{alias.model}' cannot be followed. {why}",
        occurrence=why,
    )


def followed(context: TrackedContext, model: str, alias: str) -> Alias:
    """An alias of the project's."""
    key = api_key(context.project.policy.serving, context.project.root)
    return Alias(context, model, alias, key)


def sync_followers(context: TrackedContext, model: str | None = None) -> None:
    """See to it that what follows an alias has the version that the registry says, and record what it serves."""
    known = {(d.model, str(d.follows)) for d in records.following(context.store, model)}
    for name in {name for name, _ in known}:
        promotion.reconcile(context.store, context.tracking, name)
    look([followed(context, *one) for one in sorted(known)])


def require(alias: Alias) -> Pointer:
    """The pointer for what is about to follow. Raises `NotFound` when the alias is on no version."""
    there = point(alias)
    if there is None:
        raise NotFound(f"'{alias.model}' has no {alias.name}.", "Nothing can follow it.")
    return there
