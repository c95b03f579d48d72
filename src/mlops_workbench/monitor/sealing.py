"""Sealing: minutes that are over get windows that hold exactly what the log holds.

Each minute's rows are counted once in the log and compared with what the runtimes wrote. What differs (a runtime was
killed, its database did not answer, it writes no windows, a clock went backwards) is counted again from the log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.monitor.inference import opened, predictions_table
from mlops_workbench.monitor.windowed import ROWS, WindowLog, added
from mlops_workbench.serving.windows import WindowKey, record, sealed_until
from mlops_workbench.summary.window import HOUR, MINUTE, Window

LATE_SECONDS = 120
"""that a runtime has to commit a row and to write down its minute"""
_TOGETHER = 6 * HOUR
FROM_LOG = "log"
"""the writer of a window that was counted from the log"""

Written = Mapping[WindowKey, Mapping[str, tuple[int, str, str | None]]]
"""what was written of each window: rows, layout and errors, by writer"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """`until`: Unix seconds; `minutes` that were compared with the log, `again` those that were counted again."""

    until: int
    minutes: int
    again: int


class Engines(NamedTuple):
    reader: sa.Engine
    writer: sa.Engine


def seal(log: WindowLog, now: float, progress: Progress = silent) -> Sealed:
    """Up to two minutes ago. Several may do so at once. Raises NotFound if nothing of the model is logged."""
    until = int(now) // MINUTE * MINUTE - LATE_SECONDS
    minutes = again = 0
    with (
        log.writing() as writer,
        opened(log.url) as reader,
    ):  # the writer's transactions take the write lock at once
        engines = Engines(reader, writer)
        table = predictions_table(reader, log.model)
        for start in _noted(engines, log):
            again += _chunk(log, engines, table, _unit(reader, log, start), mark=None)[1]
        begun = mark = _mark(reader, log, table, until)
        while mark < until:
            stop = min(until, (mark // _TOGETHER + 1) * _TOGETHER)
            found, counted = _chunk(log, engines, table, (mark, stop, MINUTE), mark=stop)
            minutes, again = minutes + found, again + counted
            mark = max(stop, _next(reader, table, stop, until)) if stop < until else stop
            if until - begun > _TOGETHER:
                progress("counting the log", (mark - begun) / (until - begun))
    return Sealed(mark, minutes, again)


def _mark(engine: sa.Engine, log: WindowLog, table: sa.Table, until: int) -> int:
    with engine.connect() as connection:
        known = sealed_until(connection, log.tables)
    return max(known, _next(engine, table, known, until))


def _next(engine: sa.Engine, table: sa.Table, start: int, until: int) -> int:
    """The first minute from `start` on of which the log has a row."""
    with engine.connect() as connection:
        first = connection.execute(sa.select(sa.func.min(table.c.at)).where(table.c.at >= start)).scalar()
    return until if first is None else min(until, int(first // MINUTE) * MINUTE)


def _noted(engines: Engines, log: WindowLog) -> list[int]:
    """Sealed minutes of which more came later. Where the log's rows were deleted meanwhile nothing can be counted."""
    again, marks = log.tables.again, log.tables.marks
    with engines.reader.connect() as connection:
        starts = list(connection.execute(sa.select(again.c.start)).scalars())
        if not starts:
            return []
        kept = (
            connection.execute(sa.select(marks.c.kept_from).where(marks.c.model == log.model)).scalar() or 0
        )
    if any(start < kept for start in starts):
        with engines.writer.begin() as connection:
            connection.execute(sa.delete(again).where(again.c.start < kept))
    return [start for start in starts if start >= kept]


def _unit(engine: sa.Engine, log: WindowLog, start: int) -> tuple[int, int, int]:
    """The period, and seconds of a window, by which a sealed minute is kept now."""
    windows = log.tables.windows
    hour = start // HOUR * HOUR
    query = sa.select(sa.func.count()).where(windows.c.start == hour, windows.c.seconds == HOUR)
    with engine.connect() as connection:
        kept = connection.execute(query).scalar()
    return (hour, hour + HOUR, HOUR) if kept else (start, start + MINUTE, MINUTE)


