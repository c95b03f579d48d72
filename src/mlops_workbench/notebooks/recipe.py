"""What a version was made of, by its records: known in a second, before anything is made again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.base.errors import InvalidModel, NotFound
from mlops_workbench.config.project import Project
from mlops_workbench.data import snapshots
from mlops_workbench.manifest import Manifest
from mlops_workbench.notebooks import environments, recorded_files
from mlops_workbench.store.engine import Store
from mlops_workbench.track import notebook, slicing
from mlops_workbench.track.records import CHANGES, ENVIRONMENT, NOTEBOOK, SOURCE, RegisteredVersion, Run
from mlops_workbench.track.tracking import Tracking


@dataclass(frozen=True)
class Recipe:
    """What a version was made of. `cells`: in the order they ran, the run's own cell last."""

    stored: RegisteredVersion
    manifest: Manifest
    run: Run
    cells: tuple[str, ...]
    needed: tuple[int, ...]
    """places of the cells that the last one depends on, itself the last"""
    requirements: Mapping[str, str]
    variable: str
    rows: Mapping[str, str]
    """variable → SHA-256 of the snapshot that it held"""
    forms: Mapping[str, str]
    """variable → how it held them, where that was no DataFrame"""
    asked: str
    """SHA-256 of the snapshot that both models are asked"""
    changes: bytes
    files: recorded_files.FilesRead


def recorded(
    project: Project, store: Store, tracking: Tracking, stored: RegisteredVersion, folder: Path
) -> Recipe:
    """What was recorded; the rows themselves are not read.

    Raises `NotFound` naming what was not, `InvalidModel` for a changed model file.
    """
    if not stored.run_id:
        raise NotFound(
            f"Version {stored.version} of '{stored.name}' was not made in a tracked run, so its code is not known.",
            "Fit models in tracked runs.",
        )
    run = tracking.run(stored.run_id)
    manifest = Manifest.load(folder)
    if manifest.serialization == "pyfunc":
        raise NotFound(
            f"Version {stored.version} of '{stored.name}' is served through MLflow's pyfunc; only scikit-learn models "
            "are made again and compared.",
            f"Its code, data and environment are with the run '{run.name}'.",
        )
    if manifest.digest_of(folder) != stored.facts.digest:
        raise InvalidModel(f"The files of version {stored.version} of '{stored.name}' were changed.")
    mark = stored.facts.evaluate or stored.facts.data
    if mark is None:
        raise NotFound(f"Version {stored.version} of '{stored.name}' has no recorded rows.")
    asked, rows = mark.sha256, _rows(run)
    for sha256 in {*rows.values(), asked}:
        snapshots.file(project, sha256)
    cells, changes = _cells(tracking, run), tracking.content(run.id, CHANGES) or b""
    cells = tuple(slicing.with_recorded(cell, {*rows}) for cell in cells)
    needed = (*slicing.needed(cells[:-1], cells[-1], {*rows}), len(cells) - 1)
    return Recipe(
        stored,
        manifest,
        run,
        cells,
        needed,
        environments.pins(tracking.text(run.id, ENVIRONMENT)),
        _variable(stored, run),
        rows,
        _forms(run),
        asked,
        changes,
        recorded_files.require(project, store, run, changes, cells, needed),
    )


def _cells(tracking: Tracking, run: Run) -> tuple[str, ...]:
    if cells := notebook.read(tracking.text(run.id, NOTEBOOK)):
        return tuple(cells)
    source = tracking.text(run.id, SOURCE)
    if not source:
        raise NotFound(f"The run '{run.name}' kept no code.", "Runs of this version of the workbench do.")
    return (source,)


def _variable(stored: RegisteredVersion, run: Run) -> str:
    """The name that the model had in the notebook."""
    made = [name for name in run.tags.get("models", "").split(",") if name]
    variable = stored.facts.variable
    if variable in made or (variable.isidentifier() and not made):
        return variable
    if len(made) == 1:
        return made[0]
    raise NotFound(
        f"Which variable of the run '{run.name}' was registered as '{stored.name}' is not recorded.",
        "Register a variable that the run made.",
    )


def _forms(run: Run) -> dict[str, str]:
    tags = run.tags
    return {
        tags[key.removesuffix("form") + "name"]: form for key, form in tags.items() if key.endswith(".form")
    }


def _rows(run: Run) -> dict[str, str]:
    """Variables that the run was given and the snapshots of what they held."""
    tags = run.tags
    marks = [key.removesuffix(".sha256") for key in tags if re.fullmatch(r"(data|evaluate)\b.*\.sha256", key)]
    found = {tags[f"{mark}.name"]: tags[f"{mark}.sha256"] for mark in marks}
    return {name: sha256 for name, sha256 in found.items() if name.isidentifier()}
