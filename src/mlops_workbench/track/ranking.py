"""Which runs, in which order: asked of MLflow's tables in one question, with bound values.

Its own search sorts 10,000 runs by a metric in seconds, sorts parameters as texts, and knows no duration. Only
`runs`, `params`, `tags` and `latest_metrics` are read, which are MLflow's oldest; the runs themselves come through
its API, by their ids.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    case,
    create_engine,
    func,
    select,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

ENOUGH = 200
"""runs from which on the planner's statistics matter"""

_metadata = MetaData()
_runs = Table(
    "runs",
    _metadata,
    Column("run_uuid", String, primary_key=True),
    Column("experiment_id", Integer),
    Column("lifecycle_stage", String),
    Column("name", String),
    Column("status", String),
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
)


def _keyed(name: str, value: Any, *more: Any) -> Table:
    key, run = Column("key", String), Column("run_uuid", String)
    return Table(name, _metadata, key, Column("value", value), run, *more)


_KEPT = {
    "metric": _keyed("latest_metrics", Double, Column("is_nan", Boolean)),
    "param": _keyed("params", String),
    "tag": _keyed("tags", String),
}
_ATTRIBUTES = {"started": _runs.c.start_time, "name": _runs.c.name, "status": _runs.c.status}
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _connect(url: str) -> Connection:
    return create_engine(url, poolclass=NullPool).connect()


def _mine(experiment: str) -> Any:
    return (_runs.c.experiment_id == int(experiment)) & (_runs.c.lifecycle_stage == "active")


def exists(url: str, experiment: str, kind: str, name: str) -> bool:
    """Whether a run of this experiment has a metric, parameter or tag of that name."""
    kept = _KEPT[kind]
    statement = (
        select(kept.c.run_uuid)
        .join(_runs, _runs.c.run_uuid == kept.c.run_uuid)
        .where(kept.c.key == name, _mine(experiment))
        .limit(1)
    )
    with _connect(url) as connection:
        return connection.execute(statement).first() is not None


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison that a run must fulfil. `kind`: metric, param, tag or attribute."""

    kind: str
    key: str
    operator: str
    value: str | float


def find(
    url: str, experiment: str, tests: Sequence[Test], kind: str, key: str, ascending: bool, limit: int
) -> list[str]:
    """Ids of the runs that fulfil all, in order: parameters and tags as numbers where they are. The newest first
    among equals; last those that have none of it."""
    where = [_mine(experiment), *map(_holds, tests)]
    newest = _runs.c.start_time.desc()
    with _connect(url) as connection:
        if kind in ("param", "tag"):
            kept = _KEPT[kind]
            on = (kept.c.run_uuid == _runs.c.run_uuid) & (kept.c.key == key)
            rows = connection.execute(
                select(_runs.c.run_uuid, kept.c.value)
                .join(kept, on, isouter=True)
                .where(*where)
                .order_by(newest)
            ).all()
            have = [(run, comparable(value)) for run, value in rows if value is not None]
            have.sort(key=lambda pair: pair[1], reverse=not ascending)  # stable: also when it is reversed
            return [*(run for run, _ in have), *(run for run, value in rows if value is None)][:limit]
        statement = select(_runs.c.run_uuid)
        if kind == "metric":
            kept = _KEPT["metric"]
            on = (kept.c.run_uuid == _runs.c.run_uuid) & (kept.c.key == key)
            statement = statement.join(kept, on, isouter=True)
            figure: Any = case((kept.c.is_nan, None), else_=kept.c.value)
        else:
            figure = _runs.c.end_time - _runs.c.start_time if key == "seconds" else _ATTRIBUTES[key]
        order = (figure.is_(None), figure.asc() if ascending else figure.desc(), newest)
        return list(connection.execute(statement.where(*where).order_by(*order).limit(limit)).scalars())


def _holds(test: Test) -> Any:
    if test.kind == "attribute":
        return _compared(_ATTRIBUTES[test.key], test)
    kept = _KEPT[test.kind]
    fulfilled = _compared(kept.c.value, test)
    if test.kind == "metric":
        fulfilled = fulfilled & ~kept.c.is_nan
    return _runs.c.run_uuid.in_(select(kept.c.run_uuid).where(kept.c.key == test.key, fulfilled))


def _compared(column: Any, test: Test) -> Any:
    if test.operator == "like":
        return column.like(test.value)
    return SIGNS[test.operator](column, test.value)


def comparable(value: Any) -> tuple[int, float, str]:
    """Numbers below texts; numbers by size, texts by the alphabet."""
    try:
        number = float(value)
    except ValueError:
        return 1, 0.0, str(value)
    return (0, number, "") if number == number else (1, 0.0, str(value))


def tune(url: str) -> None:
    """Let SQLite count its tables anew when there are twice as many runs as when it last did.

    Without its counts MLflow's own search by a metric takes seconds among 10,000. PostgreSQL does it itself.
    """
    if not url.startswith("sqlite"):
        return
    with _connect(url) as connection:
        runs = connection.execute(select(func.count()).select_from(_runs)).scalar() or 0
        if runs < ENOUGH:
            return
        counted = 0
        if connection.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'")).first():
            seen = connection.execute(
                text("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = 'runs'")
            ).scalar()
            counted = int(seen or 0)
        if runs >= 2 * counted:
            # whoever is just writing has the lock, and then the next call does it
            with contextlib.suppress(OperationalError):
                connection.exec_driver_sql("ANALYZE")
                connection.commit()
