"""The bill of materials of an image, as CycloneDX: exactly the wheels, the model, the runtime and the base."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_workbench import __version__
from mlops_workbench.package.docker_client import ImageFacts
from mlops_workbench.package.parts import Parts
from mlops_workbench.package.wheelinfo import WheelInfo


def bill(
    tag: str,
    image: ImageFacts,
    base_name: str,
    parts: Parts,
    *,
    model_files: Sequence[tuple[str, str]],
    runtime: Iterable[tuple[str, Path]],
) -> str:
    """JSON of CycloneDX 1.6. `model_files`: (name, SHA-256) of what lies in the image's folder of the model."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    manifest, base = parts.manifest, parts.base
    repository, _, version = tag.rpartition(":")
    whole = Component(name=repository, version=version, type=ComponentType.CONTAINER, bom_ref=image.id)
    model = Component(
        name=manifest.name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{manifest.sha256}",
        description=f"{manifest.task} model, fitted with Python {manifest.python}",
        hashes=[_sha256(manifest.sha256)],
        components=[
            Component(
                name=name, type=ComponentType.FILE, bom_ref=f"model-file:{name}", hashes=[_sha256(digest)]
            )
            for name, digest in model_files
        ],
    )
    under = Component(
        name=base_name, version=base.id, type=ComponentType.CONTAINER, bom_ref=f"base:{base.id}"
    )
    own = Component(
        name="mlops-workbench-serving",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="runtime",
        hashes=[_sha256(_digest_of(runtime))],
    )
    libraries = [_library(wheel) for wheel in parts.infos]
    bom = Bom(
        components=[model, under, own, *libraries],
        # the same image has the same number
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, image.id),
    )
    bom.metadata.component = whole
    bom.metadata.timestamp = datetime.now(UTC)
    bom.register_dependency(whole, [model, under, own])
    bom.register_dependency(model, [])
    bom.register_dependency(under, [])
    bom.register_dependency(own, libraries)
    for library in libraries:
        bom.register_dependency(library, [])
    made = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return f"{made}\n"


def _library(wheel: WheelInfo) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", None, wheel.name, wheel.version)
    return Component(
        name=wheel.name,
        version=wheel.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=[_sha256(wheel.sha256)],
        licenses=[LicenseFactory().make_from_string(wheel.licence)] if wheel.licence else (),
        description=wheel.summary or None,
    )


def _sha256(digest: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _digest_of(files: Iterable[tuple[str, Path]]) -> str:
    """Of names and contents."""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
