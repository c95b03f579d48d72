"""Questions about all runs of an experiment that MLflow's own language has no words for, asked of its tables.

Only `runs`, `params`, `tags` and `latest_metrics` are read, which are MLflow's oldest; the runs themselves always
come through its API.
"""

from __future__ import annotations

import contextlib
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
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
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
)


def _keyed(name: str, value: Any) -> Table:
    return Table(name, _metadata, Column("key", String), Column("value", value), Column("run_uuid", String))


_KEPT = {
    "metric": _keyed("latest_metrics", Double),
    "param": _keyed("params", String),
    "tag": _keyed("tags", String),
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


def order(url: str, experiment: str, kind: str, name: str, prefix: str, ascending: bool) -> list[str]:
    """Ids of all runs by a parameter (as numbers where they are), a tag, or how long they took; the newest first
    among equals, and last those that have none."""
    if kind == "attribute":
        value: Any = _runs.c.end_time - _runs.c.start_time
        statement = select(_runs.c.run_uuid, value)
    else:
        kept = _KEPT[kind]
        key = prefix + name if kind == "tag" else name
        statement = select(_runs.c.run_uuid, kept.c.value).join(
            kept, (kept.c.run_uuid == _runs.c.run_uuid) & (kept.c.key == key), isouter=True
        )
    with _connect(url) as connection:
        rows = connection.execute(
            statement.where(_mine(experiment)).order_by(_runs.c.start_time.desc())
        ).all()
    have = [(run, _comparable(value)) for run, value in rows if value is not None]
    have.sort(key=lambda pair: pair[1], reverse=not ascending)  # stable: also when it is reversed
    return [run for run, _ in have] + [run for run, value in rows if value is None]


def _comparable(value: Any) -> tuple[int, float, str]:
    """Numbers below texts; numbers by size, texts by the alphabet."""
    try:
        number = float(value)
    except ValueError:
        return 1, 0.0, str(value)
    return (0, number, "") if number == number else (1, 0.0, str(value))


def tune(url: str) -> None:
    """Let SQLite count its tables anew when there are twice as many runs as when it last did.

    Without its counts it sorts 10,000 runs by a metric in seconds instead of a tenth of one. PostgreSQL does it itself.
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
