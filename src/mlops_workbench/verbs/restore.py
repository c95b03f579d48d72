from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mlops_workbench.base.errors import Conflict, MlopsError
from mlops_workbench.base.values import Value
from mlops_workbench.config import project as projects
from mlops_workbench.interface.spec import Opt, verb
from mlops_workbench.interface.types import File
from mlops_workbench.verbs.move import at_new_place

if TYPE_CHECKING:
    from mlops_workbench.session import Session


@dataclass(frozen=True)
class Restored(Value):
    """A project as an archive held it; with `root` None the archive was only checked."""

    project: str
    archive: str
    at: str
    files: int
    root: str | None
    aside: str | None
    outside: tuple[str, ...]

    @property
    def title(self) -> str:
        if self.root is None:
            return f"'{self.archive}' is whole: project '{self.project}' as of {self.at[:19]}, {self.files:,} files."
        return f"Project '{self.project}' in {self.root} is as of {self.at[:19]}: {self.files:,} files."

    def table(self) -> tuple[list[str], list[list[Any]]]:
        aside = [["what was there", self.aside]] if self.aside else []
        return ["", ""], [*aside, *(["NOT in the archive", sentence] for sentence in self.outside)]


@verb(stage="project", effect="writes", example="restore flights-20261101T030000Z.tar.gz")
def restore(
    session: Session,
    archive: Annotated[File, Opt("archive that backup wrote")],
    *,
    sha256: Annotated[str | None, Opt("the archive must have this SHA-256, as backup said")] = None,
    check: Annotated[bool, Opt("only check the archive")] = False,
) -> Restored:
    """Bring a project back from an archive, into its folder or a new one; each file is compared by its SHA-256 first.

    What is there of the project is moved to `.mlops-before-TIME`. Raises `InvalidData` for an archive that is not as
    it was packed, `Conflict` in a folder of another project and while something is served.
    """
    from mlops_workbench.store import archive as archives
    from mlops_workbench.track.client import let_go

    file = session.path(archive).absolute()
    contents, _ = archives.check(file, sha256)
    if check:
        return Restored(
            contents.project, str(file), contents.at, len(contents.files), None, None, contents.outside
        )
    root = _root(session.home, contents.project)
    session.close()
    session.progress("unpacking")
    contents, aside = archives.unpack(file, root, sha256, f"{session.clock.now():%Y%m%dT%H%M%S%fZ}")
    project = projects.load(root)
    let_go(project.tracking_url)
    at_new_place(project, Path(contents.root), session.clock, stop=False)
    session.use(project)
    return Restored(
        contents.project,
        str(file),
        contents.at,
        len(contents.files),
        str(root),
        None if aside is None else str(aside),
        contents.outside,
    )


def _root(home: Path, name: str) -> Path:
    """The project's folder that `home` is in, else `home`. Raises `Conflict`."""
    start = home.resolve()
    root = next((p for p in (start, *start.parents) if (p / projects.FILE_NAME).is_file()), start)
    try:
        project = projects.load(root) if (root / projects.FILE_NAME).is_file() else None
    except MlopsError:
        return root  # its policy cannot be read: it may be what is to be brought back
    if project is None:
        return root
    if project.name != name:
        raise Conflict(
            f"The archive is of the project '{name}', and {root} is the project '{project.name}'.",
            "Restore it in another folder.",
        )
    _require_still(project)
    return root


def _require_still(project: projects.Project) -> None:
    """Raises `Conflict` while something serves: it would go on logging into the file that is moved aside."""
    from mlops_workbench.base.errors import Damaged
    from mlops_workbench.rollout import records
    from mlops_workbench.store.engine import Store
    from mlops_workbench.store.reader import sqlite_file

    file = sqlite_file(project.store_url)
    if file is not None and not file.exists():
        return
    try:
        store = Store(project.store_url)
        try:
            served = sorted({d.model for d in records.current(store) if d.state in ("ready", "starting")})
        finally:
            store.close()
    except Damaged:
        return  # nobody knows what serves
    if served:
        raise Conflict(f"'{served[0]}' is being served.", f"Stop it first: `stop {served[0]}`.")
