"""A new SQLite tracking store, copied from one that MLflow has migrated: its 67 migrations and its import take seconds.

The template is in the user's cache, one for each version of MLflow. Where there is none, or anything about it is odd,
MLflow makes the store itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from mlops_workbench.base.files import user_cache
from mlops_workbench.store.reader import connect
from mlops_workbench.track.sql_reader import REVISIONS


def place() -> Path:
    """Of the template for the installed MLflow."""
    return user_cache() / f"mlflow-{version('mlflow')}.db"


def copy(target: Path, artifact_root: str) -> bool:
    """Make the store `target`, unless somebody makes it meanwhile; whether it is there now.

    MLflow's default experiment, which the workbench does not use, keeps its artifacts below `artifact_root`.
    """
    template = place()
    draft = target.with_name(f".{target.name}.{uuid4().hex}.draft")
    try:
        if not template.is_file() or not _is_new(template):
            return False
        _back_up(template, draft)
        with closing(connect(draft)) as connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (f"{artifact_root}/0",))
        os.link(draft, target)  # never in the place of a store that is there
        return True
    except FileExistsError:
        return True
    except (OSError, sqlite3.Error):
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def keep(store: Path) -> None:
    """Remember a store that MLflow has just made. Not worth failing for."""
    template = place()
    draft = template.with_name(f".{template.name}.{uuid4().hex}.draft")
    with contextlib.suppress(OSError, sqlite3.Error):
        if not _is_new(store):
            return
        template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _back_up(store, draft)
            draft.replace(template)  # seen whole or not at all
        finally:
            draft.unlink(missing_ok=True)


def _is_new(store: Path) -> bool:
    """Whether it is whole, of a known schema, and nobody has put anything into it."""
    with closing(connect(store)) as connection:
        revisions = {
            revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")
        }
        counts = "SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs)"
        return (
            bool(revisions)
            and revisions <= REVISIONS
            and connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
            and connection.execute(counts).fetchone() == (1, 0)
            and connection.execute("SELECT count(*) FROM registered_models").fetchone() == (0,)
        )


def _back_up(source: Path, target: Path) -> None:
    with closing(connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
