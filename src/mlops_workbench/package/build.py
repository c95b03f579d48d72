"""A model's folder becomes an image, through the engine's API; it counts as built when it has been proven."""

from __future__ import annotations

import hashlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_workbench.base import files
from mlops_workbench.base.errors import BuildFailed, ServingFailed
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.base.scratch import scratch_folder
from mlops_workbench.manifest import Manifest, Servable, file_sha256
from mlops_workbench.package import sbom
from mlops_workbench.package import wheels as wheel_store
from mlops_workbench.package.buildlog import BuildLog, drop_leftovers
from mlops_workbench.package.context import (
    Files,
    dependency_files,
    model_files,
    runtime_files,
    service_files,
    write_context,
)
from mlops_workbench.package.docker_client import DockerEngine, ImageFacts, connect
from mlops_workbench.package.dockerfile import ImageOptions, render_service
from mlops_workbench.package.fastonly import require_covered
from mlops_workbench.package.image import Image as Image
from mlops_workbench.package.image import ImageProof, Prove
from mlops_workbench.package.image import image_repository as image_repository
from mlops_workbench.package.parts import Parts, gather, verified

DEPENDENCIES = "mlops/dependencies"
"""repository of the images of libraries"""
_UNPROVEN = "unproven-"
_REPLACED = "replaced-"
_NOTE = "tag"
_FORGOTTEN_SECONDS = 3600
"""after which an unproven image is one whose build was killed, in whatever project"""


def build_image(
    model_dir: Path,
    servable: Servable,
    options: ImageOptions,
    *,
    cache_dir: Path,
    records_dir: Path,
    prove: Prove,
    progress: Progress = silent,
) -> Image:
    """Build `mlops/<name>:<version>`; wheels are kept in `cache_dir`, so that a second build fetches nothing.

    The image is asked by `prove` before it gets its name; lock and bill of materials are written to `records_dir`. When
    something fails, an earlier image of the version stays what it was.

    Raises EngineUnavailable, BuildFailed (with the end of the log), and NotFound if the folder holds no
    model. A model file whose SHA-256 is not the registry's is not built into anything.
    """
    started = time.monotonic()
    manifest = verified(model_dir, servable.digests)
    platform, fast_only = options.platform, servable.fast_only
    if fast_only:
        require_covered(manifest, servable.plan)
    with connect() as engine:
        parts = gather(engine, manifest, options.base_image, platform, fast_only, cache_dir, progress)
        dependencies = f"{DEPENDENCIES}:{parts.key[:24]}"
        log = BuildLog(progress)
        _dependencies(engine, dependencies, parts, platform, progress, log)
        facts = {
            "org.opencontainers.image.base.digest": parts.base.id,
            "mlops.requirements.digest": hashlib.sha256(parts.lock.encode()).hexdigest(),
        }
        labelled = replace(options, labels=facts | dict(options.labels))
        text = f"FROM {dependencies}\n" + render_service(servable, labelled)
        repository = image_repository(servable.name)
        name = f"{repository}:{servable.version}"
        service = service_files(model_dir, manifest, fast_only=fast_only)
        with (
            _tag(engine, repository, records_dir.parent) as tag,
            _unproven(engine, tag, text, service, platform, log) as image,
        ):
            proof = _proven(tag, servable, manifest, prove, progress)
            bill = sbom.bill(
                name,
                image,
                options.base_image,
                parts,
                model_files=[
                    (n, file_sha256(model_dir / n))
                    for n in model_files(model_dir, manifest, fast_only=fast_only)
                ],
                runtime=runtime_files(),
            )
            lock_file = files.write_text(records_dir / "requirements.txt", parts.lock)
            sbom_file = files.write_text(records_dir / "sbom.cdx.json", bill)
            _named(engine, image, repository, servable.version)
    return Image(
        tag=name,
        id=image.id,
        model=servable.name,
        version=servable.version,
        base=options.base_image,
        platform=image.platform,
        fast_only=fast_only,
        size_mb=round(image.size / 1e6, 1),
        added_mb=round((image.size - parts.base.size) / 1e6, 1),
        seconds=round(time.monotonic() - started, 2),
        created=datetime.now(UTC),
        steps=log.total,
        cached=log.cached,
        proof=proof,
        lock=str(lock_file),
        sbom=str(sbom_file),
    )


