"""Windows in the inference log's database: one row a version, role, minute and writer, which together are the minute.

Up to a mark all minutes are sealed: their windows hold exactly what the log holds (`monitor.sealing` compares, and
counts again what differs). A writer that comes later leaves a note that its minute is to be counted again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from mlops_workbench.serving.tables import feature_columns, slug
from mlops_workbench.summary.reference import LATENCY, PREDICTION, SCORE, DataReference
from mlops_workbench.summary.window import MINUTE, Window, counted

MARKS = "window_marks"
_ANSWERS = {PREDICTION: "prediction", SCORE: "score", LATENCY: "latency_ms"}


@dataclass(frozen=True, slots=True)
class WindowKey:
    """Of which version, role and period a window is; `start` in Unix seconds, `seconds` long."""

    version: str
    role: str
    start: int
    seconds: int = MINUTE


@dataclass(frozen=True, slots=True)
class WindowTables:
    model: str
    windows: Table
    again: Table
    """minutes before the mark that are to be counted again"""
    marks: Table


@lru_cache(maxsize=64)
def window_tables(model: str) -> WindowTables:
    metadata = MetaData()
    title = f"windows_{slug(model)}"
    windows = Table(
        title,
        metadata,
        Column("version", Text, primary_key=True),
        Column("role", Text, primary_key=True),
        Column("start", BigInteger, primary_key=True, autoincrement=False),
        Column("seconds", Integer, primary_key=True, autoincrement=False),
        Column("writer", Text, primary_key=True),
        Column("layout", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("requests", BigInteger, nullable=False),
        Column("counts", LargeBinary, nullable=False),
        Column("errors", Text),
        Index(f"ix_{title}_start", "start"),
    )
    again = Table(
        f"again_{slug(model)}", metadata, Column("start", BigInteger, primary_key=True, autoincrement=False)
    )
    marks = Table(
        MARKS,
        metadata,
        Column("model", Text, primary_key=True),
        Column("sealed_until", BigInteger, nullable=False),
        Column("kept_from", BigInteger),  # older rows were deleted from the log
    )
    return WindowTables(model, windows, again, marks)


def create(connection: Connection, tables: WindowTables) -> None:
    """In the caller's transaction. The mark is there from the start, so that it can be locked."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('mlops inference log'))")
    for table in (tables.windows, tables.again, tables.marks):
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    insert_new(connection, tables.marks, [{"model": tables.model, "sealed_until": 0}])


def sealed_until(
    connection: Connection, tables: WindowTables, lock: Literal["", "share", "move"] = ""
) -> int:
    """The mark in Unix seconds; 0 before the first sealing. With a lock nobody moves it until the transaction ends
    (SQLite's writer is alone anyway): writers of windows share it, who will move it has it alone."""
    query = select(tables.marks.c.sealed_until).where(tables.marks.c.model == tables.model)
    if lock and connection.dialect.name == "postgresql":
        query = query.with_for_update(read=lock == "share")
    return connection.execute(query).scalar() or 0


def write(
    connection: Connection,
    tables: WindowTables,
    writer: str,
    layout: str,
    windows: Mapping[WindowKey, tuple[Window | None, Mapping[str, int]]],
) -> None:
    """A runtime's windows, with the requests that were answered by an error. Those of sealed minutes are left to be
    counted again from the log."""
    mark = sealed_until(connection, tables, "share")
    late = {key.start for key, (window, _) in windows.items() if window and key.start < mark}
    if late:
        insert_new(connection, tables.again, [{"start": start} for start in sorted(late)])
    rows = [
        record(key, writer, layout, window if key.start not in late else None, errors)
        for key, (window, errors) in windows.items()
        if key.start not in late or errors
    ]
    if rows:
        connection.execute(insert(tables.windows), rows)


def record(
    key: WindowKey, writer: str, layout: str, window: Window | None, errors: Mapping[str, int] | None = None
) -> dict[str, object]:
    """A row of the table. Without a window it holds errors alone, which no log has."""
    return {
        "version": key.version,
        "role": key.role,
        "start": key.start,
        "seconds": key.seconds,
        "writer": writer,
        "layout": layout,
        "rows": window.rows if window else 0,
        "requests": window.requests if window else 0,
        "counts": window.dumps() if window else b"",
        "errors": orjson.dumps(dict(errors)).decode() if errors else None,
    }


def insert_new(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """Those that are not there yet."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


class Columns:
    """Rows of the log, column by column, as windows count them."""

    def __init__(self, reference: DataReference, log: Table, hidden: Collection[str] = ()) -> None:
        """Columns that the log does not have, or not as they were sent (`hidden`), are counted as missing."""
        self.reference = reference
        names = [c.name for c in log.columns]
        logged = feature_columns(p.name for p in reference.columns)
        self.columns = {
            p.name: names.index(logged[p.name])
            for p in reference.columns
            if logged[p.name] in names and p.name not in hidden
        }
        self.answers = {name: names.index(column) for name, column in _ANSWERS.items()}
        self._key = [names.index(name) for name in ("model_version", "role", "at", "row_index")]

    def windows(self, rows: Sequence[Sequence[Any]], seconds: int = MINUTE) -> dict[WindowKey, Window]:
        """A window a version, role and minute (or as many `seconds`). `rows`: values in the order of the log's
        columns."""
        groups: dict[WindowKey, list[Sequence[Any]]] = {}
        version, role, at, index = self._key
        for row in rows:
            key = WindowKey(row[version], row[role], int(row[at]) // seconds * seconds, seconds)
            groups.setdefault(key, []).append(row)
        found = {}
        for key, group in groups.items():
            values = list(zip(*group, strict=True))
            found[key] = counted(
                self.reference,
                {name: values[place] for name, place in self.columns.items()},
                # rows that were answered elsewhere have a latency of 0: it is not known
                {
                    n: [v or None for v in values[p]] if n == LATENCY else values[p]
                    for n, p in self.answers.items()
                },
                requests=values[index].count(0),
            )
        return found
