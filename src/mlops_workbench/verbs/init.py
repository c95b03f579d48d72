from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mlops_workbench.base.errors import Conflict
from mlops_workbench.config import project as projects
from mlops_workbench.interface.spec import Opt, verb

if TYPE_CHECKING:
    from mlops_workbench.config.project import Project
    from mlops_workbench.session import Session


@verb(stage="project", effect="writes", example="init flights")
def init(
    session: Session,
    name: Annotated[str, Opt("name of the project")],
    *,
    nested: Annotated[bool, Opt("also in a folder of another project")] = False,
) -> Project:
    """Make this folder a project: mlops.toml (policy) and .mlops/ (state).

    The project that is there stays as it is. Raises `Conflict` for one of another name, and in a folder of another
    project, `UsageError`.
    """
    around = projects.around(session.folder)
    if around is not None and not nested:
        raise Conflict(
            f"This folder belongs to the project in {around}.",
            f"Work in that project, or make one in it: `init {name} --nested`.",
        )
    made = projects.init(session.folder, name)
    session.use(made)
    session.progress("opening the stores")
    _ = session.store
    session.tracking.prepare()
    return made
