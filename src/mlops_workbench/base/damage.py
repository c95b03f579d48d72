"""Damaged SQLite files: what SQLite says of them, as a sentence with the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_workbench.base.errors import Damaged

_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WORDS = ("malformed", "not a database")


def is_damage(problem: BaseException | None) -> bool:
    """Whether SQLite found a file that is not as it wrote it. SQLAlchemy's and MLflow's errors hold SQLite's."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        code = getattr(problem, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _CODES:
            return True
        if isinstance(problem, sqlite3.DatabaseError) and any(word in str(problem) for word in _WORDS):
            return True
        if getattr(problem, "orig", None) is not None and is_damage(problem.orig):  # type: ignore[attr-defined]
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def damaged(file: Path | str, problem: object) -> Damaged:
    return Damaged(
        f"The database {file} cannot be opened: it is damaged ({problem}).",
        "Bring the project back from a backup: `restore ARCHIVE`. Without one, save what can still be read: "
        "sqlite3 FILE .recover.",
    )


@contextmanager
def named(file: Path) -> Iterator[None]:
    """What goes wrong inside is about this file. Raises `Damaged`."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        if not is_damage(problem):
            raise
        raise damaged(file, problem) from None


def require_whole(connection: sqlite3.Connection, file: Path) -> None:
    """Raises `Damaged`."""
    with named(file):
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise damaged(file, " ".join(found[0].split())[:200])
