"""What a verb works with: a project as its file says now, its stores, the clock, and what names stand for."""

from __future__ import annotations

import keyword
import os
import threading
import weakref
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, cast

from mlops_workbench.base.clock import SYSTEM, Clock
from mlops_workbench.base.errors import Conflict, NotFound, UsageError, closest
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.config import project as projects
from mlops_workbench.config.names import reference
from mlops_workbench.config.project import Project
from mlops_workbench.manifest import Kind
from mlops_workbench.track.home import require_home

if TYPE_CHECKING:
    import pandas as pd

    from mlops_workbench.store.engine import Store
    from mlops_workbench.track.records import RegisteredVersion
    from mlops_workbench.track.tracking import Tracking

CHAMPION = "champion"


class Session:
    """Opens a project's stores when they are first asked for, and notices when their files were taken away.

    `folder`: where to look for `mlops.toml`, upwards (default: the working folder).
    `namespace`: where names such as DataFrames and models are looked up: a notebook's variables.
    `progress`: hears what long work does. `clock`: what time it is, for records, cooldowns and expiries.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        namespace: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        clock: Clock = SYSTEM,
    ) -> None:
        self._folder = None if folder is None else Path(folder).expanduser()
        self.namespace: Mapping[str, Any] = MappingProxyType({}) if namespace is None else namespace
        self.progress = progress
        self.clock = clock
        self.models_made: dict[int, tuple[weakref.ref[Any], str]] = {}
        """models that tracked cells made here, by `id`, with the run"""
        self._opening = threading.RLock()
        self._seen: Project | None = None
        self._parts: dict[str, Any] = {}
        self._files: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The session of the project that `folder` is in. Raises `NotFound` or `InvalidConfig`."""
        found = cls(folder)
        _ = found.project
        return found

    # the project and its stores

    @property
    def folder(self) -> Path:
        """Where relative paths begin."""
        return self._folder or Path.cwd()

    @property
    def home(self) -> Path:
        """Where the project is looked for: `MLOPS_PROJECT` is for notebooks that lie elsewhere (a job sets it)."""
        return self._folder or Path(os.environ.get("MLOPS_PROJECT") or Path.cwd())

    @property
    def job(self) -> int | None:
        """The job that this process works for."""
        number = os.environ.get("MLOPS_JOB_ID", "")
        return int(number) if number.isdigit() else None

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
                found = projects.find(self.home)
            if before is not None and (found.root, found.policy.stores) != (
                before.root,
                before.policy.stores,
            ):
                self.close()
            self._seen = found
            return found

    @property
    def seen_project(self) -> Project | None:
        """The project as it was last read; None before it was."""
        return self._seen

    def use(self, project: Project) -> None:
        """Work in this project from now on."""
        self.close()
        self._seen = project

    @property
    def store(self) -> Store:
        """The workbench's own records."""
        from mlops_workbench.store.engine import Store

        return cast("Store", self._part("workbench.db", lambda project: Store(project.store_url, self.clock)))

    @property
    def tracking(self) -> Tracking:
        """Runs and registered models."""
        return cast("Tracking", self._part("mlflow.db", self._opened_tracking))

    def _opened_tracking(self, project: Project) -> Tracking:
        from mlops_workbench.track import lost_runs
        from mlops_workbench.track.tracking import Tracking

        opened = Tracking(project)
        lost_runs.close(opened)
        return opened

    def _part(self, file: str, make: Callable[[Project], Any]) -> Any:
        """What is opened once. Raises `Conflict` when its file was taken away: what is written then is lost, and in a
        project that was moved or copied: its records name files and processes of the old place."""
        with self._opening:
            project = self.project
            if file not in self._parts:
                require_home(project)
                self._parts[file] = make(project)
            found = _identity(project.state / file)
            known = self._files.setdefault(file, found) if found else self._files.get(file)
            if known != found:
                raise Conflict(
                    f"The records in {project.state} were removed or replaced while they were open here.",
                    "Put them back, or restart this kernel or program to start over.",
                )
            return self._parts[file]

    def close(self) -> None:
        """Give the database connections back."""
        with self._opening:
            if (store := self._parts.get("workbench.db")) is not None:
                store.close()
            self._parts.clear()
            self._files.clear()

    # what names stand for

    def path(self, file: str) -> Path:
        path = Path(file).expanduser()
        return path if path.is_absolute() else self.folder / path

    def frame(self, data: Any, kinds: Mapping[str, Kind] | None = None) -> tuple[pd.DataFrame, str]:
        """A DataFrame and its name, from a variable, a file (read by the kinds of its columns) or a snapshot's
        reference."""
        from mlops_workbench.data import snapshots

        return snapshots.resolve(self.project, self.store, data, self.namespace, kinds)

    def check_variable(self, name: str | None) -> None:
        """Raises `UsageError` for a name that no variable can have."""
        if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
            raise UsageError(f"'{name}' cannot be a variable's name.", "Say a name such as model_2.")

    def bind(self, name: str | None, value: Any) -> None:
        """Make it a variable of the notebook, if a name was asked for. Raises `UsageError` where there is none."""
        if name is None:
            return
        if not isinstance(self.namespace, MutableMapping):
            raise UsageError("There is no notebook whose variable it could become.", "Leave the option out.")
        self.namespace[name] = value

    def version(self, name: str, number: int | None) -> RegisteredVersion:
        """The version asked for (`--version`, `NAME/3`, `NAME@alias`), or the champion. Raises `NotFound`."""
        return self._named(name, number, CHAMPION)

    def stated_version(self, name: str, number: int | None) -> RegisteredVersion:
        """The version asked for, which must be stated: it is not guessed what to change. Raises `UsageError`."""
        return self._named(name, number, None)

    def _named(self, name: str, number: int | None, default: str | None) -> RegisteredVersion:
        asked = reference(name, number)
        if asked.version is not None:
            return self.tracking.version(asked.model, asked.version)
        self.tracking.require_model(asked.model)
        alias = asked.alias or default
        if alias is None:
            raise UsageError(f"Which version of '{name}'?", f"Say which: the option version, or {name}/N.")
        found = self.tracking.alias(asked.model, alias)
        if found is None and alias == CHAMPION:
            raise NotFound(
                f"'{asked.model}' has no champion.",
                f"Promote a version, or name one: `promote {asked.model}/VERSION --why …`.",
            )
        if found is None:
            known = self.tracking.aliases(asked.model)
            raise NotFound(f"'{asked.model}' has no alias '{alias}'.", closest(alias, known))
        return self.tracking.version(asked.model, found)

    def run_of(self, model: Any) -> str | None:
        """The run whose cell made this very object here."""
        known = self.models_made.get(id(model))
        return known[1] if known and known[0]() is model else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none (the records are in a database elsewhere)."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
