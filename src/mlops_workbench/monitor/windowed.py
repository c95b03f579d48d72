"""The windows of one model: what any period held, as the sum of what was counted while it was answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import sqlalchemy as sa

from mlops_workbench.monitor.inference import opened, predictions_table
from mlops_workbench.serving.tables import SHADOW, log_engine
from mlops_workbench.serving.windows import Columns, WindowTables, create, sealed_until, window_tables
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

    def add(at: float, window: Window) -> None:
        pieces[min(count - 1, max(0, int((at - start) // step)))].window.add(window)

    with opened(log.url) as engine:
        table = predictions_table(engine, log.model)
        mark = start
        with engine.connect() as connection:
            if sa.inspect(connection).has_table(log.tables.windows.name):
                mark = max(start, float(sealed_until(connection, log.tables, log.model) or start))
                for row in connection.execute(_sealed(log.tables.windows, reference, asked, min(mark, end))):
                    add(row.start, Window.loads(reference, row.rows, row.requests, row.counts))
            if mark < end:
                for at, window in _of_rows(log, connection, table, replace(asked, start=mark)):
                    add(at, window)
    yield from pieces


def _sealed(
    windows: sa.Table, reference: DataReference, asked: Asked, end: float
) -> sa.Select[tuple[int, int, int, bytes]]:
    c = windows.c
    return sa.select(c.start, c.rows, c.requests, c.counts).where(
        c.version == asked.version,
        asked.of_role(c.role),
        c.start + c.seconds > asked.start,
        c.start >= int(asked.start) - HOUR,
        c.start < end,
        c.layout == reference.layout,
        c.rows > 0,
    )


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
