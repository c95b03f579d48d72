"""Reads MLflow's own tables, without MLflow: its import takes ten times as long as a reading verb may take.

Its tables are no promised interface. So they are read only at a schema revision in `REVISIONS`, for which a test
compares every value with what MLflow's client says; at any other the client answers.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from mlops_workbench.store.engine import open_engine
from mlops_workbench.store.reader import StoreReader, numbered, sqlite_file
from mlops_workbench.track import ranking
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

REVISIONS = frozenset({"dc11669786a5"})
"""`alembic_version` of the schemas that this module reads: MLflow 3.17"""

_PAGE = 500
"""runs that one statement names by their ids"""

_NO_PROMPT = """
    name NOT IN (SELECT name FROM {tags} WHERE workspace = 'default'
                 AND key = 'mlflow.prompt.is_prompt' AND value = 'true')
"""
_MODELS = f"""
    SELECT name FROM registered_models
    WHERE workspace = 'default' AND {_NO_PROMPT.format(tags="registered_model_tags")}
"""
_VERSIONS = f"""
    FROM model_versions WHERE workspace = 'default' AND current_stage <> 'Deleted_Internal'
    AND {_NO_PROMPT.format(tags="model_version_tags")}
"""


def reader(url: str) -> SqlReader | None:
    """A reader for a store that is read here; None for servers, other databases, and schemas that are not known.

    A store that was not made yet is read as an empty one.
    """
    postgres = url.startswith(("postgresql", "postgres:"))
    several = os.environ.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("true", "1")
    if several or not (postgres or sqlite_file(url)):
        return None
    found = SqlReader(url)
    return None if found.revision not in {*REVISIONS, None} else found


class SqlReader:
    """See `reading.Reader`, which it is."""

    def __init__(self, url: str) -> None:
        self._reader = StoreReader(url, lambda: open_engine(url, pooled=False))
        self.revision: str | None = None
        """of the schema; None while there is no store"""
        if self._reader.has_table("alembic_version"):
            found = self._reader.tuples("SELECT version_num FROM alembic_version")
            self.revision = str(found[0][0]) if found else None

    def _ask(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return [] if self.revision is None else self._reader.tuples(sql, values)

    # runs

    def experiment(self, name: str) -> Experiment | None:
        sql = """
            SELECT experiment_id, artifact_location FROM experiments
            WHERE name = :name AND workspace = 'default'
        """
        for number, location in self._ask(sql, {"name": name}):
            tags = self._ask(
                "SELECT key, value FROM experiment_tags WHERE experiment_id = :number", {"number": number}
            )
            return Experiment(str(number), location, own_tags(dict(tags)))
        return None

    def run(self, run_id: str) -> Run | None:
        return next(iter(self._runs([run_id])), None)

    def newest_run(self, experiment: str, name: str) -> Run | None:
        named = ranking.RunTest("attribute", "name", "=", name)
        return next(
            iter(self.find_runs(RunQuery(experiment, [named], "attribute", "started", False, 1))), None
        )

    def find_runs(self, query: RunQuery) -> list[Run]:
        order = ranking.find(
            self._ask,
            query.experiment,
            query.tests,
            query.kind,
            query.key,
            query.ascending,
            query.limit,
        )
        return [
            run for start in range(0, len(order), _PAGE) for run in self._runs(order[start : start + _PAGE])
        ]

    def running(self, experiment: str) -> list[Run]:
        sql = """
            SELECT run_uuid FROM runs
            WHERE experiment_id = :experiment AND status = 'RUNNING' AND lifecycle_stage = 'active'
        """
        return self._runs(run for (run,) in self._ask(sql, {"experiment": int(experiment)}))

    def has(self, experiment: str, kind: NameKind, key: str) -> bool:
        return ranking.exists(self._ask, experiment, kind, key)

    def artifact_location(self, run_id: str) -> str | None:
        found = self._ask("SELECT artifact_uri FROM runs WHERE run_uuid = :run", {"run": run_id})
        return str(found[0][0]) if found else None

    def _runs(self, ids: Iterable[str]) -> list[Run]:
        """Runs in the order of their ids; one that was deleted for good in between is left out."""
        ids = list(ids)
        names, values = numbered("run", ids)
        if not ids:
            return []
        sql = f"SELECT run_uuid, name, status, start_time, end_time FROM runs WHERE run_uuid IN ({names})"
        rows = {row[0]: row for row in self._ask(sql, values)}
        kept: dict[str, dict[str, dict[str, Any]]] = {}
        for table, value in (
            ("latest_metrics", "CASE WHEN is_nan THEN NULL ELSE value END"),
            ("params", "value"),
            ("tags", "value"),
        ):
            found: dict[str, dict[str, Any]] = defaultdict(dict)
            sql = f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ({names})"
            for run, key, content in self._ask(sql, values):
                found[run][key] = content
            kept[table] = found
        return [
            _run(rows[run], kept["latest_metrics"][run], kept["params"][run], kept["tags"][run])
            for run in ids
            if run in rows
        ]

    # registry

    def model_names(self) -> list[str]:
        return sorted(name for (name,) in self._ask(_MODELS))

    def versions(self, name: str | None = None) -> list[RegisteredVersion]:
        return self._versions("" if name is None else "AND name = :name", {"name": name})

    def version(self, name: str, number: int) -> RegisteredVersion | None:
        found = self._versions("AND name = :name AND version = :number", {"name": name, "number": number})
        return next(iter(found), None)

    def _versions(self, which: str, values: Mapping[str, Any]) -> list[RegisteredVersion]:
        values = {key: value for key, value in values.items() if value is not None}
        tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        sql = f"SELECT name, version, key, value FROM model_version_tags WHERE workspace = 'default' {which}"
        for name, number, key, value in self._ask(sql, values):
            tags[name, number][key] = value
        aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
        for name, pointers in self.aliases().items():
            for alias, number in pointers.items():
                aliases[name, number].append(alias)
        sql = f"SELECT name, version, source, run_id, creation_time {_VERSIONS} {which}"
        found = [
            RegisteredVersion(
                name=name,
                version=number,
                source=source,
                run_id=run or "",
                created=moment(created),
                aliases=tuple(sorted(aliases[name, number])),
                tags=own_tags(tags[name, number]),
            )
            for name, number, source, run, created in self._ask(sql, values)
        ]
        return sorted(found, key=lambda version: (version.name, -version.version))

    def version_numbers(self) -> Mapping[str, set[int]]:
        numbers: dict[str, set[int]] = defaultdict(set)
        for name, number in self._ask(f"SELECT name, version {_VERSIONS}"):
            numbers[name].add(number)
        return numbers

    def aliases(self) -> Mapping[str, Mapping[str, int]]:
        found: dict[str, dict[str, int]] = defaultdict(dict)
        sql = "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = 'default'"
        for name, alias, number in self._ask(sql):
            found[name][alias] = number
        return found

    def model_location(self, model_id: str) -> str | None:
        sql = "SELECT artifact_location FROM logged_models WHERE model_id = :id AND lifecycle_stage <> 'deleted'"
        found = self._ask(sql, {"id": model_id})
        return str(found[0][0]) if found else None


def _run(
    row: tuple[Any, ...],
    metrics: Mapping[str, float | None],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> Run:
    run_id, name, status, started, ended = row
    figures = {key: float("nan") if value is None else value for key, value in metrics.items()}
    own = own_tags(tags)
    return Run(
        id=run_id,
        name=name or tags.get("mlflow.runName") or "",
        status=status.lower(),
        started=moment(started),
        seconds=seconds_between(started, ended),
        metrics=metrics_in_order(figures, own),
        params=dict(params),
        tags=own,
    )
