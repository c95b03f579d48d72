"""Rows that a database answers a SELECT with; nothing can be changed by it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_workbench.base.errors import InvalidData, MissingDependency, NotFound, UsageError
from mlops_workbench.data.kinds import as_kinds
from mlops_workbench.manifest import Kind

if TYPE_CHECKING:
    import pandas as pd


def query(variable: str, statement: str, kinds: Mapping[str, Kind] | None = None) -> pd.DataFrame:
    """`variable`: of the environment, with the database's URL, which may hold a password: it is on no command line.

    Raises `UsageError` for a variable that is not set or holds no URL, `NotFound` for a SQLite file that is not there,
    `InvalidData` for what the database refuses, and for a statement that would write.
    """
    import pandas as pd
    import sqlalchemy as sa

    text = os.environ.get(variable, "")
    if not text:
        raise UsageError(
            f"The environment has no variable '{variable}' with a database's URL.",
            "Set it, such as postgresql+psycopg://USER@HOST/DATABASE or sqlite:////FOLDER/FILE.",
        )
    try:
        url = sa.engine.make_url(text)
        if url.get_backend_name() == "sqlite":
            if not url.database or not os.path.isfile(url.database):
                raise NotFound(f"There is no SQLite file '{url.database}'.", f"Check the URL in {variable}.")
            url = url.set(database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError):
        raise UsageError(f"The variable '{variable}' holds no database's URL.", "Correct it.") from None
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
