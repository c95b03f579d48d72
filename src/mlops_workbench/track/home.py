"""Where a project was made: its records name files by absolute paths, and processes that it serves with.

One rule for every verb: in a project that was moved or copied nothing is done until `move` has rewritten the records.
The experiment's artifact location says where it was made.
"""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.base.errors import Conflict
from mlops_workbench.config.project import ARTIFACTS, Project
from mlops_workbench.store.engine import open_engine
from mlops_workbench.track import sql_reader
from mlops_workbench.track.records import local_path

_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables that name files. What only tells of the past (where a file was read) stays."""


def require_home(project: Project) -> None:
    """Raises `Conflict` when the project was moved or copied. A tracking server is not asked: its runs are, later."""
    if (old := made_at(project)) is not None:
        raise _elsewhere(project, old)


def require_place(project: Project, location: str) -> None:
    """The same, by the artifact location of the project's experiment."""
    if (old := _root_of(project, location)) is not None:
        raise _elsewhere(project, old)


def made_at(project: Project) -> Path | None:
    """The folder that the records of a moved or copied project name; None where it is at home."""
    reader = sql_reader.reader(project.tracking_url)
    experiment = reader.experiment(project.name) if reader is not None else None
    return None if experiment is None else _root_of(project, experiment.artifact_location)


def relocate(project: Project, old: Path) -> int:
    """Let MLflow's tables name the files of this folder instead of those of `old`; how many did not."""
    from sqlalchemy import text

    state = project.state
    spellings = [
        (f"{(old / state.name).as_uri()}/", f"{state.as_uri()}/"),
        (f"{old / state.name}/", f"{state}/"),
    ]
    engine = open_engine(project.tracking_url, pooled=False)
    changed = 0
    try:
        with engine.execution_options(writes=True).begin() as connection:
            for table, column in _LOCATIONS:
                for before, after in spellings:
                    statement = text(
                        f"UPDATE {table} SET {column} = :after || substr({column}, :rest) "  # noqa: S608 (ours)
                        f"WHERE substr({column}, 1, :length) = :before"
                    )
                    values = {
                        "after": after,
                        "before": before,
                        "length": len(before),
                        "rest": len(before) + 1,
                    }
                    changed += connection.execute(statement, values).rowcount
    finally:
        engine.dispose()
    return changed


def _root_of(project: Project, location: str) -> Path | None:
    there = local_path(location)
    here = project.state / ARTIFACTS
    if there is None or there.parts[-2:] != here.parts[-2:] or there.resolve() == here.resolve():
        return None
    return there.parents[1]


def _elsewhere(project: Project, old: Path) -> Conflict:
    return Conflict(
        f"The project was moved or copied from {old} to {project.root}, and its records name files by their old "
        "place.",
        "Run `move` here, move it back, or leave a symbolic link to the new folder at the old place.",
    )