def _chunk(
    log: WindowLog, engines: Engines, table: sa.Table, unit: tuple[int, int, int], *, mark: int | None
) -> tuple[int, int]:
    """Seal [start, stop) in windows of so many seconds; how many were compared, and how many counted again.

    Rows are counted outside of the transaction, since a runtime waits for it; what was written meanwhile is noticed.
    """
    start, stop, _ = unit
    while True:
        with engines.reader.connect() as connection:
            logged = _logged(connection, table, unit)
            written = _written(connection, log, unit)
        layouts = {v: r.layout if (r := log.references(v)) else None for v in {k.version for k in logged}}
        wrong = {
            key
            for key in {*logged, *written}
            if _differs(logged.get(key, 0), written.get(key, {}), layouts.get(key.version))
        }
        windows = _counted(log, engines.reader, table, unit, wrong) if wrong else {}
        with engines.writer.begin() as connection:
            moved = sealed_until(connection, log.tables, "move")
            if _written(connection, log, unit) != written:
                continue
            _replace(connection, log, wrong, windows, written)
            if mark is None:
                again = log.tables.again
                connection.execute(sa.delete(again).where(again.c.start >= start, again.c.start < stop))
            elif moved < mark:
                marks = log.tables.marks
                connection.execute(
                    sa.update(marks).where(marks.c.model == log.model).values(sealed_until=mark)
                )
        return len(logged), len(wrong)


def _differs(rows: int, written: Mapping[str, tuple[int, str, str | None]], layout: str | None) -> bool:
    counted = [(n, known) for n, known, _ in written.values() if n]
    if layout is None and rows:  # a version without a reference: nothing can be counted
        return False
    return sum(n for n, _ in counted) != rows or any(known != layout for _, known in counted)


def _logged(connection: sa.Connection, table: sa.Table, unit: tuple[int, int, int]) -> dict[WindowKey, int]:
    start, stop, seconds = unit
    at = table.c.at / seconds
    # SQLite's CAST cuts, PostgreSQL's rounds
    place = sa.cast(at if connection.dialect.name == "sqlite" else sa.func.floor(at), sa.BigInteger)
    query = (
        sa.select(table.c.model_version, table.c.role, place.label("place"), sa.func.count())
        .where(table.c.at >= start, table.c.at < stop)
        .group_by(table.c.model_version, table.c.role, sa.text("place"))
    )
    return {WindowKey(v, r, int(p) * seconds, seconds): int(n) for v, r, p, n in connection.execute(query)}


def _written(connection: sa.Connection, log: WindowLog, unit: tuple[int, int, int]) -> Written:
    start, stop, seconds = unit
    c = log.tables.windows.c
    query = sa.select(c.version, c.role, c.start, c.seconds, c.writer, c.rows, c.layout, c.errors).where(
        c.start >= start, c.start < stop
    )
    found: dict[WindowKey, dict[str, tuple[int, str, str | None]]] = {}
    for row in connection.execute(query):  # an hour may have minutes beside it, of rows that came in later
        key = WindowKey(row.version, row.role, row.start // seconds * seconds, seconds)
        found.setdefault(key, {})[f"{row.start} {row.seconds} {row.writer}"] = (
            row.rows,
            row.layout,
            row.errors,
        )
    return found


def _counted(
    log: WindowLog,
    engine: sa.Engine,
    table: sa.Table,
    unit: tuple[int, int, int],
    wanted: Collection[WindowKey],
) -> dict[WindowKey, Window]:
    seconds = unit[2]
    columns = log.columns(table)
    found: dict[WindowKey, Window] = {}
    low, high = min(k.start for k in wanted), max(k.start for k in wanted) + seconds
    query = sa.select(*table.columns).where(table.c.at >= low, table.c.at < high).order_by(table.c.at)
    version, at, role = (list(table.c.keys()).index(name) for name in ("model_version", "at", "role"))
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(query)
        while rows := result.fetchmany(ROWS):
            by_version: dict[str, list[Any]] = {}
            for row in rows:
                key = WindowKey(row[version], row[role], int(row[at]) // seconds * seconds, seconds)
                if key in wanted:
                    by_version.setdefault(row[version], []).append(row)
            for name, some in by_version.items():
                if (known := columns(name)) is None:
                    continue
                for key, window in known.windows(some, seconds).items():
                    if key in found:
                        found[key].add(window)
                    else:
                        found[key] = window
    return found


def _replace(
    connection: sa.Connection,
    log: WindowLog,
    wrong: Collection[WindowKey],
    windows: Mapping[WindowKey, Window],
    written: Written,
) -> None:
    table = log.tables.windows
    for key in wrong:
        errors = added(e for _, _, e in written.get(key, {}).values())
        connection.execute(
            sa.delete(table).where(
                table.c.version == key.version,
                table.c.role == key.role,
                table.c.start >= key.start,
                table.c.start < key.start + key.seconds,
            )
        )
        known = log.references(key.version)
        if key in windows or errors:
            layout = known.layout if known else ""
            connection.execute(sa.insert(table), [record(key, FROM_LOG, layout, windows.get(key), errors)])
