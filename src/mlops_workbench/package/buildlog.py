"""What the engine's builder says, as far as we need it later; and how nothing of a build is left over."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.base.errors import BuildFailed, MlopsError
from mlops_workbench.base.progress import Progress
from mlops_workbench.package.docker_client import DockerEngine

_TAIL = 25
_GIVING_UP_SECONDS = 4.0
"""that the engine gets to stop the step of a build that was interrupted"""
# Docker's classic builder, and Podman's: `[1/2] STEP 3/4: RUN …`, `--> 0123456789a`
_STEP = re.compile(r"(?:\[\d+/\d+\] )?(?:Step|STEP) (\d+)/(\d+) ?: (.*)")
_LAYER = re.compile(r"^ ?-{2,3}> (?:Using cache )?([0-9a-f]{11,64})$")
_CACHED = re.compile(r"^ ?-{2,3}> Using cache")


@dataclass
class BuildLog:
    """The builder's messages."""

    progress: Progress
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    done: int = 0
    """steps begun"""
    total: int = 0
    cached: int = 0
    layers: list[str] = field(default_factory=list)
    """ids of the image after each step"""
    stages: list[int] = field(default_factory=list)
    """index into `layers` at which each stage begins"""
    built: bool = False

    def add(self, message: dict[str, Any]) -> None:
        """Raises BuildFailed for the message of an error."""
        if "error" in message:
            log = "\n".join(self.tail)
            raise BuildFailed(f"The image could not be built: {message['error'].strip()}\n{log}\n")
        self.built = self.built or "ID" in (message.get("aux") or {})
        for line in message.get("stream", "").splitlines():
            if not line.strip():
                continue
            self.tail.append(line)
            if step := _STEP.match(line):
                self._step(int(step[1]), int(step[2]), step[3])
                continue
            if _CACHED.match(line):
                self.cached += 1
            if layer := _LAYER.match(line):
                self.layers.append(layer[1])

    def _step(self, number: int, total: int, what: str) -> None:
        if what.startswith("FROM "):
            self.stages.append(len(self.layers))
        if number == 1:  # Podman starts counting again in each stage
            self.total += total
        self.done += 1
        self.progress(f"step {self.done}/{self.total}: {what[:60]}", (self.done - 1) / self.total)


def drop_leftovers(engine: DockerEngine, log: BuildLog) -> None:
    """Wait until the engine has given up what it was doing, then remove the layers that have no name, newest first.

    What something else uses stays. After a success these are the layers of the first stage.
    """
    # the first of a stage is the base image itself
    bases = {log.layers[at] for at in log.stages if at < len(log.layers)}
    own = [facts.id for layer in log.layers if layer not in bases and (facts := engine.image(layer))]
    if not log.built:
        _wait(engine, frozenset(own))
    # A step may have ended after its message could still reach us: its image has one of ours as its parent.
    late = [i for i in engine.unnamed() if i not in own and (f := engine.image(i)) and f.parent in own]
    for layer in (*late, *reversed(own)):
        facts = engine.image(layer)
        if facts and not facts.tags:
            engine.remove_image(layer)


def _wait(engine: DockerEngine, images: frozenset[str]) -> None:
    end = time.monotonic() + _GIVING_UP_SECONDS
    try:
        while engine.containers_of(images) and time.monotonic() < end:
            time.sleep(0.1)
    except MlopsError:  # the engine is gone, and with it whatever could be removed
        return
