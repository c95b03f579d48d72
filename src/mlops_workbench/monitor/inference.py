"""The inference log: what a model was asked and answered, and the labels that came later.

The serving runtime writes `predictions_<slug>`; labels are kept beside it in `labels_<slug>`. Tables are read
by name, so that whatever columns the runtime added are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from mlops_workbench.base import damage
from mlops_workbench.base.errors import (
    Conflict,
    InvalidConfig,
    InvalidData,
    MissingDependency,
    NotFound,
    UsageError,
    closest,
)
from mlops_workbench.serving.tables import SHADOW, feature_columns, slug, table_name
from mlops_workbench.store.reader import without_password

Moment = datetime | float
"""a time (without a zone: UTC) or Unix seconds"""

CHUNK = 50_000
"""rows fetched at once: bounds how many Python objects exist beside the columns"""


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which logged rows of a model are meant."""

    versions: Sequence[str | int] | None = None
    """None: all"""
    roles: Sequence[str] | None = None
    """None: what was answered, that is every role except "shadow\""""
    since: Moment | None = None
    """included"""
    until: Moment | None = None
    """not included"""
    labelled: bool = False
    """only rows that have a label"""


EVERYTHING = LogSelection()
FACTS = ("request_id", "row_index", "at", "model_version", "prediction", "score")
"""columns of the log that are no features, as they are read"""


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """Logged rows of a model, oldest first; the two frames go together, row by row.

    `features` under their own names; `facts`: request_id, row_index, at (UTC), model_version, prediction, score, and
    label, missing where none has come yet. A feature may have any of these names.
    """

    features: pd.DataFrame
    facts: pd.DataFrame

    def __len__(self) -> int:
        return len(self.facts)


def read(
    url: str,
    model: str,
    selection: LogSelection = EVERYTHING,
    *,
    features: Sequence[str] | None = None,
    limit: int | None = None,
    datetimes: Sequence[str] = (),
) -> LoggedRows:
    """Rows of the log, with what was labelled of them.

    `features` defaults to all logged; `limit` takes the newest rows; `datetimes` names features that are stored as
    ISO 8601 text and shall be times again. Raises NotFound if nothing of this model has been logged, InvalidData for
    a feature that is not in the log.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The 'limit' must be at least 1. Got {limit} instead.")
    with opened(url) as engine:
        table = predictions_table(engine, model)
        wanted = logged_features(table, features)
        labels = labels_table(model, table.c.prediction.type)
        labelled = sa.inspect(engine).has_table(labels.name)
        label = labels.c.label if labelled else sa.null().cast(labels.c.label.type).label("label")
        columns = [*(table.c[n] for n in wanted.values()), *(table.c[n] for n in FACTS), label]
        same = (labels.c.request_id == table.c.request_id) & (labels.c.row_index == table.c.row_index)
        source = table.outerjoin(labels, same) if labelled else table
        query = within(sa.select(*columns).select_from(source), table, selection)
        if selection.labelled:
            query = query.where(label.is_not(None) if labelled else sa.false())
        order = (table.c.at, table.c.request_id, table.c.row_index)
        if limit is None:
            found = _fetch(engine, query.order_by(*order), columns)
        else:
            found = [
                v[::-1] for v in _fetch(engine, query.order_by(*map(sa.desc, order)).limit(limit), columns)
            ]
    logged = pd.DataFrame(dict(zip(wanted, found, strict=False)), copy=False)
    for name in datetimes:
        logged[name] = pd.to_datetime(logged[name], format="ISO8601", utc=True)
    facts = pd.DataFrame(dict(zip([*FACTS, "label"], found[len(wanted) :], strict=True)), copy=False)
    facts["at"] = pd.to_datetime(facts["at"], unit="s", utc=True)
    return LoggedRows(logged, facts)


def versions(url: str, model: str) -> set[str]:
    """Numbers of the versions that have answered. Raises NotFound if nothing of this model has been logged."""
    with opened(url) as engine:
        table = predictions_table(engine, model)
        with engine.connect() as connection:
            return set(connection.execute(sa.select(table.c.model_version).distinct()).scalars())


def count(url: str, model: str, selection: LogSelection = EVERYTHING) -> int:
    """Logged rows; 0 if nothing of this model has been logged."""
    with opened(url) as engine:
        try:
            table = predictions_table(engine, model)
        except NotFound:
            return 0
        query = within(sa.select(sa.func.count()).select_from(table), table, selection)
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())


def first(url: str, model: str, version: str) -> float:
    """When a version's first logged row was answered, in Unix seconds. Raises NotFound if none was."""
    with opened(url) as engine:
        table = predictions_table(engine, model)
        query = sa.select(sa.func.min(table.c.at)).where(table.c.model_version == version)
        with engine.connect() as connection:
            found = connection.execute(query).scalar()
    if found is None:
        raise NotFound(
            f"No prediction of '{model}' version {version} is logged.", "Serve it and send requests first."
        )
    return float(found)


