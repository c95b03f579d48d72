"""The windows of one model: what any period held, as the sum of what was counted while it was answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from mlops_workbench.monitor.inference import opened, predictions_table
from mlops_workbench.serving.tables import SHADOW, log_engine
from mlops_workbench.serving.windows import Columns, WindowTables, create, sealed_until, window_tables
from mlops_workbench.summary.reference import Reference
from mlops_workbench.summary.window import Window

ROWS = 20_000
"""of the log that are counted at once"""


@dataclass(frozen=True)
class WindowLog:
    """Where a model's windows are, and against what they are counted."""

    url: str
    model: str
    references: Callable[[str], Reference | None]
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


def total(
    log: WindowLog, version: str, start: float, end: float, *, roles: Sequence[str] | None = None
) -> Sum | None:
    """The rows of a version that were answered in [start, end); None for a version without a reference.

    Sealed minutes are summed from windows, the last ones are counted from the log. `roles`: None is all whose answers
    callers got.
    """
    pieces = list(series(log, version, start, end, step=None, roles=roles))
    return pieces[0] if pieces else None


def series(
    log: WindowLog,
    version: str,
    start: float,
    end: float,
    *,
    step: float | None,
    roles: Sequence[str] | None = None,
) -> Iterator[Sum]:
    """The same in pieces of `step` seconds, counted from `start`; without one in one piece. Empty pieces, too."""
    reference = log.references(version)
    if reference is None:
        return
    step = step or max(1.0, end - start)
    count = max(1, -int(-(end - start) // step))
    pieces = [
        Sum(start + i * step, min(end, start + (i + 1) * step), Window.empty(reference)) for i in range(count)
    ]
    with opened(log.url) as engine:
        table = predictions_table(engine, log.model)
        tables = log.tables
        mark = start
        with engine.connect() as connection:
            if sa.inspect(connection).has_table(tables.windows.name):
                mark = max(start, float(sealed_until(connection, tables, log.model) or start))
                for row in connection.execute(
                    _sealed(tables.windows, reference, version, roles, start, min(mark, end))
                ):
                    place = min(count - 1, int((row.start - start) // step)) if row.start >= start else 0
                    pieces[place].window.add(Window.loads(reference, row.rows, row.requests, row.counts))
            if mark < end:
                _count_rows(log, connection, table, version, roles, (mark, end), pieces, step)
    yield from pieces


def _sealed(
    windows: sa.Table,
    reference: Reference,
    version: str,
    roles: Sequence[str] | None,
    start: float,
    end: float,
) -> sa.Select[tuple[int, int, int, bytes]]:
    return sa.select(windows.c.start, windows.c.rows, windows.c.requests, windows.c.counts).where(
        windows.c.version == version,
        windows.c.role != SHADOW if roles is None else windows.c.role.in_(roles),
        windows.c.start + windows.c.seconds > start,
        windows.c.start >= int(start) - 3600,
        windows.c.start < end,
        windows.c.layout == reference.layout,
        windows.c.rows > 0,
    )


def _count_rows(
    log: WindowLog,
    connection: sa.Connection,
    table: sa.Table,
    version: str,
    roles: Sequence[str] | None,
    period: tuple[float, float],
    pieces: Sequence[Sum],
    step: float,
) -> None:
    columns = log.columns(table)(version)
    assert columns is not None
    query = sa.select(*table.columns).where(
        table.c.model_version == version,
        table.c.role != SHADOW if roles is None else table.c.role.in_(roles),
        table.c.at >= period[0],
        table.c.at < period[1],
    )
    result = connection.execution_options(stream_results=True).execute(query)
    begin = pieces[0].start
    while rows := result.fetchmany(ROWS):
        for key, window in columns.windows(rows).items():
            place = min(len(pieces) - 1, max(0, int((key.start - begin) // step)))
            pieces[place].window.add(window)
