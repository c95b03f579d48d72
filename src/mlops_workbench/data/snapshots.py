"""Snapshots: a DataFrame kept as Parquet under its content hash. The same content is stored once.

A person may give rows a name; each time other rows come under it, that is its next version: `NAME@3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.base.errors import NotFound, UsageError, closest
from mlops_workbench.base.values import Value
from mlops_workbench.config.names import check_name, user
from mlops_workbench.config.project import Project
from mlops_workbench.data import dvc, files, frames, parquet
from mlops_workbench.data.frames import Fingerprint, fingerprint
from mlops_workbench.manifest import Kind
from mlops_workbench.store.engine import Store

if TYPE_CHECKING:
    import pandas as pd


_REFERENCE = re.compile(r"(?P<name>[^@\s]+)@(?P<version>latest|v?\d+)")
_HASH = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Snapshot(Value):
    """Rows that are kept. `name` and `version`: empty and 0 for rows that no one named. `revision`: what tracks
    the file that they were read from."""

    name: str
    version: int
    sha256: str
    rows: int
    columns: int
    bytes: int
    at: str
    who: str
    source: str | None
    revision: str | None
    path: str
    note: str = ""
    """what of the rows given now is not kept"""

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.sha256[:12]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, read from the file each time. Raises `NotFound` when the file is gone."""
        return _read(Path(self.path), self.sha256)

    @property
    def title(self) -> str:
        return f"Snapshot {self.reference}: {self.rows:,} rows × {self.columns} columns. {self.note}".rstrip()

    def table(self) -> tuple[list[str], list[list[Any]]]:
        rows: list[list[Any]] = [
            ["sha256", self.sha256],
            ["bytes", self.bytes],
            ["kept", self.at[:19].replace("T", " ")],
        ]
        rows += [[what, value] for what, value in (("by", self.who), ("source", self.source)) if value]
        return ["", ""], rows + ([["revision", self.revision]] if self.revision else [])


@dataclass(frozen=True)
class SnapshotList(Value):
    """Named rows, newest first."""

    snapshots: tuple[Snapshot, ...]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        return ["snapshot", "rows", "columns", "bytes", "sha256", "kept", "by", "source", "revision"], [
            [
                *(s.reference, s.rows, s.columns, s.bytes, s.sha256[:12]),
                *(s.at[:19].replace("T", " "), s.who, s.source, s.revision),
            ]
            for s in self.snapshots
        ]


def keep(project: Project, store: Store, frame: pd.DataFrame, name: str) -> Fingerprint:
    """Store the frame (without its index) if that content is not there yet. Raises `InvalidData`."""
    mark = fingerprint(frame, name)
    path = project.folder("snapshots") / f"{mark.sha256}.parquet"
    if not path.exists():
        parquet.write(frame, path, name)
    mark = replace(mark, bytes=path.stat().st_size)
    from sqlalchemy import select

    from mlops_workbench.data.tables import snapshots

    with store.write() as connection:
        if (
            connection.execute(select(snapshots.c.sha256).where(snapshots.c.sha256 == mark.sha256)).first()
            is None
        ):
            connection.execute(
                snapshots.insert().values(
                    sha256=mark.sha256,
                    at=store.now(),
                    name=name[:200],
                    rows=mark.rows,
                    columns=mark.columns,
                    bytes=mark.bytes,
                    path=str(path),
                )
            )
    return mark


def name_it(project: Project, store: Store, data: Any, namespace: Mapping[str, Any], name: str) -> Snapshot:
    """Keep rows under a name: the version that has them already, else the next one.

    Raises what `resolve` raises, and `UsageError` for a name that cannot be one.
    """
    from sqlalchemy import func, select

    from mlops_workbench.data.tables import snapshot_versions

    check_name(name, "snapshot")
    frame, label = resolve(project, store, data, namespace)
    mark = keep(project, store, frame, name)
    of_file = isinstance(data, str) and data not in namespace and files.is_table(data)
    source = Path(data).expanduser().resolve() if of_file else None
    revision = dvc.revision(source) if source else None
    with store.write() as connection:  # holds the one write lock: no two get the same version
        mine = snapshot_versions.c.name == name
        known = connection.execute(
            select(snapshot_versions.c.version)
            .where(mine, snapshot_versions.c.sha256 == mark.sha256)
            .order_by(snapshot_versions.c.version.desc())
        ).scalar()
        if known is None:
            last = connection.execute(select(func.max(snapshot_versions.c.version)).where(mine)).scalar()
            known = (last or 0) + 1
            connection.execute(
                snapshot_versions.insert().values(
                    name=name,
                    version=known,
                    sha256=mark.sha256,
                    at=store.now(),
                    who=user(),
                    source=str(source) if source else label if isinstance(data, str) else None,
                    revision=revision,
                )
            )
    return replace(_select(project, store, name=name, version=known)[0], note=_not_kept(frame))


def _not_kept(frame: pd.DataFrame) -> str:
    """An index that says something: one with a name, or of anything but whole numbers."""
    names = [str(name) for name in frame.index.names if name is not None]
    if not names and frame.index.inferred_type == "integer":
        return ""
    called = f"'{', '.join(names)}' " if names else ""
    return f"Its index {called}is not kept: reset_index() makes it a column."


