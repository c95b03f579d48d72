"""MLflow's client: the connection, and reading through it where `sql_reader` cannot.

URIs are explicit and absolute, nothing phones home. Importing MLflow takes seconds, so it is imported here only when
something is asked of the client.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_workbench.base.errors import InvalidConfig
from mlops_workbench.config.project import Project
from mlops_workbench.store.reader import sqlite_file
from mlops_workbench.track import remote_runs, server, template
from mlops_workbench.track.queries import NameKind
from mlops_workbench.track.reading import RunQuery
from mlops_workbench.track.records import (
    Experiment,
    RegisteredVersion,
    Run,
    metrics_in_order,
    moment,
    own_tags,
    seconds_between,
)

_PAGE = 1000
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of a version, run or alias that is not there."""


class Client:
    """The connection to a project's tracking store through MLflow. It is a `reading.Reader`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._lock = threading.Lock()

    @cached_property
    def mlflow(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small file
        import logging

        import mlflow

        for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment"):
            logging.getLogger(name).setLevel(logging.ERROR)  # migrations line by line are no news to a person
        return mlflow

    @property
    def raw(self) -> Any:
        """The `MlflowClient` itself. Raises `StoreUnavailable` for a server that does not answer."""
        server.require_answer(self.project.tracking_url)
        return self._opened

    @cached_property
    def _opened(self) -> Any:
        """A store that is new is made when it is opened."""
        url = self.project.tracking_url
        file = sqlite_file(url)
        with self._lock:
            new = (
                file is not None and not file.exists() and not template.copy(file, self.project.artifact_root)
            )
            try:
                opened = self.mlflow.MlflowClient(tracking_uri=url, registry_uri=url)
                if file is not None and new:
                    template.keep(file)
                return opened
            except self.mlflow.MlflowException as problem:
                raise InvalidConfig(
                    f"The tracking store cannot be opened: {problem}.", "Check [stores]."
                ) from None
            except ModuleNotFoundError as problem:
                raise InvalidConfig(
                    f"The tracking store {url.partition(':')[0]}:… needs the package '{problem.name}'.",
                    "Install it, or keep runs in SQLite, PostgreSQL or an MLflow server.",
                ) from None

    def point(self) -> None:
        """Make this store MLflow's current one."""
        self.mlflow.set_tracking_uri(self.project.tracking_url)
        self.mlflow.set_registry_uri(self.project.tracking_url)

    def _found(self, ask: Callable[[], Any]) -> Any:
        """The answer; None for what is not there. A store that does not answer is an error."""
        try:
            return ask()
        except self.mlflow.MlflowException as problem:
            if problem.error_code in _ABSENT:
                return None
            raise

    # runs

    def experiment(self, name: str) -> Experiment | None:
        found = self.raw.get_experiment_by_name(name)
        if found is None:
            return None
        return Experiment(str(found.experiment_id), found.artifact_location, own_tags(found.tags))

    def run(self, run_id: str) -> Run | None:
        found = self._found(lambda: self.raw.get_run(run_id))
        return None if found is None else _run(found)

    def newest_run(self, experiment: str, name: str) -> Run | None:
        if {"'", '"'} & set(name):  # MLflow's filter language has no escape for quotes
            return None
        found = self.raw.search_runs(
            [experiment],
            filter_string=f"attributes.run_name = '{name}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return _run(found[0]) if found else None

    def find_runs(self, query: RunQuery) -> list[Run]:
        runs = list(self._all_runs(query.experiment))
        found = remote_runs.chosen(runs, query.tests, query.kind, query.key, query.ascending, query.limit)
        return [_run(run) for run in found]

    def running(self, experiment: str) -> list[Run]:
        found = self.raw.search_runs(
            [experiment], filter_string="attributes.status = 'RUNNING'", max_results=_PAGE
        )
        return [_run(run) for run in found]

    def has(self, experiment: str, kind: NameKind, key: str) -> bool:
        return any(key in remote_runs.kept(run, kind) for run in self._all_runs(experiment))

    def artifact_location(self, run_id: str) -> str | None:
        found = self._found(lambda: self.raw.get_run(run_id))
        return None if found is None else str(found.info.artifact_uri)

    def _all_runs(self, experiment: str) -> Iterator[Any]:
        """Every run, newest first."""
        order = ["attributes.start_time DESC"]
        return _pages(
            lambda token: self.raw.search_runs(
                [experiment], order_by=order, max_results=_PAGE, page_token=token
            )
        )

    # artifacts that are not on this machine

    def artifact(self, run_id: str, file: str) -> bytes | None:
        parent = str(Path(file).parent)
        listed = self.raw.list_artifacts(run_id, None if parent == "." else parent)
        if file not in {artifact.path for artifact in listed}:
            return None
        with tempfile.TemporaryDirectory() as scratch:
            return Path(self.raw.download_artifacts(run_id, file, scratch)).read_bytes()

    def artifact_paths(self, run_id: str, folder: str | None = None) -> Iterator[str]:
        for found in self.raw.list_artifacts(run_id, folder):
            yield from self.artifact_paths(run_id, found.path) if found.is_dir else (found.path,)

    def download(self, uri: str, folder: Path) -> Path:
        """What is at an artifact address, below `folder`. Raises what MLflow raises."""
        return Path(
            self.mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(folder), tracking_uri=self.project.tracking_url
            )
        )

    # registry

    def model_names(self) -> list[str]:
        return sorted(model.name for model in self._models())

    def versions(self, name: str | None = None) -> list[RegisteredVersion]:
        aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
        for model, pointers in self.aliases().items():
            for alias, number in pointers.items():
                aliases[model, number].append(alias)
        found = [registered(v, aliases[v.name, int(v.version)]) for v in self._versions(name)]
        return sorted(found, key=lambda version: (version.name, -version.version))

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        found = self._found(lambda: self.raw.get_model_version(name, str(number)))
        return None if found is None else registered(found, found.aliases)

    def version_numbers(self) -> Mapping[str, set[int]]:
        numbers: dict[str, set[int]] = defaultdict(set)
        for version in self._versions():
            numbers[version.name].add(int(version.version))
        return numbers

    def aliases(self) -> Mapping[str, Mapping[str, int]]:
        return {
            model.name: {alias: int(number) for alias, number in (model.aliases or {}).items()}
            for model in self._models()
        }

    def model_location(self, model_id: str) -> str | None:
        found = self._found(lambda: self.raw.get_logged_model(model_id))
        return None if found is None else str(found.artifact_location)

    def _models(self) -> Iterator[Any]:
        return _pages(lambda token: self.raw.search_registered_models(max_results=_PAGE, page_token=token))

    def _versions(self, name: str | None = None) -> Iterator[Any]:
        where = "" if name is None else f"name = '{name}'"
        return _pages(
            lambda token: self.raw.search_model_versions(where, max_results=_PAGE, page_token=token)
        )


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _run(run: Any) -> Run:
    info, tags = run.info, own_tags(run.data.tags)
    return Run(
        id=info.run_id,
        name=info.run_name or "",
        status=info.status.lower(),
        started=moment(info.start_time),
        seconds=seconds_between(info.start_time, info.end_time),
        metrics=metrics_in_order(run.data.metrics, tags),
        params=dict(run.data.params),
        tags=tags,
    )


def registered(version: Any, aliases: Sequence[str]) -> RegisteredVersion:
    """MLflow's version as ours."""
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        source=version.source,
        run_id=version.run_id or "",
        created=moment(version.creation_timestamp),
        aliases=tuple(sorted(aliases)),
        tags=own_tags(version.tags),
    )


def let_go(url: str) -> None:
    """Close the connections to a database that MLflow keeps until the process ends: the file was, or is, replaced."""
    if "mlflow" not in sys.modules:
        return
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    for owner in (Registry, Runs):
        for attribute in ("_engine_map", "_db_uri_sql_alchemy_engine_map"):
            if engine := getattr(owner, attribute, {}).get(url):
                engine.dispose()
