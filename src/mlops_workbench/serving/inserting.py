"""Many rows in few statements.

A driver's `executemany` gives the interpreter lock away at every row, and under load waits for it as often; one
statement for many rows gives it away once. The statements come in few sizes, so that the driver keeps them prepared.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Engine, PoolProxiedConnection, Table, exc
from sqlalchemy.engine import Dialect

from mlops_workbench.serving.tables import SHADOW

_MOST_VALUES = 32_000  # SQLite takes 32,766 a statement, PostgreSQL 65,535
_LARGEST = 256


class Insert:
    """`INSERT` into a table, given rows as tuples in the order of its columns."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote
        names = [quote(c.name) for c in table.columns]
        mark = "%s" if dialect.paramstyle in ("format", "pyformat") else "?"
        # names are quoted by the dialect (which doubles a % where the driver would read it); values stay apart
        self._head = f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES "  # noqa: S608
        self._row = f"({', '.join([mark] * len(names))})"
        self._largest = max(1, min(_LARGEST, _MOST_VALUES // len(names)))
        self._made: dict[int, str] = {}

    def parts(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Statements with their values: powers of two rows each, the largest first."""
        at = 0
        while at < len(rows):
            size = min(self._largest, 1 << ((len(rows) - at).bit_length() - 1))
            yield self._statement(size), tuple(v for row in rows[at : at + size] for v in row)
            at += size

    def _statement(self, size: int) -> str:
        if size not in self._made:
            self._made[size] = self._head + ", ".join([self._row] * size)
        return self._made[size]


class LogMoved(Exception):
    """The file that a connection writes into is no longer where the log is: it was moved, deleted or replaced."""


class Quick:
    """SQLite's own connection, kept open: SQLAlchemy's bookkeeping around a commit takes longer than the commit."""

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine = engine
        # The key lets a request have rows of several roles, but only one of them may be its answer. A second unique
        # index, as on PostgreSQL, would cost a tenth of the requests a second; this is asked under the write lock.
        self._other_answer = (
            f'SELECT 1 FROM json_each(?) AS asked CROSS JOIN "{table}" AS log '  # noqa: S608 (the table's name is a slug)
            f"ON log.request_id = asked.value WHERE log.role <> '{SHADOW}' AND log.role <> ? LIMIT 1"
        )
        self._kept: PoolProxiedConnection | None = None
        self._file = _file(engine)
        self._written: tuple[int, int] | None = None

    def write(self, parts: Iterable[tuple[str, tuple[Any, ...]]], answered: Mapping[str, list[str]]) -> None:
        """All parts in one transaction; `answered`: by role, the request ids that these are the answers of.

        Raises SQLAlchemy's errors, as its own execution does; IntegrityError also for a request that was answered
        before in another role, and `LogMoved` if what was written is not where the log is.
        """
        try:
            if self._kept is None:
                self._kept = self._engine.raw_connection()
                self._written = self._identity()
            cursor = self._kept.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            for part in parts:
                cursor.execute(*part)
            for role, ids in answered.items():
                if cursor.execute(self._other_answer, (orjson.dumps(ids).decode(), role)).fetchone():
                    raise sqlite3.IntegrityError("answered before in another role")
            cursor.execute("COMMIT")
            if self._written != self._identity():  # SQLite goes on in a file that has no name any more
                raise LogMoved
        except BaseException as error:
            self.close()  # gives it back, which rolls back; the next write takes a sound one
            if isinstance(error, sqlite3.IntegrityError):
                raise exc.IntegrityError("INSERT", {}, error) from error
            if isinstance(error, sqlite3.Error):
                raise exc.DBAPIError("INSERT", {}, error) from error
            raise

    def _identity(self) -> tuple[int, int] | None:
        """Of the file with the log's name; None for what is no file, and where none is."""
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def _file(engine: Engine) -> str | None:
    """Where an SQLite database lies; None for one in memory, or that is named by a URI."""
    name = engine.url.database
    return None if not name or name == ":memory:" or name.startswith("file:") else os.path.abspath(name)
