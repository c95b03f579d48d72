"""Rows that a database answers a SELECT with; nothing can be changed by it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_workbench.base import secrets
from mlops_workbench.base.errors import InvalidData, MissingDependency, NotFound, UsageError
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection, Engine


def query(database: str, statement: str, kinds: Mapping[str, Kind] | None = None) -> pd.DataFrame:
    """All rows of an answer. `database`: its URL, or a reference to that (`secret://env/NAME`), for a URL may hold a
    password.

    Raises `UsageError` for what is no URL, `NotFound` for a SQLite file that is not there, `InvalidData` for what the
    database refuses, and for a statement that would write.
    """
    import pandas as pd

    with _answering(database) as connection:
        found = pd.read_sql_query(_text(statement), connection)
    return as_kinds(found, kinds or {})


def chunks(
    database: str, statement: str, rows: int, kinds: Mapping[str, Kind] | None = None
) -> Iterator[pd.DataFrame]:
    """The same, so many rows at a time."""
    import pandas as pd

    with _answering(database) as connection:
        streaming = connection.execution_options(stream_results=True)
        for chunk in pd.read_sql_query(_text(statement), streaming, chunksize=rows):
            yield as_kinds(chunk, kinds or {})


def _text(statement: str) -> Any:
    import sqlalchemy as sa

    return sa.text(statement)


@contextmanager
def _answering(database: str) -> Iterator[Connection]:
    """A connection that can only read; what goes wrong with it is said in a sentence."""
    import sqlalchemy as sa

    engine = _engine(database)
    read_only = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
    try:
        with engine.connect().execution_options(**read_only) as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, KeyError) as problem:
        said = " ".join(str(getattr(problem, "orig", problem)).split())[:200].rstrip(".")
        raise InvalidData(
            f"The database does not answer this statement: {said}.", "Correct the SELECT statement."
        ) from None
    finally:
        engine.dispose()


def _engine(database: str) -> Engine:
    import sqlalchemy as sa

    try:
        url = sa.engine.make_url(secrets.resolved(database))
        if url.get_backend_name() == "sqlite":
            if not url.database or not os.path.isfile(url.database):
                raise NotFound(f"There is no SQLite file '{url.database}'.", "Check the database's URL.")
            url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        return sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
        raise UsageError(
            "What the option sql says is no database's URL.",
            "Say one such as sqlite:////FOLDER/FILE, or secret://env/NAME of a variable that holds it.",
        ) from None
    except ModuleNotFoundError as problem:
        raise MissingDependency(f"The database needs the package '{problem.name}'.", "Install it.") from None
