"""The windows of one model: what any period held, as the sum of what was counted while it was answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import sqlalchemy as sa

from mlops_workbench.monitor.inference import opened, predictions_table
from mlops_workbench.serving.tables import SHADOW, log_engine
from mlops_workbench.serving.windows import Columns, WindowTables, create, window_tables
from mlops_workbench.summary.reference import DataReference
from mlops_workbench.summary.window import HOUR, Window

ROWS = 20_000
"""of the log that are counted at once"""


@dataclass(frozen=True)
class WindowLog:
    """Where a model's windows are, and against what they are counted."""

    url: str
    model: str
    references: Callable[[str], DataReference | None]
    """a version's; None for one whose rows nobody knows: it has no windows"""
    hidden: Collection[str] = ()
    """columns that the log does not hold as they were sent"""

    @property
    def tables(self) -> WindowTables:
        return window_tables(self.model)

    @contextmanager
    def writing(self) -> Iterator[sa.Engine]:
        """An engine for writers, with the tables there. Raises NotFound if nothing of this model is logged."""
        with opened(self.url) as engine:
            _ = predictions_table(engine, self.model)
        engine = log_engine(self.url)
        try:
            with engine.begin() as connection:
                create(connection, self.tables)
            yield engine
        finally:
            engine.dispose()

    def columns(self, table: sa.Table) -> Callable[[str], Columns | None]:
        """How rows of a version are counted."""
        found: dict[str, Columns | None] = {}

        def of(version: str) -> Columns | None:
            if version not in found:
                known = self.references(version)
                found[version] = None if known is None else Columns(known, table, self.hidden)
            return found[version]

        return of


@dataclass(frozen=True)
class Sum:
    """What a period held. `start`, `end`: in Unix seconds, as far as windows reach where they are of an hour."""

    start: float
    end: float
    window: Window


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of a version that were answered in [start, end), in Unix seconds; `roles`: None is what callers got."""

    version: str
    start: float
    end: float
    roles: Sequence[str] | None = None

    def of_role(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        return column != SHADOW if self.roles is None else column.in_(self.roles)


def failures(log: WindowLog, start: float, end: float) -> int:
    """Requests that the service answered by an error of its own in [start, end), whatever their version and role."""
    with opened(log.url) as engine:
        c = log.tables.windows.c
        if not sa.inspect(engine).has_table(log.tables.windows.name):
            return 0
        within = (c.start >= start, c.start < end, c.errors.is_not(None))
        with engine.connect() as connection:
            return sum(added(connection.execute(sa.select(c.errors).where(*within)).scalars()).values())


def added(errors: Iterable[str | None]) -> dict[str, int]:
    """Counts of errors by code, from several windows' texts."""
    found: dict[str, int] = {}
    for text in errors:
        for code, count in orjson.loads(text or "{}").items():
            found[code] = found.get(code, 0) + count
    return found


def total(log: WindowLog, asked: Asked) -> Sum | None:
    """What the period held; None for a version without a reference.

    Sealed minutes are summed from windows, the last ones are counted from the log.
    """
    pieces = list(series(log, asked, None))
    return pieces[0] if pieces else None


def series(log: WindowLog, asked: Asked, step: float | None) -> Iterator[Sum]:
    """The same in pieces of `step` seconds, counted from the start; without one in one piece. Empty pieces, too."""
    reference = log.references(asked.version)
    if reference is None:
        return
    start, end = asked.start, asked.end
    step = step or max(1.0, end - start)
    count = max(1, -int(-(end - start) // step))
    pieces = [
        Sum(start + i * step, min(end, start + (i + 1) * step), Window.empty(reference)) for i in range(count)
    ]

    def place(at: float) -> int:
        return min(count - 1, max(0, int((at - start) // step)))

    with opened(log.url) as engine:
        table = predictions_table(engine, log.model)
        with engine.connect() as connection:
            rest = [(start, end)]
            if sa.inspect(connection).has_table(log.tables.windows.name):
                found, rest = _windows(log, connection, reference, asked)
                by_piece: dict[int, list[tuple[int, int, bytes]]] = {}
                for row in found:
                    by_piece.setdefault(place(row.start), []).append((row.rows, row.requests, row.counts))
                for number, dumped in by_piece.items():
                    pieces[number].window.add_dumped(reference, dumped)
            for begin, stop in rest:
                for at, window in _of_rows(log, connection, table, replace(asked, start=begin, end=stop)):
                    pieces[place(at)].window.add(window)
    yield from pieces


def _windows(
    log: WindowLog, connection: sa.Connection, reference: DataReference, asked: Asked
) -> tuple[Sequence[Any], list[tuple[float, float]]]:
    """Sealed windows of a period, and the parts of it that are to be counted from the log: what is not sealed yet, and
    a begin or end inside of a window. Of the latter the whole window counts if the log's rows were deleted."""
    c = log.tables.windows.c
    marks = log.tables.marks
    query = sa.select(marks.c.sealed_until, marks.c.kept_from).where(marks.c.model == log.model)
    sealed, kept = connection.execute(query).one_or_none() or (0, None)
    end = min(asked.end, float(sealed))
    rows = connection.execute(
        sa.select(c.start, c.seconds, c.rows, c.requests, c.counts).where(
            c.version == asked.version,
            asked.of_role(c.role),
            c.start + c.seconds > asked.start,
            c.start >= int(asked.start) - HOUR,
            c.start < end,
            c.layout == reference.layout,
            c.rows > 0,
        )
    ).all()
    parts = {
        id(row): (max(asked.start, float(row.start)), min(end, float(row.start + row.seconds)))
        for row in rows
    }
    cut = joined(
        part
        for row in rows
        if (part := parts[id(row)])[1] - part[0] < row.seconds and (kept is None or part[0] >= kept)
    )
    # an hour that is cut may have minutes beside it, of rows that came in later
    found = [row for row in rows if not any(a <= parts[id(row)][0] < b for a, b in cut)]
    return found, joined([*cut, (max(asked.start, float(sealed)), asked.end)])


def joined(parts: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Intervals in ascending order, overlapping ones as one, empty ones left out."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(p for p in parts if p[0] < p[1]):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _of_rows(
    log: WindowLog, connection: sa.Connection, table: sa.Table, asked: Asked
) -> Iterator[tuple[float, Window]]:
    """Minutes counted from the log, with their begins."""
    columns = log.columns(table)(asked.version)
    assert columns is not None
    query = sa.select(*table.columns).where(
        table.c.model_version == asked.version,
        asked.of_role(table.c.role),
        table.c.at >= asked.start,
        table.c.at < asked.end,
    )
    result = connection.execution_options(stream_results=True).execute(query)
    while rows := result.fetchmany(ROWS):
        for key, window in columns.windows(rows).items():
            yield key.start, window