def _dependencies(
    engine: DockerEngine, tag: str, parts: Parts, platform: str | None, progress: Progress, log: BuildLog
) -> None:
    """The image of the libraries, which all models with the same ones share: built when it is not here."""
    if engine.image(tag):
        return
    progress(f"packing {wheel_store.total_mb(parts.wheels):.0f} MB of wheels")
    _run(engine, tag, parts.text, dependency_files(parts.wheels, parts.lock), platform, log)
    _forget_dependencies(engine, tag)


@contextmanager
def _tag(engine: DockerEngine, repository: str, notes: Path) -> Iterator[str]:
    """A name for an image that is not proven yet. While the build lives, a note in the project says it:
    what a killed one has left at the engine is removed by the next."""
    notes.mkdir(parents=True, exist_ok=True)

    def abandoned(folder: Path) -> None:
        with suppress(FileNotFoundError):
            left = (folder / _NOTE).read_text()
            engine.remove_containers(left)
            engine.remove_image(left)

    with scratch_folder(notes, ".build-", abandoned) as note:
        tag = f"{repository}:{_UNPROVEN}{int(time.time())}-{uuid.uuid4().hex[:8]}"
        (note / _NOTE).write_text(tag)
        _forget(engine, repository)
        yield tag


@contextmanager
def _unproven(
    engine: DockerEngine, tag: str, text: str, service: Files, platform: str | None, log: BuildLog
) -> Iterator[ImageFacts]:
    """The image under a name of its own, which it loses at the end: if it got no other one, it is gone then."""
    try:
        _run(engine, tag, text, service, platform, log)
        image = engine.image(tag)
        if image is None:
            raise BuildFailed(f"The engine built no image '{tag}'.", "Look at its log.")
        yield image
    finally:
        engine.remove_image(tag)


def _run(
    engine: DockerEngine, tag: str, text: str, contents: Files, platform: str | None, whole: BuildLog
) -> None:
    """One build. Raises BuildFailed with the end of the log; whatever comes, no layer without a name is left."""
    log = BuildLog(whole.progress, done=whole.done, total=whole.total, cached=whole.cached)
    with tempfile.TemporaryFile() as context:
        write_context(context, text, contents)
        context.seek(0)
        messages = engine.build(context, tag=tag, platform=platform)
        try:
            for message in messages:
                log.add(message)
        finally:
            messages.close()
            drop_leftovers(engine, log)
    whole.done, whole.total, whole.cached = log.done, log.total, log.cached


def _proven(tag: str, servable: Servable, manifest: Manifest, prove: Prove, progress: Progress) -> ImageProof:
    progress("proving: starting the image and asking it the recorded rows", 1.0)
    try:
        return prove(tag, manifest)
    except ServingFailed as error:
        raise BuildFailed(
            f"The image of version {servable.version} of '{servable.name}' was built, but is not kept: {error.message}",
            error.next_step or "Nothing was recorded, and an earlier image of this version stays.",
        ) from None


def _named(engine: DockerEngine, image: ImageFacts, repository: str, version: str) -> None:
    """Give the image its version's name. What had it before is removed, or named otherwise while it is in use."""
    before = engine.image(f"{repository}:{version}")
    if before and before.id != image.id:
        engine.tag(before.id, repository, f"{_REPLACED}{before.id.removeprefix('sha256:')[:12]}")
    engine.tag(image.id, repository, version)
    _forget(engine, repository)


def _forget(engine: DockerEngine, repository: str) -> None:
    """Remove images that were replaced and are no longer in use, and those of builds that were killed."""
    for tag in engine.tags(repository):
        if tag.startswith(_UNPROVEN):
            made = tag.removeprefix(_UNPROVEN).partition("-")[0]
            if made.isdigit() and time.time() - int(made) < _FORGOTTEN_SECONDS:
                continue
        elif not tag.startswith(_REPLACED):
            continue
        facts = engine.image(f"{repository}:{tag}")
        if facts and not engine.containers_of(frozenset({facts.id})):
            engine.remove_image(f"{repository}:{tag}")


def _forget_dependencies(engine: DockerEngine, newest: str) -> None:
    """Remove libraries' images on which no model's image is built any more."""
    for tag in engine.tags(DEPENDENCIES):
        facts = engine.image(f"{DEPENDENCIES}:{tag}")
        if facts is None or f"{DEPENDENCIES}:{tag}" == newest or engine.has_children(facts.id):
            continue
        made = datetime.fromisoformat(f"{facts.created[:19]}+00:00")
        # A younger one may be about to be used by another build.
        if datetime.now(UTC) - made > timedelta(seconds=_FORGOTTEN_SECONDS):
            engine.remove_image(f"{DEPENDENCIES}:{tag}")