def labels_of(url: str, model: str) -> bool:
    """Whether any label of the model has come."""
    with opened(url) as engine:
        return sa.inspect(engine).has_table(labels_table(model, sa.Text()).name)


@contextmanager
def opened(url: str, *, make: bool = False) -> Iterator[sa.Engine]:
    """An engine for one call. A SQLite file that does not exist is not made by reading it; `make`: it is made."""
    try:
        parsed = sa.engine.make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        sqlite_file = parsed.database if parsed.get_backend_name() == "sqlite" else None
        if sqlite_file and make:
            Path(sqlite_file).parent.mkdir(parents=True, exist_ok=True)
        elif sqlite_file and not Path(sqlite_file).exists():
            parsed = parsed.set(database=":memory:")
        options = {"connect_args": {"timeout": 30}} if sqlite_file else {"pool_pre_ping": True}
        engine = sa.create_engine(parsed, **options)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as problem:
        raise InvalidConfig(f"The URL of the inference log cannot be used: {problem}.") from None
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"The inference log needs the package '{problem.name}'.", "Install mlops-workbench[postgres]."
        ) from None
    try:
        yield engine
    except sa.exc.OperationalError as problem:
        if damage.is_damage(problem):
            raise
        said = " ".join(str(problem.orig).split())[:200]
        raise Conflict(
            f"The inference log {without_password(url)} cannot be used: {said}.",
            "Check [stores] in mlops.toml, and whether the database answers.",
        ) from None
    finally:
        engine.dispose()


def predictions_table(engine: sa.Engine, model: str) -> sa.Table:
    name = table_name(model)
    try:
        return sa.Table(name, sa.MetaData(), autoload_with=engine)
    except sa.exc.NoSuchTableError:
        raise NotFound(
            f"No prediction of '{model}' has been logged yet.", "Serve the model and send it requests first."
        ) from None


def labels_table(model: str, kind: Any) -> sa.Table:
    return sa.Table(
        f"labels_{slug(model)}",
        sa.MetaData(),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("row_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", kind, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("origin", sa.Text),
        sqlite_with_rowid=False,
    )


def logged_features(table: sa.Table, features: Sequence[str] | None) -> dict[str, str]:
    """Feature name → column of the log; None: all. Raises InvalidData for one that is not logged."""
    logged = [column.name for column in table.columns if column.name.startswith("x_")]
    if features is None:
        return {name.removeprefix("x_"): name for name in logged}
    wanted = feature_columns(features)
    absent = [name for name, column in wanted.items() if column not in table.c]
    if absent:
        known = [name.removeprefix("x_") for name in logged]
        raise InvalidData(f"The log has no feature '{absent[0]}'.", closest(absent[0], known))
    return wanted


def within(query: sa.Select[Any], table: sa.Table, selection: LogSelection) -> sa.Select[Any]:
    """Of the selected rows alone."""
    query = query.where(has_role(table, selection.roles))
    if selection.versions is not None:
        query = query.where(table.c.model_version.in_([str(version) for version in selection.versions]))
    if selection.since is not None:
        query = query.where(table.c.at >= _seconds(selection.since))
    if selection.until is not None:
        query = query.where(table.c.at < _seconds(selection.until))
    return query


def has_role(table: sa.Table, roles: Sequence[str] | None) -> sa.ColumnElement[bool]:
    """Rows of these roles; None: those whose prediction was answered, of which a request has one each row."""
    return table.c.role != SHADOW if roles is None else table.c.role.in_(roles)


def _seconds(moment: Moment) -> float:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)


def _fetch(engine: sa.Engine, query: sa.Select[Any], columns: Sequence[Any]) -> list[Any]:
    """One array a column, by the column's type. Rows come in chunks and leave as arrays."""
    chunks: list[list[Any]] = []
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(query)
        while rows := result.fetchmany(CHUNK):
            chunks.append([_array(v, c.type) for v, c in zip(zip(*rows, strict=True), columns, strict=True)])
    if not chunks:
        return [_array((), column.type) for column in columns]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _array(values: Sequence[Any], kind: Any) -> Any:
    if isinstance(kind, sa.Float | sa.Numeric):
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if isinstance(kind, sa.Integer) and None not in values:
        return np.array(values, dtype=np.int64)
    if isinstance(kind, sa.Integer):
        return np.array(values, dtype=np.float64)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
