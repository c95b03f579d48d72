"""Which of the files that a run's cells read are in its records? Those that are not are named before anything runs."""

from __future__ import annotations

import os.path
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath

from mlops_workbench.base.errors import NotFound
from mlops_workbench.config.project import Project
from mlops_workbench.data import frames, snapshots
from mlops_workbench.notebooks import file_reads
from mlops_workbench.store.engine import Store
from mlops_workbench.track.records import Run


def require(
    project: Project, store: Store, run: Run, changes: str, cells: Sequence[str], needed: Collection[int]
) -> dict[str, str]:
    """Recorded rows that the needed cells read from their file: path below the project → SHA-256 of the snapshot.

    `changes`: the run's uncommitted ones. Raises `NotFound` for files that no record holds.
    """
    root = project.root
    files = _of_commit(root, run.tags.get("git.commit", "")) | _of_patch(changes)
    held = files | {str(folder) for name in files for folder in PurePath(name).parents}

    def own_module(name: str) -> bool:
        return bool(held & {name, f"{name}.py"}) or (root / f"{name}.py").exists() or (root / name).is_dir()

    found: dict[str, str] = {}
    missing: list[file_reads.FileRead] = []
    sources: Mapping[str, str] | None = None
    for read in file_reads.reads(cells, needed, own_module):
        places = [os.path.normpath(folder / Path(read.path).expanduser()) for folder in _folders(root, run)]
        below = [
            PurePath(place).relative_to(root) for place in places if PurePath(place).is_relative_to(root)
        ]
        if any(str(name) in held or not files.isdisjoint(map(str, name.parents)) for name in below):
            continue
        sources = _sources(store, root, run) if sources is None else sources
        sha256 = next((sources[place] for place in places if place in sources), None)
        path = PurePath(os.path.normpath(read.path))
        if sha256 and not path.is_absolute():
            if path.parts[0] != ".." and path.suffix in frames.READERS:
                found[str(path)] = sha256
        elif not (sha256 and Path(path).exists()):
            missing.append(read)
    if missing:
        named = ", ".join(f"'{read.path}' (cell {read.cell})" for read in missing[:5])
        raise NotFound(
            f"The code of the run '{run.name}' reads what no record holds: {named}.",
            "Commit it, or keep its rows: give the file, or what is read from it in a cell of its own, as the "
            "run's data. Then run and register again.",
        )
    return found


def _folders(root: Path, run: Run) -> list[Path]:
    """Where the run's relative paths may have begun."""
    notebook = Path(run.tags.get("notebook", ""))
    return [root, notebook.parent] if notebook.is_absolute() else [root]


def _of_commit(root: Path, commit: str) -> set[str]:
    """The commit's files, relative to the project's folder; none when it is not to be had."""
    return (
        set(_git(root, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")) - {""} if commit else set()
    )


def _of_patch(changes: str) -> set[str]:
    if not changes.strip():
        return set()
    # outside of any repository, else it tells only of what is below the folder
    told = _git(Path(Path.cwd().anchor), "apply", "--numstat", "-z", "-", text=changes)
    return {line.split("\t", 2)[2] for line in told.split("\0") if line.count("\t") >= 2}


def _git(folder: Path, *words: str, text: str = "") -> str:
    """What git says; empty when it is not there or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _sources(store: Store, root: Path, run: Run) -> dict[str, str]:
    """Absolute paths of the files that the run's rows came from → SHA-256 of their snapshot."""
    found: dict[str, str] = {}
    for key, sha256 in run.tags.items():
        mark = key.removesuffix(".sha256")
        if mark == key or not key.startswith(("data.", "evaluate.")):
            continue
        named = snapshots.names_of(store, sha256)
        names = [run.tags.get(f"{mark}.name", ""), *(one.source or "" for one in named)]
        for name in names:
            if PurePath(name).suffix in frames.READERS:
                found |= {
                    os.path.normpath(folder / Path(name).expanduser()): sha256
                    for folder in _folders(root, run)
                }
    return found
