"""A model's folder becomes an image, through the engine's API."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_workbench.errors import BaseImageUnavailable, BuildFailed, MlopsError, NotFound
from mlops_workbench.manifest import Manifest
from mlops_workbench.package import wheels as wheel_store
from mlops_workbench.package.context import write_context
from mlops_workbench.package.docker_client import Engine, ImageFacts, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE, render_dockerfile
from mlops_workbench.progress import Progress, silent
from mlops_workbench.values import Value

_TAIL = 25
_CACHE_TAG = "build-cache"
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_LAYER = re.compile(r"^ ---> ([0-9a-f]{12})$")


@dataclass(frozen=True)
class Image(Value):
    """A built image."""

    tag: str
    id: str
    model: str
    version: str
    base: str
    size_mb: float
    """all layers, the base's too"""
    added_mb: float
    """over the base"""
    seconds: float
    created: datetime
    steps: int
    cached: int
    """steps that an earlier build had done already"""

    @property
    def title(self) -> str:
        return f"Image {self.tag}"


def image_repository(name: str) -> str:
    """`mlops/<name>`, with a short hash where the name has characters that an image's name may not have."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name:
        return f"mlops/{plain}"
    return f"mlops/{plain or 'model'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def build_image(
    model_dir: Path,
    *,
    name: str,
    version: str,
    digest: str,
    cache_dir: Path,
    base_image: str = DEFAULT_BASE,
    commit: str | None = None,
    labels: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Image:
    """Build `mlops/<name>:<version>`; wheels are kept in `cache_dir`, so that a second build fetches nothing.

    Raises EngineUnavailable, BuildFailed (with the end of the log), and NotFound if the folder holds no
    model. A model file whose SHA-256 is not `digest` is not built into anything.
    """
    started = time.monotonic()
    manifest = _verified(model_dir, digest)
    with connect() as engine:
        base = _base(engine, base_image, progress)
        target = _target(engine, base_image, manifest)
        wheels = wheel_store.fetch(manifest.requirements, target, cache_dir, progress)
        text = render_dockerfile(
            base_image, name=name, version=version, digest=digest, commit=commit, labels=labels
        )
        repository = image_repository(name)
        before = engine.image(f"{repository}:{version}")
        log = _BuildLog(progress)
        with tempfile.TemporaryFile() as context:
            progress(f"packing {wheel_store.total_mb(wheels):.0f} MB of wheels")
            write_context(
                context,
                dockerfile=text,
                wheels=wheels,
                requirements=manifest.requirements,
                model_dir=model_dir,
                manifest=manifest,
            )
            context.seek(0)
            try:
                for message in engine.build(context, tag=f"{repository}:{version}"):
                    log.add(message)
            finally:
                _keep_cache(engine, repository, log)
                if not log.built:
                    _drop_leftovers(engine, log)
        image = engine.image(f"{repository}:{version}")
        if image is None:
            raise BuildFailed(f"The engine built no image '{repository}:{version}'.", "Look at its log.")
        if before and before.id != image.id:
            engine.remove_image(before.id)  # it has lost its name to the new one
    return Image(
        tag=f"{repository}:{version}",
        id=image.id,
        model=name,
        version=version,
        base=base_image,
        size_mb=round(image.size / 1e6, 1),
        added_mb=round((image.size - base.size) / 1e6, 1),
        seconds=round(time.monotonic() - started, 2),
        created=datetime.now(UTC),
        steps=log.total,
        cached=log.cached,
    )


def _verified(model_dir: Path, digest: str) -> Manifest:
    try:
        manifest = Manifest.load(model_dir)
        found = manifest.digest_of(model_dir)
    except FileNotFoundError as error:
        raise NotFound(f"'{model_dir}' is no model's folder: {error.filename} is missing.") from None
    if found != digest:
        raise BuildFailed(
            f"The model in '{model_dir}' has SHA-256 {found[:16]}…, the registry recorded {digest[:16]}….",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )
    return manifest


def wheel_target(base_image: str) -> wheel_store.Target:
    """For which Python and system a base image needs wheels."""
    with connect() as engine:
        _base(engine, base_image, silent)
        return _probed(engine, base_image)


def _base(engine: Engine, base_image: str, progress: Progress) -> ImageFacts:
    if found := engine.image(base_image):
        return found
    progress(f"pulling {base_image}")
    try:
        engine.pull(base_image)
    except MlopsError as error:
        raise BaseImageUnavailable(
            f"The base image '{base_image}' is not here and could not be pulled: {error.message}",
            "Name another base image in the project's settings, or load this one into the engine.",
        ) from error
    found = engine.image(base_image)
    assert found is not None
    return found


def _probed(engine: Engine, base_image: str) -> wheel_store.Target:
    try:
        return wheel_store.Target.from_probe(engine.run_once(base_image, wheel_store.PROBE))
    except MlopsError as error:
        raise BuildFailed(
            f"The base image '{base_image}' has no python3 with venv and pip: {error.message}",
            "Use an image that has them, such as the official Python images.",
        ) from error


def _target(engine: Engine, base_image: str, manifest: Manifest) -> wheel_store.Target:
    target = _probed(engine, base_image)
    if target.python != manifest.python and manifest.runs_code:
        raise BuildFailed(
            f"The base image has Python {target.python}, but this model was made with {manifest.python}.",
            f"Use a base image with Python {manifest.python}, or register the model with skops.",
        )
    return target


@dataclass
class _BuildLog:
    """The builder's messages, as far as we need them later."""

    progress: Progress
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
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
            elif layer := _LAYER.match(line):
                self.layers.append(layer[1])
            elif line.strip() == "---> Using cache":
                self.cached += 1

    def _step(self, number: int, total: int, what: str) -> None:
        self.total = total
        if what.startswith("FROM "):
            self.stages.append(len(self.layers))
        self.progress(f"step {number}/{total}: {what[:60]}", (number - 1) / total)

    @property
    def build_stage(self) -> str | None:
        """The image of the finished first stage."""
        return self.layers[self.stages[1] - 1] if len(self.stages) > 1 and self.stages[1] else None


def _keep_cache(engine: Engine, repository: str, log: _BuildLog) -> None:
    """Name the first stage's image: unnamed it would look like rubbish, and the next build would start anew.

    One for each model: the one of older requirements is removed.
    """
    if log.build_stage is None:
        return
    before = engine.image(f"{repository}:{_CACHE_TAG}")
    engine.tag(log.build_stage, repository, _CACHE_TAG)
    now = engine.image(f"{repository}:{_CACHE_TAG}")
    if before and now and before.id != now.id:
        engine.remove_image(before.id)


def _drop_leftovers(engine: Engine, log: _BuildLog) -> None:
    """After a failure: remove the unfinished stage's layers, newest first, unless something uses them."""
    first = log.stages[-1] if log.stages else 0
    for layer in reversed(log.layers[first + 1 :]):  # the first one is the base image itself
        facts = engine.image(layer)
        if facts and not facts.tags:
            engine.remove_image(layer)
