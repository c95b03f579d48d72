"""A model's folder becomes an image, through the engine's API; it counts as built when it has been proven."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlops_workbench import files
from mlops_workbench.errors import BaseImageUnavailable, BuildFailed, MlopsError, NotFound, ServingFailed
from mlops_workbench.manifest import Manifest, file_sha256
from mlops_workbench.package import sbom, wheelinfo
from mlops_workbench.package import wheels as wheel_store
from mlops_workbench.package.buildlog import CACHE_TAG as CACHE_TAG
from mlops_workbench.package.buildlog import BuildLog, drop_leftovers, keep_cache
from mlops_workbench.package.context import model_files, runtime_files, write_context
from mlops_workbench.package.docker_client import Engine, ImageFacts, connect
from mlops_workbench.package.dockerfile import DEFAULT_BASE, render_dockerfile
from mlops_workbench.package.fastonly import require_covered
from mlops_workbench.package.image import Image as Image
from mlops_workbench.package.image import Proof, Prove
from mlops_workbench.package.image import image_repository as image_repository
from mlops_workbench.progress import Progress, silent
from mlops_workbench.track.requirements import FAST_RUNTIME

_UNPROVEN = "unproven-"
_REPLACED = "replaced-"
_FORGOTTEN_SECONDS = 3600
"""after which an unproven image is one whose build was killed"""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What goes into an image."""

    manifest: Manifest
    base: ImageFacts
    wheels: tuple[Path, ...]
    infos: tuple[wheelinfo.WheelInfo, ...]
    lock: str


