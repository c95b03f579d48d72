"""A project stays where it was made: its records name files by absolute paths, and processes that it serves with.

One rule for every verb: in a project that was moved or copied nothing is done. The experiment's artifact location says
where it was made.
"""

from __future__ import annotations

from mlops_workbench.base.errors import Conflict
from mlops_workbench.config.project import ARTIFACTS, Project
from mlops_workbench.track import sql_reader
from mlops_workbench.track.records import local_path


def require_home(project: Project) -> None:
    """Raises `Conflict` when the project was moved or copied. A tracking server is not asked: its runs are, later."""
    reader = sql_reader.reader(project.tracking_url)
    experiment = reader.experiment(project.name) if reader is not None else None
    if experiment is not None:
        require_place(project, experiment.artifact_location)


def require_place(project: Project, location: str) -> None:
    """The same, by the artifact location of the project's experiment."""
    there = local_path(location)
    here = project.state / ARTIFACTS
    if there is None or there.parts[-2:] != here.parts[-2:] or there.resolve() == here.resolve():
        return
    old, new = there.parents[1], project.root
    raise Conflict(
        f"The project was moved or copied from {old} to {new}, and its records name files by their old place.",
        "Move it back, or leave a symbolic link to the new folder at the old place.",
    )
