from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import OutputFile

if TYPE_CHECKING:
    from mlops_workbench.session import Session
    from mlops_workbench.store.archive import Backup


@verb(stage="project", effect="writes", example="backup")
def backup(
    session: Session,
    *,
    out: Annotated[
        OutputFile | None,
        Opt("archive to write (default: NAME-TIME.tar.gz beside mlops.toml)", flags=("-o",)),
    ] = None,
) -> Backup:
    """Pack everything that the project keeps into one archive, as it is at this moment, while others write.

    Databases, files of runs and models, snapshots, inference log, contracts and mlops.toml; the archive is read again
    and each file compared by its SHA-256. What is on a database server or in a bucket is not in it, and named. Raises
    `Damaged` when a database is not whole.
    """
    from mlops_workbench.store import archive

    project, at = session.project, session.clock.now()
    named = session.path(out) if out else project.root / f"{project.name}-{at:%Y%m%dT%H%M%SZ}.tar.gz"
    return archive.write(project, Path(named), at.isoformat(timespec="seconds"), session.progress)
