"""Plain SQL for reading: SQLite through the standard library, any other database through SQLAlchemy.

Importing SQLAlchemy alone takes as long as a whole reading verb may take. Statements use `:name` parameters and
SQL that SQLite and PostgreSQL both understand.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from mlops_workbench.base import damage
from mlops_workbench.base.errors import Conflict, InvalidConfig, MlopsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_SECONDS = 30.0
_DRIVERS = ("sqlite", "sqlite+pysqlite")

StoreRow = Mapping[str, Any]
T = TypeVar("T")


def sqlite_file(url: str) -> Path | None:
    """The file of a plain SQLite URL; None for another database, one in memory, and a URL with options."""
    driver, is_file, path = url.partition(":///")
    plain = is_file and driver in _DRIVERS and path not in ("", ":memory:")
    return Path(unquote(path)) if plain and "?" not in path and not path.startswith("file:") else None


def connect(file: Path) -> sqlite3.Connection:
    """A connection to a SQLite file that exists; it is never made. A read-only file is opened as such."""
    uri = f"file:{quote(str(file.absolute()))}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def numbered(name: str, values: Iterable[Any]) -> tuple[str, dict[str, Any]]:
    """`:name0, :name1, …` for an IN list, and the parameters."""
    parameters = {f"{name}{place}": value for place, value in enumerate(values)}
    return ", ".join(f":{key}" for key in parameters), parameters


def without_password(url: str) -> str:
    """A database's URL as people may see it."""
    if sqlite_file(url) is not None:
        return url
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.rpartition("@")[2]


class StoreReader:
    """Reads one database. `engine` is asked for only if the database is no SQLite file."""

    def __init__(self, url: str, engine: Callable[[], Engine]) -> None:
        self.url = url
        self.file = sqlite_file(url)
        self._engine = engine

    @property
    def name(self) -> str:
        """Its URL without the password."""
        return without_password(self.url)

    def tuples(self, sql: str, values: StoreRow | None = None) -> list[tuple[Any, ...]]:
        """Raises `InvalidConfig` when the database cannot be read."""
        return self._fetch(sql, values)[1]

    def rows(
        self, sql: str, values: StoreRow | None = None, json_columns: Sequence[str] = ()
    ) -> list[StoreRow]:
        """Like `tuples`, by column name. `json_columns`: SQLite keeps them as text; they are parsed."""
        names, found = self._fetch(sql, values)
        rows = [dict(zip(names, row, strict=True)) for row in found]
        for column in json_columns if self.url.startswith("sqlite") else ():
            for row in rows:
                row[column] = None if row[column] is None else json.loads(row[column])
        return list(rows)

    def has_table(self, table: str) -> bool:
        """False also for a SQLite file that does not exist."""
        if self.file is None:
            return self._through_engine(lambda engine: _has_table(engine, table))
        if not self.file.exists():
            return False
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :table"
        return bool(self.tuples(statement, {"table": table}))

    def _fetch(self, sql: str, values: StoreRow | None) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        if self.file is None:
            return self._through_engine(lambda engine: _execute(engine, sql, values))
        try:
            with closing(connect(self.file)) as connection:
                cursor = connection.execute(sql, values or {})
                return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.DatabaseError as problem:
            raise self._unreadable(problem) from None

    def _through_engine(self, ask: Callable[[Engine], T]) -> T:
        from sqlalchemy.exc import DatabaseError

        try:
            return ask(self._engine())
        except DatabaseError as problem:
            raise self._unreadable(problem.orig) from None

    def _unreadable(self, problem: BaseException | None) -> MlopsError:
        if self.file is not None and "readonly database" in str(problem):
            return Conflict(
                f"The project is read-only: {self.file} cannot be written, which reading needs too.",
                f"Give yourself the right to write in {self.file.parent}, or work in a copy made by its owner.",
            )
        if damage.is_damage(problem):
            return damage.damaged(self.file or self.name, problem)
        return InvalidConfig(
            f"The store {self.name} cannot be opened: {problem}.",
            "Check [stores] in mlops.toml and the rights on its folder.",
        )


def _execute(
    engine: Engine, sql: str, values: StoreRow | None
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    from sqlalchemy import text

    with engine.connect() as connection:
        result = connection.execute(text(sql), dict(values or {}))
        return list(result.keys()), [tuple(row) for row in result]


def _has_table(engine: Engine, table: str) -> bool:
    from sqlalchemy import inspect

    with engine.connect() as connection:
        return bool(inspect(connection).has_table(table))
