"""Rows that a database answers a SELECT with; nothing can be changed by it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_workbench.base import secrets
from mlops_workbench.base.errors import InvalidData, MissingDependency, NotFound, UsageError
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import pandas as pd


def query(database: str, statement: str, kinds: Mapping[str, Kind] | None = None) -> pd.DataFrame:
    """`database`: its URL, or a reference to that (`secret://env/NAME`): a URL may hold a password.

    Raises `UsageError` for what is no URL, `NotFound` for a SQLite file that is not there, `InvalidData` for what the
    database refuses, and for a statement that would write.
    """
    import pandas as pd
    import sqlalchemy as sa

    try:
        url = sa.engine.make_url(secrets.resolved(database))
        if url.get_backend_name() == "sqlite":
            if not url.database or not os.path.isfile(url.database):
                raise NotFound(f"There is no SQLite file '{url.database}'.", "Check the database's URL.")
            url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
        raise UsageError(
            "What the option sql says is no database's URL.",
            "Say one such as sqlite:////FOLDER/FILE, or secret://env/NAME of a variable that holds it.",
        ) from None
    except ModuleNotFoundError as problem:
        raise MissingDependency(f"The database needs the package '{problem.name}'.", "Install it.") from None
    read_only = {"postgresql_readonly": True} if url.get_backend_name() == "postgresql" else {}
    try:
        with engine.connect().execution_options(**read_only) as connection:
            found = pd.read_sql_query(sa.text(statement), connection)
    except (sa.exc.SQLAlchemyError, KeyError) as problem:
        said = " ".join(str(getattr(problem, "orig", problem)).split())[:200].rstrip(".")
        raise InvalidData(
            f"The database does not answer this statement: {said}.", "Correct the SELECT statement."
        ) from None
    finally:
        engine.dispose()
    return as_kinds(found, kinds or {})
