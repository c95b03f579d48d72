"""A team's own metrics: SQL expressions over the labelled rows, evaluated by SQLite in memory.

An expression may read the rows and call functions, and nothing else: an authorizer refuses files, other tables, other
databases, settings and everything that writes, and a statement that runs for too long is stopped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from mlops_workbench.base.errors import InvalidConfig

SECONDS = 60.0
"""that one expression may take"""
_ROWS = "rows"
_WINDOW = "window of the row"
_OWN = ("label", "prediction", "score")
_FORBIDDEN = {"load_extension", "zeroblob", "randomblob", "fts3_tokenizer", "sqlite_compileoption_get"}


def columns_of(features: Sequence[str]) -> list[str]:
    """What an expression can name: label, prediction, score and the features. SQLite does not tell names by case: of
    two features that differ in it alone, or one that is called like the others, only the first is there."""
    found: dict[str, str] = {}
    for name in (*_OWN, *features):
        found.setdefault(name.lower(), name)
    found.pop(_WINDOW, None)
    return list(found.values())


def check(expressions: Mapping[str, str], features: Sequence[str]) -> list[str]:
    """The features that the expressions read. Raises InvalidConfig for one that is wrong."""
    names = columns_of(features)
    read: set[str] = set()
    with closing(_opened(names, read.add)) as connection:
        for metric, expression in expressions.items():
            with _worded(metric, expression):
                found = connection.execute(f"EXPLAIN {_statement(expression)}").fetchall()
                del found
            if not _is_aggregate(connection, metric, expression):
                raise InvalidConfig(
                    f"[monitor.metrics] {metric} = {expression!r} has a value for each row, not one for a window.",
                    f"Add them up, such as SUM({expression}).",
                )
    return [name for name in features if name in read and name in names]


def evaluate(
    expressions: Mapping[str, str], columns: Mapping[str, Any], codes: Any, windows: int
) -> dict[str, list[float | None]]:
    """Each expression's value in each window, and over all rows at the end. None where it is NULL or no number.

    `columns`: label, prediction, score and the features that are read. Raises InvalidConfig.
    """
    with closing(_opened(list(columns), lambda _: None)) as connection:
        marks = ", ".join("?" * (len(columns) + 1))
        connection.set_authorizer(None)
        lists = [codes.tolist(), *(_values(column) for column in columns.values())]
        connection.executemany(f"INSERT INTO {_ROWS} VALUES ({marks})", zip(*lists, strict=True))  # noqa: S608
        connection.set_authorizer(_authorizer(lambda _: None))
        found: dict[str, list[float | None]] = {}
        for metric, expression in expressions.items():
            values: list[float | None] = [None] * (windows + 1)
            _limited(connection)
            with _worded(metric, expression):
                for window, value in connection.execute(_statement(expression)):
                    values[window] = _number(value)
                ((value,),) = connection.execute(f"SELECT ({expression}\n) FROM {_ROWS}").fetchall()  # noqa: S608
                values[-1] = _number(value)
            found[metric] = values
    return found


def _statement(expression: str) -> str:
    # a comment in the expression ends with its line
    return f'SELECT "{_WINDOW}", ({expression}\n) FROM {_ROWS} GROUP BY "{_WINDOW}"'  # noqa: S608


def _is_aggregate(connection: sqlite3.Connection, metric: str, expression: str) -> bool:
    """Of no rows an aggregate has one value, all else none."""
    with _worded(metric, expression):
        return len(connection.execute(f"SELECT ({expression}\n) FROM {_ROWS}").fetchall()) == 1  # noqa: S608


def _opened(names: Sequence[str], read: Callable[[str], None]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in (_WINDOW, *names))
    connection.execute(f"CREATE TABLE {_ROWS} ({columns})")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)  # no text of gigabytes by printf
    connection.set_authorizer(_authorizer(read))
    _limited(connection)
    return connection


def _limited(connection: sqlite3.Connection) -> None:
    end = time.monotonic() + SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 100_000)


def _authorizer(read: Callable[[str], None]) -> Callable[..., int]:
    def allowed(action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first == _ROWS:
            read(second or "")
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    return allowed


class _worded:
    """SQLite's errors as a sentence about the setting."""

    def __init__(self, metric: str, expression: str) -> None:
        self._about = f"[monitor.metrics] {metric} = {expression!r}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: BaseException | None, _: Any) -> None:
        if not isinstance(problem, sqlite3.Error | sqlite3.Warning | ValueError):
            return
        said = str(problem)
        if "interrupted" in said:
            said = f"it takes longer than {SECONDS:g} seconds"
        elif "not authorized" in said or "prohibited" in said:
            said = "it may read the rows and call functions, and nothing else"
        raise InvalidConfig(
            f"{self._about} cannot be evaluated: {said}.",
            "It is one SQL expression of SQLite, such as SUM(CASE WHEN label = 1 THEN 5 ELSE 0 END), over label, "
            "prediction, score and the model's columns.",
        ) from None


def _values(column: Any) -> list[Any]:
    if column.dtype == object:
        return list(column)
    return [None if value != value else value for value in column.tolist()]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
