"""The pointer that deployments of an alias follow, and copies of the versions that it names.

It is always made from the registry, behind the store's write lock, never the other way round.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from mlops_workbench.base.errors import NotFound
from mlops_workbench.base.files import write_text
from mlops_workbench.manifest import file_sha256
from mlops_workbench.registry.intents import under_way
from mlops_workbench.rollout import records
from mlops_workbench.rollout.runtime.deployment import Deployment
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.pointer import FILE_NAME, Pointer, Target
from mlops_workbench.store.engine import Store
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking

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
            now = read(alias)
            target = now.current if now and _names(now.current, stored) else published(alias, stored)
        with alias.store.write():  # the lock of all who write a pointer
            if alias.tracking.alias(alias.model, alias.name) != number:
                continue
            now = read(alias)
            if now is not None and now.current.same(target):
                busy = not mine and under_way(alias.store, alias.model)
                if now.next is None or busy:
                    return now
                target = now.current
            return _write(alias, Pointer(alias.model, alias.name, target))


def announce(alias: Alias, target: Target) -> Pointer:
    with alias.store.write():
        now = read(alias)
        assert now is not None, "written when the first of them was started"
        return _write(alias, replace(now, next=target, pause=False))


def announce_pause(alias: Alias) -> Pointer:
    with alias.store.write():
        now = read(alias)
        assert now is not None
        return _write(alias, replace(now, pause=True))


def read(alias: Alias) -> Pointer | None:
    try:
        return Pointer.read(alias.pointer)
    except (FileNotFoundError, ModelRefused):
        return None


def _write(alias: Alias, pointer: Pointer) -> Pointer:
    pointer = replace(pointer, generation=uuid.uuid4().hex)
    write_text(alias.pointer, pointer.dumps()).chmod(0o644)  # a container reads it as another user
    return pointer


def _names(target: Target, stored: RegisteredVersion) -> bool:
    return (target.version, target.digest) == (str(stored.version), stored.facts.digest)


def published(alias: Alias, stored: RegisteredVersion) -> Target:
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
        shutil.copytree(source, draft, symlinks=True)  # the runtime refuses links; none is read here
        for path in (alias.folder, draft, *(p for p in draft.rglob("*") if not p.is_symlink())):
            path.chmod(0o755 if path.is_dir() else 0o644)
        with suppress(OSError):  # another process may have been quicker
            draft.replace(there)
        shutil.rmtree(draft, ignore_errors=True)
    os.utime(there)
    _tidy(alias, name)
    facts = stored.facts
    return Target(str(stored.version), facts.digest, name, plan=facts.plan, manifest=facts.manifest)


def _content(folder: Path) -> str:
    found = sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        found.update(f"{path.relative_to(folder)}\0{file_sha256(path)}\n".encode())
    return found.hexdigest()


def _tidy(alias: Alias, newest: str) -> None:
    """Keep the folders that somebody may be serving from: the newest few, and those that the pointer names."""
    now = read(alias)
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


def require(alias: Alias) -> Pointer:
    """The pointer for what is about to follow. Raises `NotFound` when the alias is on no version."""
    there = point(alias)
    if there is None:
        raise NotFound(f"'{alias.model}' has no {alias.name}.", "Nothing can follow it.")
    return there
