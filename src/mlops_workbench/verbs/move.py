from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import Conflict
from mlops_workbench.base.values import Value
from mlops_workbench.config.project import FILE_NAME, Project
from mlops_workbench.interface.spec import verb

if TYPE_CHECKING:
    from mlops_workbench.base.clock import Clock
    from mlops_workbench.session import Session


@dataclass(frozen=True)
class Moved(Value):
    """A project that works where it is now. `ended`: what the records said is served."""

    root: str
    before: str | None
    records: int
    ended: tuple[str, ...]

    @property
    def title(self) -> str:
        if self.before is None:
            return f"The project in {self.root} is where its records say."
        return f"The project was in {self.before}, and works in {self.root} now: {self.records:,} records name it."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["no longer served; serve it again"], [[one] for one in self.ended]


@verb(stage="project", effect="writes", example="move")
def move(session: Session) -> Moved:
    """Let a project that was moved or copied work in this folder: its records name their files here from now on.

    What the records say is served was served from the old place: where that is gone it is stopped; of a copy it is
    forgotten, and goes on for the original. Raises `Conflict` for a copy whose records are in a database that the
    original uses too.
    """
    from mlops_workbench.track import home

    project = session.project
    before = home.made_at(project)
    if before is None:
        return Moved(str(project.root), None, 0, ())
    session.close()
    return at_new_place(project, before, session.clock)


def at_new_place(project: Project, before: Path, clock: Clock, *, stop: bool = True) -> Moved:
    """Rewrite the records of a project that was in `before`. Killed in between, it can be done again.

    `stop`: end the processes and containers that the records name, unless they are of an original that is still there.
    """
    from mlops_workbench.jobs import queue
    from mlops_workbench.rollout import records
    from mlops_workbench.rollout.runtime import deployments
    from mlops_workbench.store.engine import Store
    from mlops_workbench.store.reader import sqlite_file
    from mlops_workbench.track import home

    copied = (before / FILE_NAME).is_file() and before.resolve() != project.root.resolve()
    shared = [url for url in (project.tracking_url, project.store_url) if sqlite_file(url) is None]
    if copied and shared:
        raise Conflict(
            f"The project in {before} is still there and uses the same database.",
            "Give this copy databases of its own in [stores] of mlops.toml, or remove the original.",
        )
    store = Store(project.store_url, clock)
    try:
        ended = []
        for live in records.current(store):
            if stop and not copied:
                deployments.stop(live.deployment)
            records.end(store, live.deployment)
            ended.append(f"version {live.version} of '{live.model}' at {live.url}")
        changed = queue.relocate(store, before, project.root)
    finally:
        store.close()
    # last: as long as it is not done, every verb says that the project was moved
    return Moved(str(project.root), str(before), changed + home.relocate(project, before), tuple(ended))
