"""Brings the table of a log to today's form: created, given today's key, and the columns that it lacks.

All in one transaction that others wait for: a process that is killed in the middle leaves the table as it was, and of
several that open an old log at once the first migrates it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, insert, inspect, select
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import Boolean, Float, Integer, Numeric, TypeEngine

from mlops_workbench.serving.errors import LogRefused
from mlops_workbench.serving.tables import KEY, SHADOW

_LOCK_TIMEOUT = "2s"
"""for PostgreSQL: while the migration waits for a long query to end, writers wait behind it"""


def create_or_migrate(connection: Connection, table: Table) -> None:
    """The connection's transaction is the caller's; on SQLite it must hold the write lock already.

    Raises LogRefused where a column holds another type since an earlier version of the model.
    """
    if connection.dialect.name == "postgresql":
        # Two `CREATE TABLE IF NOT EXISTS` at once can fail in PostgreSQL; the lock ends with the transaction.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('mlops inference log'))")
    connection.execute(CreateTable(table, if_not_exists=True))
    key = inspect(connection).get_pk_constraint(table.name)
    if sorted(key["constrained_columns"]) != sorted(KEY):
        if connection.dialect.name == "sqlite":
            _copy_with_key(connection, table.name)
        else:
            _change_key(connection, table.name, key["name"])
    _add_columns(connection, table)
    for index in table.indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))
    if connection.dialect.name == "postgresql":
        # One request has one answer (SQLite: `inserting.Quick`).
        connection.exec_driver_sql(
            f'CREATE UNIQUE INDEX IF NOT EXISTS "uq_{table.name}" ON "{table.name}" (request_id, row_index) '
            f"WHERE role <> '{SHADOW}'"
        )


def _change_key(connection: Connection, name: str, constraint: str | None) -> None:
    quote = connection.dialect.identifier_preparer.quote
    constraint = quote(constraint or f"{name}_pkey")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    connection.exec_driver_sql(
        f"ALTER TABLE {quote(name)} DROP CONSTRAINT IF EXISTS {constraint}, "
        f"ADD CONSTRAINT {constraint} PRIMARY KEY ({', '.join(KEY)})"
    )


def _copy_with_key(connection: Connection, name: str) -> None:
    """SQLite cannot change a key: a new table takes the rows and the old one's name, indexes and triggers.

    https://www.sqlite.org/lang_altertable.html#otheralter
    """
    old = Table(name, MetaData(), autoload_with=connection)
    new = Table(
        f"migrating_{name}",
        MetaData(),
        *(
            Column(c.name, c.type, nullable=c.nullable, primary_key=c.name in KEY, autoincrement=False)
            for c in old.columns
        ),
    )
    depending = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (name,),
    )
    again = [sql for (sql,) in depending]
    legacy = connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar()
    # Else the rename is refused where a view reads the table, which is not there at that moment.
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    try:
        connection.execute(CreateTable(new))
        connection.execute(insert(new).from_select([c.name for c in old.columns], select(*old.columns)))
        connection.exec_driver_sql(f'DROP TABLE "{name}"')
        connection.exec_driver_sql(f'ALTER TABLE "migrating_{name}" RENAME TO "{name}"')
        for sql in again:
            connection.exec_driver_sql(sql)
    finally:
        connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {legacy}")


def _add_columns(connection: Connection, table: Table) -> None:
    there = {c["name"]: c["type"] for c in inspect(connection).get_columns(table.name)}
    if connection.dialect.name == "sqlite":
        there = {name.lower(): kind for name, kind in there.items()}
    for column in table.columns:
        name = column.name.lower() if connection.dialect.name == "sqlite" else column.name
        if name not in there:
            _add_column(connection, table.name, column.name, column.type)
        elif _family(there[name]) != _family(column.type):
            raise LogRefused(
                f"The log's column '{column.name}' holds {_family(there[name])}s since an earlier version of "
                f"this model, but this version gives {_family(column.type)}s. Register it under another name."
            )


def _add_column(connection: Connection, table: str, column: str, kind: TypeEngine[Any]) -> None:
    # Written by hand on the driver's cursor: SQLAlchemy has no construct for it, and drivers that format
    # statements would stumble over a `%` in a feature's name.
    quoted = column.replace('"', '""')
    cursor = connection.connection.cursor()
    cursor.execute(f'ALTER TABLE "{table}" ADD COLUMN "{quoted}" {kind.compile(connection.dialect)}')
    cursor.close()


def _family(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, Boolean):
        return "boolean"
    if isinstance(kind, Integer):
        return "whole number"
    return "number" if isinstance(kind, Float | Numeric) else "text"
