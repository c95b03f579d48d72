"""Images put together: a version, its records and its ledger entry go in; image, artifacts and record come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import EngineUnavailable
from mlops_workbench.manifest import Manifest
from mlops_workbench.store.engine import Store
from mlops_workbench.track.context import TrackedContext
from mlops_workbench.track.records import RegisteredVersion

if TYPE_CHECKING:
    from mlops_workbench.package.image import Image, ImageList, ImageProof


def build(
    context: TrackedContext,
    stored: RegisteredVersion,
    *,
    base: str | None,
    platform: str | None,
    fast_only: bool,
) -> Image:
    """Build and prove the image of a version; lock, bill of materials and proof become artifacts of its run."""
    from mlops_workbench.package import build as building
    from mlops_workbench.package import records
    from mlops_workbench.package.dockerfile import ImageOptions
    from mlops_workbench.registry import versions
    from mlops_workbench.rollout.runtime import proofs
    from mlops_workbench.track.source import git_state

    project, store, tracking = context.project, context.store, context.tracking
    servable = replace(stored.servable, fast_only=fast_only)
    made_of = tracking.run(stored.run_id).tags.get("git.commit") if stored.run_id else None

    def prove(tag: str, manifest: Manifest) -> ImageProof:
        return proofs.prove(tag, manifest, servable)

    image = building.build_image(
        versions.recorded(tracking, stored)[0],
        servable,
        ImageOptions(
            base or project.base_image,
            platform,
            commit=made_of or git_state(project.root).get("git.commit"),
            labels=_ledger(store, stored),
        ),
        cache_dir=project.folder("cache"),
        records_dir=project.state / "images" / f"{stored.name}-{stored.version}",
        prove=prove,
        progress=context.progress,
    )
    records.keep(store, stored.name, stored.version, image)
    if stored.run_id:
        tracking.log(stored.run_id, files=_artifacts(stored, image))
    return image


def _ledger(store: Store, stored: RegisteredVersion) -> Mapping[str, str]:
    """The newest entry about the version: what it was when the image was made."""
    from mlops_workbench.registry import ledger

    about = [e for e in ledger.entries(store, stored.name) if e.new_version == stored.version]
    if not about:
        return {}
    newest = about[-1]
    return {
        "mlops.ledger.entry": str(newest.id),
        "mlops.ledger.hash": newest.hash,
        "mlops.ledger.action": newest.action,
    }


def _artifacts(stored: RegisteredVersion, image: Image) -> dict[str, str]:
    folder = f"image/{stored.version}"
    return {
        f"{folder}/requirements.txt": Path(image.lock).read_text(encoding="utf-8"),
        f"{folder}/sbom.cdx.json": Path(image.sbom).read_text(encoding="utf-8"),
        f"{folder}/image.json": json.dumps(image.to_dict(), indent=1, ensure_ascii=False),
    }


def images(store: Store, name: str | None) -> ImageList:
    """Every image on record, with what the engine and the deployments say now."""
    from mlops_workbench.package import records
    from mlops_workbench.package.image import ImageList, listed
    from mlops_workbench.rollout import records as rollout

    found = records.find(store, name)
    if not found:
        return ImageList(())
    from mlops_workbench.package import docker_client

    serving = [live for live in rollout.current(store, name) if live.state in ("ready", "starting")]
    try:
        with docker_client.connect() as engine:
            here = {
                image.tag: (facts := engine.image(image.tag)) is not None and facts.id == image.id
                for _, image in found
            }
    except EngineUnavailable:
        here = {}
    return ImageList(
        tuple(
            listed(
                image,
                version,
                here=here.get(image.tag),
                deployments=tuple(
                    live.url
                    for live in serving
                    if live.deployment.image == image.tag and live.version == str(version)
                ),
            )
            for version, image in found
        )
    )
