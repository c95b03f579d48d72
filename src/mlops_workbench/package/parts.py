"""What goes into an image, found out before the engine builds anything: base, wheels, lock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.base import files
from mlops_workbench.base.errors import BaseImageUnavailable, BuildFailed, MlopsError, NotFound
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.manifest import Digests, Manifest
from mlops_workbench.package import slim, wheelinfo
from mlops_workbench.package import wheels as wheel_store
from mlops_workbench.package.docker_client import DockerEngine, ImageFacts, connect
from mlops_workbench.package.dockerfile import render_dependencies
from mlops_workbench.track.requirements import FAST_RUNTIME


@dataclass(frozen=True, slots=True)
class Parts:
    """What goes into an image."""

    manifest: Manifest
    base: ImageFacts
    wheels: tuple[Path, ...]
    infos: tuple[wheelinfo.WheelInfo, ...]
    lock: str
    text: str
    """of the Dockerfile's part for the libraries"""

    @property
    def key(self) -> str:
        """SHA-256 of all that the libraries' layers depend on."""
        content = "\0".join(
            (self.base.id, self.lock, self.text, Path(slim.__file__).read_text(encoding="utf-8"))
        )
        return hashlib.sha256(content.encode()).hexdigest()


def verified(model_dir: Path, digests: Digests) -> Manifest:
    """The manifest of a folder that holds what the registry recorded. What is copied from there later, the image
    verifies by itself whenever it starts."""
    try:
        manifest = Manifest.load(model_dir, digests.manifest)
        found = manifest.digest_of(model_dir)
    except FileNotFoundError as error:
        raise NotFound(f"'{model_dir}' is no model's folder: {error.filename} is missing.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BuildFailed(
            f"The model in '{model_dir}' is refused: {error}", "Fetch the version again."
        ) from None
    if found != digests.model:
        wanted = (digests.model or "")[:16]
        raise BuildFailed(
            f"The model in '{model_dir}' has SHA-256 {found[:16]}…, the registry recorded {wanted}….",
            "Fetch the version again; if it still differs, someone changed the stored artifact.",
        )
    return manifest


def gather(
    engine: DockerEngine,
    manifest: Manifest,
    base_image: str,
    platform: str | None,
    fast_only: bool,
    cache_dir: Path,
    progress: Progress,
) -> Parts:
    base = _base(engine, base_image, platform, progress)
    target = _target(engine, base, base_image, manifest, cache_dir, fast_only=fast_only)
    wheels = wheel_store.fetch(manifest.requirements, target, cache_dir, progress)
    infos = {info.name: (info, wheel) for wheel in wheels for info in (wheelinfo.read(wheel),)}
    chosen = tuple(info for info, _ in infos.values())
    if fast_only:
        chosen = wheelinfo.closure(chosen, FAST_RUNTIME, target.markers)
    chosen = tuple(sorted(chosen, key=lambda info: info.name))
    return Parts(
        manifest,
        base,
        tuple(infos[info.name][1] for info in chosen),
        chosen,
        wheelinfo.lock(chosen),
        render_dependencies(base_image, fast_only=fast_only),
    )


def wheel_target(base_image: str) -> wheel_store.WheelTarget:
    """For which Python and system a base image needs wheels."""
    with connect() as engine:
        return _probed(engine, _base(engine, base_image, None, silent), base_image)


def _base(engine: DockerEngine, base_image: str, platform: str | None, progress: Progress) -> ImageFacts:
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
            "Name another one in mlops.toml ([image] base) or MLOPS_BASE_IMAGE, or load this one into the engine.",
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


def _probed(engine: DockerEngine, base: ImageFacts, base_image: str) -> wheel_store.WheelTarget:
    try:
        return wheel_store.WheelTarget.from_probe(engine.run_once(base.id, wheel_store.PROBE))
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
    engine: DockerEngine,
    base: ImageFacts,
    base_image: str,
    manifest: Manifest,
    cache_dir: Path,
    *,
    fast_only: bool,
) -> wheel_store.WheelTarget:
    """Asked once for each base image."""
    known = cache_dir / "targets" / f"{base.id.removeprefix('sha256:')}.json"
    try:
        target = wheel_store.WheelTarget(**json.loads(known.read_text()))
    except (OSError, ValueError, TypeError):
        target = _probed(engine, base, base_image)
        files.write_text(known, json.dumps(target.to_dict()))
    if target.python != manifest.python and manifest.runs_code and not fast_only:
        raise BuildFailed(
            f"The base image has Python {target.python}, but this model was made with {manifest.python}.",
            f"Use a base image with Python {manifest.python}, or register the model with skops.",
        )
    return target