def name_of(data: Any) -> str:
    """What rows are called when no name is given: as their variable, or as their file without its suffix.

    Raises `UsageError` for rows without a name.
    """
    if not isinstance(data, str):
        raise UsageError("Rows that are no variable need a name.", "Give one: the option name.")
    return files.stem(data) if files.is_table(data) else data


def listed(project: Project, store: Store, name: str | None = None) -> SnapshotList:
    """All named rows, or those of one name, newest first."""
    return SnapshotList(tuple(_select(project, store, **({} if name is None else {"name": name}))))


def refer(project: Project, store: Store, reference: str) -> Snapshot | None:
    """What `NAME@3`, `NAME@latest`, `NAME` or the beginning of a hash (8 characters or more) stands for.

    None if it cannot be a reference, or is a bare name or hash of nothing. Raises `NotFound` for `NAME@…` that is
    not there, `UsageError` for a beginning that two snapshots share.
    """
    if match := _REFERENCE.fullmatch(reference):
        name, version = match["name"], match["version"]
        found = _select(project, store, name=name)
        if not found:
            known = [s.name for s in _select(project, store)]
            raise NotFound(f"There is no snapshot '{name}'.", closest(name, known) or "Keep one first.")
        for one in found:
            if version == "latest" or one.version == int(version.removeprefix("v")):
                return one
        raise NotFound(f"The snapshot '{name}' has no version {version}.", f"It has 1 to {found[0].version}.")
    if found := _select(project, store, name=reference):
        return found[0]
    return _by_hash(project, store, reference) if _HASH.fullmatch(reference) else None


@dataclass(frozen=True)
class SnapshotName:
    """A name that a person gave to rows; `source`, `revision`: the file that they came from, and what tracks it."""

    name: str
    version: int
    source: str | None
    revision: str | None

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


def names_of(store: Store, sha256: str) -> tuple[SnapshotName, ...]:
    """Every name of the rows with this fingerprint, oldest first."""
    sql = """
        SELECT name, version, source, revision FROM workbench_snapshot_versions WHERE sha256 = :sha256 ORDER BY id
    """
    return tuple(SnapshotName(**row) for row in store.read(sql, {"sha256": sha256}))


def _by_hash(project: Project, store: Store, start: str) -> Snapshot | None:
    sql = "SELECT * FROM workbench_snapshots WHERE sha256 LIKE :start LIMIT 2"
    found = store.read(sql, {"start": f"{start}%"})  # it is hexadecimal
    if len(found) > 1:
        raise UsageError(f"Two snapshots begin with '{start}'.", "Give more of the hash.")
    if not found:
        return None
    if known := _select(project, store, sha256=found[0]["sha256"]):
        return known[0]
    row = dict(found[0])
    row["path"] = str(project.state / "snapshots" / f"{row['sha256']}.parquet")
    return Snapshot(**row | {"name": "", "version": 0, "who": "", "source": row["name"], "revision": None})


def resolve(
    project: Project,
    store: Store,
    data: Any,
    namespace: Mapping[str, Any],
    kinds: Mapping[str, Kind] | None = None,
) -> tuple[pd.DataFrame, str]:
    """A DataFrame and what to call it: what `frames.resolve` knows (which comes first), or a snapshot's reference.

    Raises what `frames.resolve` raises.
    """
    if isinstance(data, str) and data not in namespace and not files.is_table(data):
        found = refer(project, store, data)
        if found is not None:
            return found.frame, found.reference
    return frames.resolve(data, namespace, kinds)


def _select(project: Project, store: Store, **where: Any) -> list[Snapshot]:
    """Named snapshots whose columns have these values, newest first."""
    sql = """
        SELECT named.name, named.version, named.sha256, named.at, named.who, named.source, named.revision,
               kept.rows, kept.columns, kept.bytes
        FROM workbench_snapshot_versions AS named JOIN workbench_snapshots AS kept ON kept.sha256 = named.sha256
        ORDER BY named.id DESC
    """
    folder = project.state / "snapshots"
    return [
        Snapshot(**dict(row) | {"path": str(folder / f"{row['sha256']}.parquet")})
        for row in store.read(sql)
        if all(row[column] == value for column, value in where.items())
    ]


def find(project: Project, sha256: str) -> pd.DataFrame:
    """The rows of a snapshot. Raises `NotFound` when its file is gone."""
    return _read(file(project, sha256), sha256)


def file(project: Project, sha256: str) -> Path:
    """The Parquet file of a snapshot. Raises `NotFound` when it is gone."""
    return _there(project.state / "snapshots" / f"{sha256}.parquet", sha256)


def _there(path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise NotFound(
            f"The snapshot {sha256[:12]} is not in {path.parent}.",
            "Register the model again, with the data it was fitted on.",
        )
    return path


def _read(path: Path, sha256: str) -> pd.DataFrame:
    return parquet.read(_there(path, sha256))
