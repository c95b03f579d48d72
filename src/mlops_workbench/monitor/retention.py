"""What is older than `[monitor]` says is deleted, in small transactions: a runtime that commits waits for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.config.monitor import FOREVER, MonitorPolicy
from mlops_workbench.monitor.inference import opened, predictions_table
from mlops_workbench.monitor.label_store import forget, label_tables
from mlops_workbench.monitor.periods import length
from mlops_workbench.monitor.windowed import WindowLog, added
from mlops_workbench.serving.windows import WindowKey, record, sealed_until
from mlops_workbench.summary.window import HOUR, MINUTE, Window

BATCH = 2_000
"""rows of one transaction"""
MERGED = "merged"
"""the writer of an hour that was made of minutes"""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows and windows that were too old, and hours that were made of minutes."""

    rows: int
    windows: int
    hours: int


def prune(log: WindowLog, policy: MonitorPolicy, now: float, progress: Progress = silent) -> Deleted:
    """Only what is sealed. Raises NotFound if nothing of the model is logged."""
    with log.writing() as writer, opened(log.url) as reader:
        with reader.connect() as connection:
            mark = sealed_until(connection, log.tables)
        hours = _merge_minutes(log, reader, writer, min(mark, _before(policy.keep_minutes, now)), progress)
        rows = _delete_rows(log, reader, writer, min(mark, _before(policy.keep_rows, now)), progress)
        windows = log.tables.windows
        old = sa.delete(windows).where(
            windows.c.start + windows.c.seconds <= _before(policy.keep_windows, now)
        )
        with writer.begin() as connection:
            gone = connection.execute(old).rowcount
    return Deleted(rows, gone, hours)


def _before(kept: str, now: float) -> float:
    return -1.0 if kept == FOREVER else now - length(kept)


def _merge_minutes(
    log: WindowLog, reader: sa.Engine, writer: sa.Engine, before: float, progress: Progress
) -> int:
    """Minutes of whole hours that ended before; how many hours were made of them."""
    windows = log.tables.windows
    hour = windows.c.start - windows.c.start % HOUR
    last = int(before) // HOUR * HOUR
    query = sa.select(hour).distinct().where(windows.c.seconds == MINUTE, windows.c.start < last)
    with reader.connect() as connection:
        hours = sorted(connection.execute(query).scalars())
    for done, start in enumerate(hours):
        with writer.begin() as connection:
            _merge(log, connection, int(start))
        progress("keeping hours in place of minutes", done / len(hours))
    return len(hours)


def _merge(log: WindowLog, connection: sa.Connection, hour: int) -> None:
    c = log.tables.windows.c
    within = (c.start >= hour, c.start < hour + HOUR)
    sums: dict[tuple[str, str, str], tuple[Window, dict[str, int]]] = {}
    for row in connection.execute(sa.select(log.tables.windows).where(*within)).all():
        reference = log.references(row.version)
        if reference is None or (row.layout != reference.layout and row.rows):
            return  # counted against what nobody knows any more: it stays as it is
        window, errors = sums.setdefault(
            (row.version, row.role, reference.layout), (Window.empty(reference), {})
        )
        if row.rows:
            window.add_dumped(reference, [(row.rows, row.requests, row.counts)])
        for code, count in added([row.errors]).items():
            errors[code] = errors.get(code, 0) + count
    connection.execute(sa.delete(log.tables.windows).where(*within))
    rows = [
        record(WindowKey(version, role, hour, HOUR), MERGED, layout, window if window.rows else None, errors)
        for (version, role, layout), (window, errors) in sums.items()
    ]
    if rows:
        connection.execute(sa.insert(log.tables.windows), rows)


def _delete_rows(
    log: WindowLog, reader: sa.Engine, writer: sa.Engine, before: float, progress: Progress
) -> int:
    table = predictions_table(reader, log.model)
    every = label_tables(log.model, table.c.prediction.type)
    labels = [one for one in (every.labels, every.history) if sa.inspect(reader).has_table(one.name)]
    with reader.connect() as connection:
        total = int(connection.execute(sa.select(sa.func.count()).where(table.c.at < before)).scalar_one())
    if not total:
        _forget_labels(log, reader, writer, table, before)
        return 0
    # what is answered meanwhile for a minute that is gone must not be counted again from a log that lacks it
    with writer.begin() as connection:
        marks = log.tables.marks
        kept = sa.update(marks).where(marks.c.model == log.model)
        connection.execute(kept.values(kept_from=int(before)))
    gone = 0
    while deleted := _batch(writer, table, labels, before):
        gone += deleted
        progress(f"deleting {total:,} old rows", min(1.0, gone / total))
    _forget_labels(log, reader, writer, table, before)
    return gone


def _forget_labels(
    log: WindowLog, reader: sa.Engine, writer: sa.Engine, table: sa.Table, before: float
) -> None:
    """Labels that wait, by a key, and before a correction: what else is kept of rows that are gone."""
    tables = label_tables(log.model, table.c.prediction.type)
    if before >= 0 and sa.inspect(reader).has_table(tables.history.name):
        with writer.begin() as connection:
            forget(connection, tables, table, before)


def _batch(writer: sa.Engine, table: sa.Table, labels: Sequence[sa.Table], before: float) -> int:
    key = (table.c.request_id, table.c.row_index, table.c.role)
    oldest = sa.select(*key).where(table.c.at < before).order_by(table.c.at).limit(BATCH)
    with writer.begin() as connection:
        rows = connection.execute(oldest).all()
        if not rows:
            return 0
        requests = orjson.dumps(sorted({row.request_id for row in rows})).decode()
        old = sa.delete(table).where(table.c.at < before, table.c.request_id.in_(_each(connection, requests)))
        deleted = connection.execute(old).rowcount
        for one in labels:
            left = sa.select(table.c.request_id).where(table.c.request_id == one.c.request_id)
            connection.execute(
                sa.delete(one).where(
                    one.c.request_id.in_(_each(connection, requests)), ~sa.exists(left.correlate(one))
                )
            )
    return deleted


def _each(connection: sa.Connection, texts: str) -> Any:
    """The texts of a JSON list as rows: one parameter for thousands."""
    if connection.dialect.name == "postgresql":
        return sa.select(
            sa.func.jsonb_array_elements_text(sa.cast(sa.literal(texts, sa.Text), postgresql.JSONB))
        )
    return sa.select(sa.func.json_each(texts, type_=sqlite.JSON).table_valued("value").c.value)
