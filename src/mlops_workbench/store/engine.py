"""Opens the workbench's database: SQLite in WAL mode or any URL, brought to the newest schema first.

SQLAlchemy is imported by what writes, not by what reads: see `reader`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlops_workbench.base import damage
from mlops_workbench.base.clock import SYSTEM, Clock, stamp
from mlops_workbench.base.errors import Conflict, InvalidConfig, MissingDependency
from mlops_workbench.store.reader import StoreReader
from mlops_workbench.store.reader import StoreRow as StoreRow

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

HEAD = "0005"
"""Newest migration. Kept here so that opening an up-to-date store does not import Alembic; a test compares."""

CONNECT_SECONDS = 10
"""that a database server may take to answer at all"""

WRITE_LOCK = 7245701
"""PostgreSQL's advisory lock that stands for SQLite's one write lock; any fixed number."""

VERSION_TABLE = "workbench_version"
"""Not Alembic's own name for it: MLflow's tables may be in the same database."""

MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """A database of the workbench. Values in, mappings out; a write is one transaction.

    What verbs read goes through `read`, which needs no SQLAlchemy on SQLite; it is loaded for the first write.
    """

    def __init__(self, url: str, clock: Clock = SYSTEM) -> None:
        """`clock`: what records are stamped by."""
        self.url = url
        self.clock = clock
        self._reader = StoreReader(url, lambda: self.engine)
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        if self.revision() != HEAD:
            self._upgrade()

    @property
    def engine(self) -> Engine:
        """Connections for writing, and for SQLAlchemy's statements."""
        with self._opening:
            if self._engine is None:
                self._engine = open_engine(self.url)
            return self._engine

    @property
    def name(self) -> str:
        """Its URL without the password."""
        return self._reader.name

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.partition(":")[0].partition("+")[0]

    def now(self) -> str:
        """The moment on this store's clock, as records hold it."""
        return stamp(self.clock.now())

    def revision(self) -> str | None:
        """The schema that the database has; None for a new one. Raises `InvalidConfig` when it cannot be opened."""
        if not self._reader.has_table(VERSION_TABLE):
            return None
        found = self._reader.tuples("SELECT version_num FROM workbench_version")
        return str(found[0][0]) if found else None

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from sqlalchemy.exc import DatabaseError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if self.revision() not in known | {None}:
            raise InvalidConfig(
                f"The store {self.name} has schema {self.revision()}; this version knows up to {HEAD}.",
                "Use the version of mlops-workbench that wrote it, or a later one.",
            )
        try:
            self.engine.connect().close()
        except DatabaseError as problem:
            if damage.is_damage(problem):
                raise damage.damaged(self.name, problem.orig) from None
            raise InvalidConfig(
                f"The store {self.name} cannot be opened: {problem.orig}.",
                "Check [stores] in mlops.toml and the rights on its folder.",
            ) from None
        with self.write() as connection:  # two processes may open a new project at once
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start, so that what it read stays true.

        Raises `Conflict` when the store cannot be written: read-only, full, or locked for too long.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import DatabaseError, OperationalError

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
        except DatabaseError as problem:
            if not damage.is_damage(problem):
                raise
            raise damage.damaged(self.name, problem.orig) from None

    def read(
        self, sql: str, values: StoreRow | None = None, json_columns: Sequence[str] = ()
    ) -> list[StoreRow]:
        """Rows of a SELECT with `:name` parameters; `json_columns` are parsed. Raises `InvalidConfig`."""
        return self._reader.rows(sql, values, json_columns)

    def read_one(
        self, sql: str, values: StoreRow | None = None, json_columns: Sequence[str] = ()
    ) -> StoreRow | None:
        return next(iter(self.read(sql, values, json_columns)), None)

    def rows(self, statement: Any) -> Sequence[StoreRow]:
        with self.engine.connect() as connection:
            return cast("Sequence[StoreRow]", list(connection.execute(statement).mappings()))

    def row(self, statement: Any) -> StoreRow | None:
        with self.engine.connect() as connection:
            return cast("StoreRow | None", connection.execute(statement).mappings().first())

    def close(self) -> None:
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()


def open_engine(url: str, *, pooled: bool = True) -> Engine:
    """Raises `InvalidConfig` for a URL that cannot be read, `MissingDependency` for a driver that is not there.

    `pooled=False`: a connection is closed when it is given back.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    if not url.startswith(("sqlite", "postgres")):
        raise InvalidConfig(
            f"The store URL {url.split('@')[-1]!r} cannot be used: records are kept in SQLite or PostgreSQL.",
            "Write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE.",
        )
    options: dict[str, Any] = (
        {"pool_pre_ping": not url.startswith("sqlite")} if pooled else {"poolclass": NullPool}
    )
    if url.startswith("postgres") and "connect_timeout" not in url:
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    try:
        engine = create_engine(url, **options)
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
            # FULL: what the ledger and the queue say outlives a power cut, too
            for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
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
