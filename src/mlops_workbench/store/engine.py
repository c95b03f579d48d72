"""Opens the workbench's database: SQLite in WAL mode or any URL, brought to the newest schema first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, String, column, create_engine, event, inspect, select, table, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from mlops_workbench.base.clock import SYSTEM, Clock, stamp
from mlops_workbench.base.errors import Conflict, InvalidConfig, MissingDependency

HEAD = "0004"
"""Newest migration. Kept here so that opening an up-to-date store does not import Alembic; a test compares."""

WRITE_LOCK = 7245701
"""PostgreSQL's advisory lock that stands for SQLite's one write lock; any fixed number."""

VERSION_TABLE = "workbench_version"
"""Not Alembic's own name for it: MLflow's tables may be in the same database."""

MIGRATIONS = Path(__file__).parent / "migrations"

Row = Mapping[str, Any]


class Store:
    """A database of the workbench. Values in, mappings out; a write is one transaction."""

    def __init__(self, url: str, clock: Clock = SYSTEM) -> None:
        """`clock`: what records are stamped by."""
        self.url = url
        self.clock = clock
        self.engine = open_engine(url)
        try:
            if self.revision() != HEAD:
                self._upgrade()
        except DatabaseError as problem:
            raise InvalidConfig(
                f"The store {self.name} cannot be opened: {problem.orig}.",
                "Check [stores] in mlops.toml and the rights on its folder.",
            ) from None

    @property
    def name(self) -> str:
        """Its URL without the password."""
        return make_url(self.url).render_as_string(hide_password=True)

    def now(self) -> str:
        """The moment on this store's clock, as records hold it."""
        return stamp(self.clock.now())

    def revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not inspect(connection).has_table(VERSION_TABLE):
                return None
            statement = select(column("version_num", String)).select_from(table(VERSION_TABLE))
            found: str | None = connection.execute(statement).scalar()
            return found

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if self.revision() not in known | {None}:
            raise InvalidConfig(
                f"The store {self.name} has schema {self.revision()}; this version knows up to {HEAD}.",
                "Use the version of mlops-workbench that wrote it, or a later one.",
            )
        with self.write() as connection:  # two processes may open a new project at once
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start, so that what it read stays true.

        Raises `Conflict` when the store cannot be written: read-only, full, or locked for too long.
        """
        try:
            with self.engine.execution_options(writes=True).begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"))
                yield connection
        except OperationalError as problem:
            raise Conflict(
                f"The store {self.name} cannot be written: {problem.orig}.",
                "Check its rights and the free space; if it is locked, try again.",
            ) from None

    def rows(self, statement: Any) -> Sequence[Row]:
        with self.engine.connect() as connection:
            return cast("Sequence[Row]", list(connection.execute(statement).mappings()))

    def row(self, statement: Any) -> Row | None:
        with self.engine.connect() as connection:
            return cast("Row | None", connection.execute(statement).mappings().first())

    def close(self) -> None:
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    """Raises `InvalidConfig` for a URL that cannot be read, `MissingDependency` for a driver that is not there."""
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError) as problem:
        raise InvalidConfig(f"The store URL {url.split('@')[-1]!r} cannot be used: {problem}.") from None
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"The store needs the package '{problem.name}'.", "Install mlops-workbench[postgres]."
        ) from None
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # BEGIN is ours, below
            for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A read that turns into a write fails at once when another wrote meanwhile; a write says so first.
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def inserted_id(result: Any) -> int:
    """The number that the database gave to the row just inserted."""
    return int(result.inserted_primary_key[0])
