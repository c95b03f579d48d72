"""Which of the files that a run's cells read are in its records? Those that are not are named before anything runs."""

from __future__ import annotations

import os.path
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from mlops_workbench.base.errors import NotFound
from mlops_workbench.config.project import Project
from mlops_workbench.data import files, snapshots
from mlops_workbench.notebooks import file_reads
from mlops_workbench.store.engine import Store
from mlops_workbench.track.records import Run


@dataclass(frozen=True)
class FilesRead:
    """What the cells read besides the files of the commit.

    `rows`: path below the project → SHA-256 of the snapshot that holds it. `as_now`: absolute paths, whose files are
    not made again but read as they are now.
    """

    rows: Mapping[str, str] = field(default_factory=dict)
    as_now: tuple[str, ...] = ()


def require(
    project: Project, store: Store, run: Run, changes: bytes, cells: Sequence[str], needed: Collection[int]
) -> FilesRead:
    """`changes`: the run's uncommitted ones. Raises `NotFound` for files that no record holds and that are not there
    where the cells will look for them."""
    root = project.root
    found = file_reads.reads(cells, needed, lambda module: _text(root, module))
    if not found:
        return FilesRead()
    folders = _folders(root, run)
    committed = _of_commit(root, run.tags.get("git.commit", "")) | _of_patch(changes)
    held = committed | {str(folder) for name in committed for folder in PurePath(name).parents}
    sources = _sources(store, run, folders)
    rows: dict[str, str] = {}
    as_now: list[str] = []
    missing: list[str] = []
    for path in found:
        places = [os.path.normpath(folder / Path(path).expanduser()) for folder in folders]
        names = [
            PurePath(place).relative_to(root) for place in places if PurePath(place).is_relative_to(root)
        ]
        name = PurePath(os.path.normpath(path))
        sha256 = next((sources[place] for place in places if place in sources), None)
        if _is_there(path):
            as_now.append(path)
        # below a file: what is in a submodule, or behind a symbolic link
        elif not _is_absolute(path) and any(
            str(name) in held or not committed.isdisjoint(map(str, name.parents)) for name in names
        ):
            continue
        elif sha256 and not _is_absolute(path):
            if name.parts[0] != ".." and files.is_table(name):
                rows[str(name)] = sha256
        else:
            missing.append(path)
    if missing:
        named = ", ".join(f"'{path}'" for path in missing)
        raise NotFound(
            f"The code of the run '{run.name}' reads what no record holds: {named}.",
            "Commit the file, or give it (or the DataFrame that a cell of its own reads from it) as the run's data, "
            "which keeps its rows. Then run and register again.",
        )
    return FilesRead(rows, tuple(as_now))


def _is_absolute(path: str) -> bool:
    return Path(path).expanduser().is_absolute()


def _is_there(path: str) -> bool:
    """Whether the cells will find it outside of their folder, which is a temporary one."""
    there = Path(tempfile.gettempdir(), "reproduce-", "work", Path(path).expanduser())
    return os.path.exists(os.path.normpath(there))  # False, not an error, where it may not be looked


def _text(root: Path, module: str) -> str:
    """The code of one of the project's own modules, as it is now; empty for others."""
    place = root.joinpath(*module.split("."))
    files = [place.with_name(place.name + ".py"), place / "__init__.py"] if module.strip(".") else []
    return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())


def _folders(root: Path, run: Run) -> list[Path]:
    """Where the run's relative paths may have begun."""
    notebook = Path(run.tags.get("notebook", ""))
    return [root, notebook.parent] if notebook.is_absolute() else [root]


def _of_commit(root: Path, commit: str) -> set[str]:
    """The commit's files, relative to the project's folder; none when it is not to be had."""
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit) if commit else ""
    return set(listed.split("\0")) - {""}


def _of_patch(changes: bytes) -> set[str]:
    if not changes.strip():
        return set()
    # outside of any repository, else it lists only what is below the folder
    listed = _git(Path(Path.cwd().anchor), "apply", "--numstat", "-z", "-", given=changes)
    return {line.split("\t", 2)[2] for line in listed.split("\0") if line.count("\t") >= 2}


def _git(folder: Path, *words: str, given: bytes = b"") -> str:
    """What git answers; empty when it is not there or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], input=given, capture_output=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _sources(store: Store, run: Run, folders: Sequence[Path]) -> dict[str, str]:
    """Absolute paths of the files that the run's rows came from → SHA-256 of their snapshot."""
    found: dict[str, str] = {}
    for key, sha256 in run.tags.items():
        mark = key.removesuffix(".sha256")
        if mark == key or not key.startswith(("data.", "evaluate.")):
            continue
        names = [
            run.tags.get(f"{mark}.name", ""),
            *(one.source or "" for one in snapshots.names_of(store, sha256)),
        ]
        for name in names:
            if files.is_table(name):
                found |= {os.path.normpath(folder / Path(name).expanduser()): sha256 for folder in folders}
    return found
