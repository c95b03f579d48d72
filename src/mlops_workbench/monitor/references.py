"""The reference of a version: the one that was kept beside it, or made from the rows that it was fitted on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

from mlops_workbench.base.errors import InvalidModel, MlopsError
from mlops_workbench.base.files import write_text
from mlops_workbench.config.project import Project
from mlops_workbench.data import summarizing
from mlops_workbench.manifest import Manifest
from mlops_workbench.registry import registering
from mlops_workbench.registry.versions import recorded
from mlops_workbench.summary.reference import DataReference, load
from mlops_workbench.track.records import RegisteredVersion
from mlops_workbench.track.tracking import Tracking


def of_version(project: Project, tracking: Tracking, stored: RegisteredVersion) -> DataReference | None:
    """None for a version without one whose rows are not there any more. Raises InvalidModel for a changed one."""
    folder, manifest = recorded(tracking, stored)
    try:
        found = load(folder, manifest.extra.get("reference"))
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise InvalidModel(
            f"The reference of version {stored.version} of '{stored.name}' is refused: {problem}",
            "Register it again.",
        ) from None
    return found or _made(project, stored, manifest)


def _made(project: Project, stored: RegisteredVersion, manifest: Manifest) -> DataReference | None:
    """For a version from before references were kept; its answers are not known. Kept for the next time."""
    mark = stored.facts.data
    if mark is None:
        return None
    path = (
        project.folder("references")
        / f"{hashlib.sha256(f'{manifest.sha256} {mark.sha256}'.encode()).hexdigest()}.json"
    )
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return DataReference.loads(path.read_bytes())
    try:
        rows = registering.fitted_on(project, stored)
    except MlopsError:
        return None
    made = summarizing.reference(rows, manifest.inputs)
    write_text(path, made.dumps().decode())
    return made


def by_number(project: Project, tracking: Tracking, model: str) -> Callable[[str], DataReference | None]:
    """References by the numbers that the log names; each is looked for once."""
    known: dict[str, DataReference | None] = {}

    def of(version: str) -> DataReference | None:
        if version not in known:
            try:
                known[version] = of_version(project, tracking, tracking.version(model, int(version)))
            except (
                MlopsError,
                ValueError,
                OSError,
            ):  # deleted, changed, or of something that is no version here
                known[version] = None
        return known[version]

    return of
