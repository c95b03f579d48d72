"""The project's experiment and registry: read fast, written through MLflow.

Reading makes nothing: a project whose store does not exist yet reads as an empty one. `sql_reader` answers where it
knows the store's schema, else MLflow's client does, which costs seconds of import.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import NotFound, closest
from mlops_workbench.config.project import Project
from mlops_workbench.manifest import FILE_NAME
from mlops_workbench.store.reader import sqlite_file
from mlops_workbench.track import queries, sql_reader, template, writing
from mlops_workbench.track.client import Client
from mlops_workbench.track.home import require_place
from mlops_workbench.track.reading import RunQuery, TrackingReader
from mlops_workbench.track.records import PREFIX, Experiment, RegisteredVersion, Run, local_path

_UPLOADING = ".artifact.uploading."
"""what MLflow calls a file that is being written"""


class Tracking:
    """One project's runs and registered models."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._client = Client(project)
        self._known_reader: TrackingReader | None = None
        self._making = threading.Lock()

    @property
    def client(self) -> Any:
        """MLflow's own client."""
        return self._client.raw

    @property
    def _reader(self) -> TrackingReader:
        if self._known_reader is not None:
            return self._known_reader
        found = sql_reader.reader(self.project.tracking_url)
        if found is not None and found.revision is None:
            return found  # there is no store yet: the next one to ask may find one
        self._known_reader = found or self._client
        return self._known_reader

    # the experiment

    @cached_property
    def experiment_id(self) -> str:
        """For writing: made if it is not there."""
        with self._making:
            found = self.experiment
            if found is not None:
                return found.id
            try:
                made: str = self.client.create_experiment(
                    self.project.name, artifact_location=self.project.artifact_root
                )
                return made
            except self._client.mlflow.MlflowException:  # another process made it meanwhile
                found = self.experiment
                if found is None:
                    raise
                return found.id

    def prepare(self) -> None:
        """Make the store if there is none. Raises `Conflict` when the project was moved."""
        file = sqlite_file(self.project.tracking_url)
        if file is None:
            _ = self.experiment_id
        elif not file.exists() and not template.copy(file, self.project.artifact_root):
            _ = self.client
        _ = self.experiment

    @property
    def experiment(self) -> Experiment | None:
        """None until the first run or version. Raises `Conflict` when the project was moved: MLflow names artifacts by
        absolute paths."""
        found = self._reader.experiment(self.project.name)
        if found is not None:
            require_place(self.project, found.artifact_location)
        return found

    # runs

    def start(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager[str]:
        """An active MLflow run, so that `mlflow.log_*` inside lands in it; failed when the body raises.

        A run that the person has open becomes its parent and is active again afterwards, in the store that it is in.
        """
        return writing.start_run(self._client, self.experiment_id, name, tags)

    def active(self) -> str | None:
        """The run of this project that is active here: of a tracked cell or script. MLflow is not loaded for it."""
        if "mlflow" not in sys.modules:
            return None
        mlflow = self._client.mlflow
        run = mlflow.active_run()
        if run is None or mlflow.get_tracking_uri() != self.project.tracking_url:
            return None
        return str(run.info.run_id) if run.info.experiment_id == self.experiment_id else None

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        series: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, str | bytes] | None = None,
    ) -> None:
        """Add to a run in batches. `series`: values by step; one in `metrics` too counts as the step after the last.

        `files`: path → content, kept as artifacts.
        """
        writing.log(
            self._client,
            run_id,
            params=params or {},
            metrics=metrics or {},
            series=series or {},
            tags=tags or {},
            files=files or {},
        )

    def runs(
        self,
        limit: int,
        *,
        sort: str = "started",
        ascending: bool = False,
        where: str = "",
        name: str | None = None,
    ) -> tuple[Run, ...]:
        """Runs that fulfil the condition (see `queries`), sorted; those without the value come last.

        Raises `UsageError` for a condition that cannot be read, `NotFound` for a name that no run has.
        """
        conditions = queries.parse(where) if where.strip() else ()
        if name is not None:
            conditions = (*conditions, queries.named(name))
        experiment = self.experiment
        tests = [queries.resolve(c, lambda n: self._kind_of(experiment, n), PREFIX) for c in conditions]
        kind, key = self._kind_of(experiment, sort)
        if experiment is None:
            return ()
        key = PREFIX + key if kind == "tag" else key
        return tuple(self._reader.find_runs(RunQuery(experiment.id, tests, kind, key, ascending, limit)))

    def running(self) -> tuple[Run, ...]:
        """Those that have not ended."""
        experiment = self.experiment
        if experiment is None:
            return ()
        return tuple(self._reader.running(experiment.id))

    def end_lost(self, run_id: str, why: str) -> None:
        """A run whose process is gone. When it ended nobody knows: none is written."""
        self.client.set_tag(run_id, PREFIX + "ended", why)
        self.client.update_run(run_id, status="KILLED")

    def require_metric(self, name: str) -> None:
        """Raises `NotFound` when no run has a metric, parameter or tag of that name."""
        self._kind_of(self.experiment, name)

    def _kind_of(self, experiment: Experiment | None, name: str) -> tuple[queries.NameKind, str]:
        """What a name stands for in this experiment. Raises `NotFound` when no run has it."""
        kind, bare = queries.split(name)
        if kind == "attribute":
            return kind, bare
        kept: tuple[tuple[queries.NameKind, str], ...] = (("metric", ""), ("param", ""), ("tag", PREFIX))
        for each, prefix in kept:
            if experiment and kind in (None, each) and self._reader.has(experiment.id, each, prefix + bare):
                return each, bare
        known = {n for run in self._newest(experiment) for n in (*run.metrics, *run.params)}
        raise NotFound(
            f"No run has a metric, parameter or tag '{name}'.",
            closest(name, sorted(known | set(queries.ATTRIBUTES)))
            or "Run something: `run FILE`, or a cell below %%mlops run.",
        )

    def _newest(self, experiment: Experiment | None) -> list[Run]:
        if experiment is None:
            return []
        return self._reader.find_runs(RunQuery(experiment.id, (), "attribute", "started", False, 50))

    def run(self, name_or_id: str) -> Run:
        """The run of that id, or the newest of that name. Raises `NotFound`."""
        found = self._reader.run(name_or_id) if len(name_or_id) == 32 else None
        experiment = self.experiment
        if found is None and experiment is not None:  # a name may be as long as an id
            found = self._reader.newest_run(experiment.id, name_or_id)
        if found is None:
            known = [run.name for run in self._newest(experiment)]
            raise NotFound(f"There is no run '{name_or_id}'.", closest(name_or_id, known))
        return found

    def text(self, run_id: str, file: str) -> str:
        """A text artifact of a run; empty if it has none of that name."""
        content = self.content(run_id, file)
        return "" if content is None else content.decode("utf-8", "replace")

    def content(self, run_id: str, file: str) -> bytes | None:
        """An artifact of a run; None if it has none of that name. Raises `NotFound` without such a run."""
        folder = self._artifacts(run_id)
        if folder is None:
            return self._client.artifact(run_id, file)
        return (folder / file).read_bytes() if (folder / file).is_file() else None

    def files(self, run_id: str) -> tuple[str, ...]:
        """Paths of all files that a run kept, sorted. Raises `NotFound` without such a run."""
        folder = self._artifacts(run_id)
        if folder is None:
            return tuple(sorted(self._client.artifact_paths(run_id)))
        kept = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(_UPLOADING))
        return tuple(sorted(path.relative_to(folder).as_posix() for path in kept))

    def _artifacts(self, run_id: str) -> Path | None:
        """The folder of a run's files on this machine; None when they are elsewhere."""
        location = self._reader.artifact_location(run_id)
        if location is None:
            raise NotFound(f"There is no run '{run_id}'.")
        return local_path(location)

    # models

    def keep_model(self, name: str, run_id: str | None, save: Callable[[Path, str], None]) -> str:
        """Keep what `save(folder, model_id)` writes as a logged model; returns `models:/m-…`.

        The folder is complete before it is logged, and the model is marked ready only then.
        """
        return writing.keep_model(self._client, self.experiment_id, name, run_id, save)

    def made_by(self, uri: str) -> str | None:
        """The run that logged the model of a `runs:/…` or `models:/…` address. Raises `NotFound`."""
        return writing.made_by(self._client, uri)

    def fetch(self, uri: str, scratch: Path) -> Path:
        """The files of a logged model, below `scratch`. Raises `NotFound`."""
        return writing.fetch(self._client, uri, scratch)

    # registry: read

    def model_names(self) -> list[str]:
        return self._reader.model_names()

    def require_model(self, name: str) -> None:
        """Raises `NotFound` if nothing is registered under that name."""
        known = self.model_names()
        if name not in known:
            raise NotFound(
                f"There is no model '{name}'.",
                closest(name, known) or "Register one first.",
            )

    def versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Versions, newest first. Raises `NotFound` when `name` is given and is not registered."""
        if name is not None:
            self.require_model(name)
        return tuple(self._reader.versions(name))

    def version(self, name: str, number: int) -> RegisteredVersion:
        """Raises `NotFound` naming the versions there are."""
        found = self._reader.version(name, number)
        if found is None:
            known = [str(version.version) for version in self.versions(name)]
            raise NotFound(f"The model '{name}' has no version {number}.", closest(str(number), known))
        return found

    def alias(self, name: str, alias: str) -> int | None:
        """The version an alias points at, or None. `latest` is the newest version, as MLflow has it."""
        if alias.lower() == "latest":
            return max(self.version_numbers(name), default=None)
        return self.aliases(name).get(alias)

    def aliases(self, name: str) -> dict[str, int]:
        """Every alias of a model and the version it points at; empty for a model that is not there."""
        return dict(self.all_aliases().get(name, {}))

    def all_aliases(self) -> Mapping[str, Mapping[str, int]]:
        """The aliases of every model that has one."""
        return self._reader.aliases()

    def version_numbers(self, name: str) -> set[int]:
        return set(self.all_version_numbers().get(name, ()))

    def all_version_numbers(self) -> Mapping[str, set[int]]:
        """The numbers of the versions that are there, by model."""
        return self._reader.version_numbers()

    def has_version(self, name: str, number: int) -> bool:
        return number in self.version_numbers(name)

    def version_from(self, name: str, source: str) -> int | None:
        """The version that was made of this source, or None."""
        return next((v.version for v in self._reader.versions(name) if v.source == source), None)

    def noted_ledger(self) -> tuple[int, str] | None:
        """Number and hash of the newest ledger entry, as this store remembers it."""
        found = self.experiment
        number, _, digest = (found.tags.get("ledger", "") if found else "").partition(":")
        return (int(number), digest) if number.isdigit() else None

    def folder(self, version: RegisteredVersion) -> Path:
        """The version's model folder on this machine; fetched once when artifacts live elsewhere.

        Raises `NotFound` when the artifacts or our manifest are gone.
        """
        kind, _, model_id = version.source.partition("models:/")
        if kind or not model_id.startswith("m-"):
            raise NotFound(
                f"Version {version.version} of '{version.name}' was not registered by the workbench "
                f"(it comes from {version.source}).",
                "Register the model with the workbench.",
            )
        location = self._reader.model_location(model_id)
        if location is None:
            raise NotFound(
                f"The model of version {version.version} of '{version.name}' was deleted.",
                "Register it again.",
            )
        path = local_path(location) or self._fetched(model_id, location)
        if not (path / FILE_NAME).is_file():
            _ = self.experiment  # says so when the project was moved
            raise NotFound(
                f"Version {version.version} of '{version.name}' has no {FILE_NAME} in {path}.",
                "Register it again.",
            )
        return path

    def _fetched(self, model_id: str, location: str) -> Path:
        path = self.project.folder("cache", "models") / model_id
        if not (path / FILE_NAME).is_file():
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                self._client.download(location, Path(scratch))
                holder = next(p.parent for p in Path(scratch).rglob(FILE_NAME))
                holder.rename(path)
        return path

    # registry: written

    def create_version(
        self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> RegisteredVersion:
        return writing.create_version(self._client, name, source, run_id, tags)

    def tag_version(self, name: str, number: int, key: str, value: str) -> None:
        self.client.set_model_version_tag(name, str(number), PREFIX + key, value)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self.client.set_registered_model_alias(name, alias, str(version))

    def remove_alias(self, name: str, alias: str) -> None:
        self.client.delete_registered_model_alias(name, alias)

    def delete_version(self, name: str, number: int) -> None:
        """The files stay: `mlflow gc` removes them."""
        self.client.delete_model_version(name, str(number))

    def note_ledger(self, number: int, digest: str) -> None:
        """Remember the newest ledger entry here too."""
        writing.tag_experiment(self._client, self.experiment_id, "ledger", f"{number}:{digest}")