def build_image(
    model_dir: Path,
    *,
    name: str,
    version: str,
    digest: str,
    cache_dir: Path,
    records_dir: Path,
    prove: Prove,
    plan: str | None = None,
    base_image: str = DEFAULT_BASE,
    platform: str | None = None,
    fast_only: bool = False,
    commit: str | None = None,
    labels: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Image:
    """Build `mlops/<name>:<version>`; wheels are kept in `cache_dir`, so that a second build fetches nothing.

    The image is asked by `prove` before it gets its name; lock and bill of materials are written to `records_dir`. When
    something fails, an earlier image of the version stays what it was. `plan` is the SHA-256 of the fast path.

    Raises EngineUnavailable, BuildFailed (with the end of the log), and NotFound if the folder holds no
    model. A model file whose SHA-256 is not `digest` is not built into anything.
    """
    started = time.monotonic()
    manifest = _verified(model_dir, digest)
    if fast_only:
        require_covered(manifest, plan)
    with connect() as engine:
        parts = _parts(engine, manifest, base_image, platform, fast_only, cache_dir, progress)
        told = {
            "org.opencontainers.image.base.digest": parts.base.id,
            "mlops.requirements.digest": hashlib.sha256(parts.lock.encode()).hexdigest(),
        }
        text = render_dockerfile(
            base_image,
            name=name,
            version=version,
            digest=digest,
            commit=commit,
            plan=plan,
            fast_only=fast_only,
            labels=told | dict(labels or {}),
        )
        repository = image_repository(name)
        log = BuildLog(progress)
        with _built(engine, repository, text, parts, model_dir, fast_only, platform, log) as (tag, image):
            proof = _proven(engine, tag, name, version, manifest, prove, progress)
            bill = sbom.bill(
                tag=f"{repository}:{version}",
                image=image,
                base_name=base_image,
                base=parts.base,
                manifest=manifest,
                version=version,
                model_files=[
                    (n, file_sha256(model_dir / n)) for n in model_files(manifest, fast_only=fast_only)
                ],
                wheels=parts.infos,
                runtime=runtime_files(),
            )
            lock_file = files.write_text(records_dir / "requirements.txt", parts.lock)
            sbom_file = files.write_text(records_dir / "sbom.cdx.json", bill)
            _named(engine, image, repository, version)
    return Image(
        tag=f"{repository}:{version}",
        id=image.id,
        model=name,
        version=version,
        base=base_image,
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


def _verified(model_dir: Path, digest: str) -> Manifest:
    try:
        manifest = Manifest.load(model_dir)
        found = file_sha256(model_dir / manifest.model_file)
    except FileNotFoundError as error:
        raise NotFound(f"'{model_dir}' is no model's folder: {error.filename} is missing.") from None
    if found != digest:
        raise BuildFailed(
            f"'{manifest.model_file}' has SHA-256 {found[:16]}…, the registry recorded {digest[:16]}….",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )
    return manifest


def _parts(
    engine: Engine,
    manifest: Manifest,
    base_image: str,
    platform: str | None,
    fast_only: bool,
    cache_dir: Path,
    progress: Progress,
) -> _Parts:
    base = _base(engine, base_image, platform, progress)
    target = _target(engine, base, base_image, manifest, cache_dir, fast_only=fast_only)
    wheels = wheel_store.fetch(manifest.requirements, target, cache_dir, progress)
    infos = {info.name: (info, wheel) for wheel in wheels for info in (wheelinfo.read(wheel),)}
    chosen = tuple(info for info, _ in infos.values())
    if fast_only:
        chosen = wheelinfo.closure(chosen, FAST_RUNTIME, target.markers)
    chosen = tuple(sorted(chosen, key=lambda info: info.name))
    return _Parts(
        manifest, base, tuple(infos[info.name][1] for info in chosen), chosen, wheelinfo.lock(chosen)
    )


@contextmanager
def _built(
    engine: Engine,
    repository: str,
    text: str,
    parts: _Parts,
    model_dir: Path,
    fast_only: bool,
    platform: str | None,
    log: BuildLog,
) -> Iterator[tuple[str, ImageFacts]]:
    """The image under a name of its own, which it loses at the end: if it got no other one, it is gone then."""
    tag = f"{_UNPROVEN}{int(time.time())}-{uuid.uuid4().hex[:8]}"
    _forget(engine, repository)
    try:
        with tempfile.TemporaryFile() as context:
            log.progress(f"packing {wheel_store.total_mb(parts.wheels):.0f} MB of wheels")
            write_context(
                context,
                dockerfile=text,
                wheels=parts.wheels,
                lock=parts.lock,
                model_dir=model_dir,
                manifest=parts.manifest,
                fast_only=fast_only,
            )
            context.seek(0)
            messages = engine.build(context, tag=f"{repository}:{tag}", platform=platform)
            try:
                for message in messages:
                    log.add(message)
            finally:
                messages.close()
                keep_cache(engine, repository, log)
                if not log.built:
                    drop_leftovers(engine, log)
        image = engine.image(f"{repository}:{tag}")
        if image is None:
            raise BuildFailed(f"The engine built no image '{repository}:{tag}'.", "Look at its log.")
        yield f"{repository}:{tag}", image
    finally:
        engine.remove_image(f"{repository}:{tag}")


def _proven(
    engine: Engine, tag: str, name: str, version: str, manifest: Manifest, prove: Prove, progress: Progress
) -> Proof:
    progress("proving: starting the image and asking it the recorded rows", 1.0)
    try:
        return prove(tag, manifest)
    except ServingFailed as error:
        raise BuildFailed(
            f"The image of version {version} of '{name}' was built, but is not kept: {error.message}",
            error.next_step or "Nothing was recorded, and an earlier image of this version stays.",
        ) from None


def _named(engine: Engine, image: ImageFacts, repository: str, version: str) -> None:
    """Give the image its version's name. What had it before is removed, or named otherwise while it is in use."""
    before = engine.image(f"{repository}:{version}")
    if before and before.id != image.id:
        engine.tag(before.id, repository, f"{_REPLACED}{before.id.removeprefix('sha256:')[:12]}")
    engine.tag(image.id, repository, version)
    _forget(engine, repository)


def _forget(engine: Engine, repository: str) -> None:
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


def wheel_target(base_image: str) -> wheel_store.Target:
    """For which Python and system a base image needs wheels."""
    with connect() as engine:
        return _probed(engine, _base(engine, base_image, None, silent), base_image)


def _base(engine: Engine, base_image: str, platform: str | None, progress: Progress) -> ImageFacts:
    found = engine.image(base_image)
    if found and _fits(found, platform):
        return found
    progress(f"pulling {base_image}")
    where = f" for {platform}" if platform else ""
    try:
        engine.pull(base_image, platform)
    except MlopsError as error:
        raise BaseImageUnavailable(
            f"The base image '{base_image}'{where} is not here and could not be pulled: {error.message}",
            "Name another base image in the project's settings, or load this one into the engine.",
        ) from error
    found = engine.image(base_image)
    if found is None or not _fits(found, platform):
        raise BaseImageUnavailable(
            f"The base image '{base_image}' that was pulled is of {found.platform if found else 'nothing'}, "
            f"not{where}.",
            "Name a base image that exists for it.",
        )
    return found


def _fits(found: ImageFacts, platform: str | None) -> bool:
    """`linux/arm64/v8` asks for what says `linux/arm64`."""
    return platform is None or platform.split("/")[:2] == found.platform.split("/")[:2]


def _probed(engine: Engine, base: ImageFacts, base_image: str) -> wheel_store.Target:
    try:
        return wheel_store.Target.from_probe(engine.run_once(base.id, wheel_store.PROBE))
    except MlopsError as error:
        if (own := engine.platform) != base.platform:
            raise BuildFailed(
                f"The engine runs {own} and cannot run {base.platform}: {error.message}",
                "Install QEMU's binfmt handlers on its machine, or build on a machine of that kind.",
            ) from error
        raise BuildFailed(
            f"The base image '{base_image}' has no python3 with venv and pip: {error.message}",
            "Use an image that has them, such as the official Python images.",
        ) from error


def _target(
    engine: Engine, base: ImageFacts, base_image: str, manifest: Manifest, cache_dir: Path, *, fast_only: bool
) -> wheel_store.Target:
    """Asked once for each base image."""
    known = cache_dir / "targets" / f"{base.id.removeprefix('sha256:')}.json"
    try:
        target = wheel_store.Target(**json.loads(known.read_text()))
    except (OSError, ValueError, TypeError):
        target = _probed(engine, base, base_image)
        files.write_text(known, json.dumps(target.to_dict()))
    if target.python != manifest.python and manifest.serialization == "cloudpickle" and not fast_only:
        raise BuildFailed(
            f"The base image has Python {target.python}, but this model was pickled by {manifest.python}.",
            f"Use a base image with Python {manifest.python}, or register the model with skops.",
        )
    return target
