"""Follows a pointer: the version that it names is verified, loaded, warmed and swapped in, while the old one answers.

A version that cannot be loaded leaves the old one where it is; that is logged, shown at `GET /`, and counted in
`mlops_follow_failed`. The file is looked at rather than watched: a mounted folder reports no changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_workbench.manifest import Manifest
from mlops_workbench.serving.dataplane import DataPlane
from mlops_workbench.serving.errors import ModelRefused
from mlops_workbench.serving.logs import report
from mlops_workbench.serving.pointer import Pointer, Target
from mlops_workbench.serving.predlog import LogRefused, PredictionLog
from mlops_workbench.serving.version import ServingVersion

logger = logging.getLogger("mlops_workbench.serving")

_LOOK_SECONDS = 0.25
_SOON_SECONDS = 0.02
"""between two looks while a version is ready and the pointer is about to move"""
_PAUSE_SECONDS = 3.0
"""Requests wait no longer than this for a pointer that does not move: the process that was to move it has ended."""
_DRAIN_SECONDS = 0.5
_AGAIN_SECONDS = 30.0
"""A version that could not be loaded is tried again: its folder may have been incomplete."""

Load = Callable[[Target], tuple[DataPlane, PredictionLog | None]]
"""Verifies, loads and warms a version, opens its log. Raises ModelRefused or LogRefused."""


@dataclass(frozen=True, slots=True)
class Follow:
    """What to follow. `served`: the version that is loaded already."""

    path: Path
    load: Load
    alias: str
    served: Target


@dataclass(frozen=True, slots=True)
class _Failed:
    target: Target
    reason: str
    at: str
    again: float

    def to_dict(self) -> dict[str, str]:
        return {
            "version": self.target.version,
            "digest": self.target.digest,
            "reason": self.reason,
            "at": self.at,
        }


class Follower:
    """`run` on the event loop; all its calls to the service are made there."""

    def __init__(
        self,
        follow: Follow,
        *,
        made: Callable[[DataPlane, PredictionLog | None], ServingVersion],
        swap: Callable[[ServingVersion], None],
        pause: Callable[[bool], None],
        drained: Callable[[], Awaitable[None]],
        failing: Callable[[bool], None],
    ) -> None:
        """`swap` puts a version in the place of the present one; `pause` lets requests wait, or go on; `drained`
        returns when the present one has answered what it was given."""
        self._follow = follow
        self._made = made
        self._swap = swap
        self._pause = pause
        self._drained = drained
        self._failing = failing
        self._served = follow.served
        self._wanted = follow.served
        self._generation = ""
        self._prepared: tuple[Target, ServingVersion] | None = None
        self._failed: _Failed | None = None
        self._paused: float | None = None
        self._stamp: tuple[int, int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        prepared = self._prepared[0] if self._prepared else None
        return {
            "alias": self._follow.alias,
            "generation": self._generation,
            "turn": self._generation,  # as workbenches before 'generation' ask for it
            "wanted": _said(self._wanted),
            "prepared": _said(prepared) if prepared else None,
            "paused": self._paused is not None,
            "holding": self._paused is not None,
            "failed": self._failed.to_dict() if self._failed else None,
        }

    async def run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # whatever the file or a model does, the next look may go well
                report(logger, "not followed", error)
            await asyncio.sleep(_SOON_SECONDS if self._prepared else _LOOK_SECONDS)

    def close(self) -> None:
        if self._prepared:
            self._prepared[1].close()
            self._prepared = None

    async def _look(self) -> None:
        if self._paused is not None and time.monotonic() - self._paused > _PAUSE_SECONDS:
            logger.warning("paused in vain", extra={"facts": {"version": self._served.version}})
            self._release()
        stamp = await asyncio.to_thread(_stamp, self._follow.path)
        again = self._failed is not None and time.monotonic() > self._failed.again
        if stamp == self._stamp and not again:
            return
        before, self._stamp = self._stamp, stamp
        if stamp is None:
            if before is not None:
                logger.warning("no pointer", extra={"facts": {"path": str(self._follow.path)}})
            return
        try:
            pointer = await asyncio.to_thread(Pointer.read, self._follow.path)
        except (FileNotFoundError, ModelRefused) as error:
            logger.error("pointer refused", extra={"facts": {"why": str(error)}})
            return
        await self._obey(pointer)
        self._generation = pointer.generation

    async def _obey(self, pointer: Pointer) -> None:
        self._wanted = pointer.current
        if not pointer.current.same(self._served):
            await self._move(pointer.current)
        failed, wanted = self._failed, (pointer.current, pointer.next)
        if failed and (failed.target.same(self._served) or not any(failed.target.same(t) for t in wanted)):
            self._fail(None)
        if self._prepared and not self._prepared[0].same(pointer.next):
            self._let_go()
        if pointer.next and self._prepared is None and not pointer.next.same(self._served):
            model = await self._loaded(pointer.next)
            self._prepared = (pointer.next, model) if model else None
        if pointer.pause and self._prepared and self._prepared[0].same(pointer.next):
            if self._paused is None:
                self._paused = time.monotonic()
                self._pause(True)
                with suppress(TimeoutError):  # a long answer may leave later: it was asked for before
                    await asyncio.wait_for(self._drained(), _DRAIN_SECONDS)
        else:
            self._release()

    async def _move(self, target: Target) -> None:
        """Serve this version from now on, if it can be loaded."""
        if self._prepared and self._prepared[0].same(target):
            model: ServingVersion | None = self._prepared[1]
            self._prepared = None
        else:
            self._release()  # nobody waits for what is still to be loaded
            model = await self._loaded(target)
        if model is None:
            return
        before, self._served = self._served, target
        self._fail(None)
        self._swap(model)
        self._release()
        facts = {"model": model.dataplane.name, "version": target.version, "before": before.version}
        logger.info("swapped", extra={"facts": facts})

    async def _loaded(self, target: Target) -> ServingVersion | None:
        made = await asyncio.to_thread(self._load, target)
        if isinstance(made, str):
            first = self._failed.at if self._failed and self._failed.target.same(target) else _now()
            self._fail(_Failed(target, made, first, time.monotonic() + _AGAIN_SECONDS))
            return None
        if self._failed and self._failed.target.same(target):
            self._fail(None)
        return made

    def _load(self, target: Target) -> ServingVersion | str:
        """In a thread. What goes wrong comes back as a sentence."""
        try:
            return self._made(*self._follow.load(target))
        except (ModelRefused, LogRefused) as error:
            return str(error)
        except (Exception, SystemExit) as error:  # a model's modules may do anything when they are imported
            report(logger, "version not loaded", error)
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

    def _fail(self, failed: _Failed | None) -> None:
        if failed and (self._failed is None or self._failed.reason != failed.reason):
            facts = {"version": failed.target.version, "served": self._served.version, "why": failed.reason}
            logger.error("version did not load", extra={"facts": facts})
        self._failed = failed
        self._failing(failed is not None)

    def _release(self) -> None:
        if self._paused is not None:
            self._paused = None
            self._pause(False)

    def _let_go(self) -> None:
        """Of a version that was prepared and is not wanted any more; its worker was never started."""
        assert self._prepared is not None
        self._prepared[1].close()
        self._prepared = None


def same_requirements(here: Manifest, wanted: Manifest) -> None:
    """What is installed in an image is what its own model needs. Raises ModelRefused for a version that needs other
    things."""
    lacking = [r for r in wanted.requirements if r not in here.requirements]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ModelRefused(
            f"The version needs {lacking[0]}{more}, which is not what this image was built with.",
            "Build the version's own image and serve that.",
        )
    if wanted.python != here.python:
        raise ModelRefused(
            f"The version was fitted with Python {wanted.python}, this image has {here.python}.",
            "Build the version's own image and serve that.",
        )


def _said(target: Target) -> dict[str, str]:
    return {"version": target.version, "digest": target.digest}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_mtime_ns, there.st_size, there.st_ino


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
