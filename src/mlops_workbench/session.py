"""What a workbench holds open: the project as its file says now, its stores, and where names are looked up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, cast

from mlops_workbench.base.errors import Conflict
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.config import project as projects
from mlops_workbench.config.project import Project
from mlops_workbench.store.engine import Store
from mlops_workbench.track.tracking import Tracking


class Opening:
    """Opens a project's stores when they are first asked for, and notices when their files were taken away.

    `folder`: where to look for `mlops.toml`, upwards (default: the working folder).
    `namespace`: where names such as DataFrames and models are looked up: a notebook's variables.
    `progress`: is told what long work does.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        namespace: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._folder = folder
        self.namespace: Mapping[str, Any] = {} if namespace is None else namespace
        self.progress = progress
        self._opening = threading.RLock()
        self._seen: Project | None = None
        self._parts: dict[str, Any] = {}
        self._files: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The workbench of the project that `folder` is in. Raises `NotFound` or `InvalidConfig`."""
        found = cls(folder)
        _ = found.project
        return found

    @property
    def folder(self) -> Path:
        return self._folder or Path.cwd()

    @property
    def _home(self) -> Path:
        """Where the project is looked for: `MLOPS_PROJECT` is for notebooks that lie elsewhere (a job sets it)."""
        return self._folder or Path(os.environ.get("MLOPS_PROJECT") or Path.cwd())

    @property
    def project(self) -> Project:
        """The project that was found first, with its policy as the file says now: a person edits it meanwhile.

        Raises `NotFound`, `InvalidConfig`.
        """
        with self._opening:
            before = self._seen
            if before is not None and (before.root / projects.FILE_NAME).is_file():
                found = projects.load(before.root)
            else:
                found = projects.find(self._home)
            if before is not None and (found.root, found.policy.stores) != (
                before.root,
                before.policy.stores,
            ):
                self.close()
            self._seen = found
            return found

    @property
    def _store(self) -> Store:
        return cast("Store", self._part("workbench.db", lambda project: Store(project.store_url)))

    @property
    def _tracking(self) -> Tracking:
        return cast("Tracking", self._part("mlflow.db", Tracking))

    def _part(self, file: str, make: Callable[[Project], Any]) -> Any:
        """What is opened once. Raises `Conflict` when its file was taken away: what is written then is lost."""
        with self._opening:
            project = self.project
            if file not in self._parts:
                self._parts[file] = make(project)
            found = _identity(project.state / file)
            known = self._files.setdefault(file, found) if found else self._files.get(file)
            if known != found:
                raise Conflict(
                    f"The records in {project.state} were removed or replaced while they were open here.",
                    "Put them back, or restart this kernel or program to begin anew.",
                )
            return self._parts[file]

    def close(self) -> None:
        """Give the database connections back."""
        with self._opening:
            if isinstance(store := self._parts.get("workbench.db"), Store):
                store.close()
            self._parts.clear()
            self._files.clear()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none (the records are in a database elsewhere)."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
