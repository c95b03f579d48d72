"""The logged rows of a model with their labels as plain arrays: what quality is measured on, a million rows in seconds.

Strings of request ids never leave the database: on SQLite the rows are read in one pass, and the labels in another
that runs through both keys in their order and answers with the row's number.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from mlops_workbench.monitor.inference import (
    LogSelection,
    has_role,
    labels_table,
    logged_features,
    opened,
    predictions_table,
    within,
)

_CHUNK = 5_000
"""rows fetched at once: few enough to stay in the processor's cache"""
_FACTS = ("at", "prediction", "score")


@dataclass(frozen=True)
class JudgedRows:
    """Columns that go together, in no order. `at`: when it was answered, in Unix seconds; `label`: missing (NaN of
    numbers, None of texts) where none has come; `labelled_at`: when it came, or by a key its own time."""

    at: Any
    prediction: Any
    score: Any
    label: Any
    labelled_at: Any
    features: dict[str, Any]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def labelled(self) -> Any:
        """Which rows have a label and an answer."""
        return np.isfinite(self.labelled_at) & _known(self.prediction)


def _known(values: Any) -> Any:
    if values.dtype != object:
        return np.isfinite(values)
    return np.array([value is not None for value in values.tolist()], dtype=bool)


def read(url: str, model: str, selection: LogSelection, features: Sequence[str] = ()) -> JudgedRows:
    """Raises NotFound if nothing of this model has been logged, InvalidData for a feature that is not in the log."""
    with opened(url) as engine:
        table = predictions_table(engine, model)
        columns = logged_features(table, list(features))
        labels = labels_table(model, table.c.prediction.type)
        labelled = sa.inspect(engine).has_table(labels.name)
        wanted = [*(table.c[name] for name in _FACTS), *(table.c[name] for name in columns.values())]
        if labelled and engine.dialect.name == "sqlite" and selection.since is None:
            found = _two_passes(engine, table, labels, wanted, selection)
        else:
            found = _joined(engine, table, labels if labelled else None, wanted, selection)
    at, prediction, score, *values, label, labelled_at = found
    return JudgedRows(at, prediction, score, label, labelled_at, dict(zip(columns, values, strict=True)))


def _joined(
    engine: sa.Engine, table: sa.Table, labels: sa.Table | None, wanted: list[Any], selection: LogSelection
) -> list[Any]:
    if labels is None:
        query = sa.select(*wanted)
    else:
        same = (labels.c.request_id == table.c.request_id) & (labels.c.row_index == table.c.row_index)
        wanted = [*wanted, labels.c.label, labels.c.at.label("labelled_at")]
        query = sa.select(*wanted).select_from(table.outerjoin(labels, same))
    with engine.connect() as connection:
        found = _columns(connection, within(query, table, selection), [c.type for c in wanted])
    if labels is None:
        missing = np.full(len(found[0]), np.nan)
        found += [
            missing if found[1].dtype != object else np.full(len(found[0]), None, dtype=object),
            missing,
        ]
    return found


def _two_passes(
    engine: sa.Engine, table: sa.Table, labels: sa.Table, wanted: list[Any], selection: LogSelection
) -> list[Any]:
    number: Any = sa.literal_column(f'"{table.name}".rowid')
    same = (labels.c.request_id == table.c.request_id) & (labels.c.row_index == table.c.row_index)
    pairs = sa.select(number, labels.c.label, labels.c.at).where(same, has_role(table, selection.roles))
    kinds = [sa.BigInteger(), *(column.type for column in wanted)]
    with engine.connect() as connection:
        for pragma in ("cache_size = -200000", "mmap_size = 2000000000"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("BEGIN")  # both passes see the same moment
        rows, *found = _columns(connection, within(sa.select(number, *wanted), table, selection), kinds)
        of, label, labelled_at = _columns(
            connection, pairs, [sa.BigInteger(), labels.c.label.type, sa.Double()]
        )
    every = np.full(len(rows), None, dtype=object) if label.dtype == object else np.full(len(rows), np.nan)
    came = np.full(len(rows), np.nan)
    target = _places(rows, of)
    mine = target >= 0
    every[target[mine]], came[target[mine]] = label[mine], labelled_at[mine]
    return [*found, every, came]


def _places(rows: Any, of: Any) -> Any:
    """Where in `rows` each of `of` is; -1 for what is not among them."""
    if not len(rows):
        return np.full(len(of), -1)
    low, high = int(rows.min()), int(rows.max())
    if high - low > 8 * len(rows) + 1_000_000:  # numbers with wide gaps
        order = np.argsort(rows)
        found = order[np.minimum(np.searchsorted(rows, of, sorter=order), len(rows) - 1)]
        return np.where(rows[found] == of, found, -1)
    place = np.full(high - low + 1, -1)
    place[rows - low] = np.arange(len(rows))
    inside = (of >= low) & (of <= high)
    return np.where(inside, place[np.where(inside, of - low, 0)], -1)


def _columns(connection: sa.Connection, query: sa.Select[Any], kinds: Sequence[Any]) -> list[Any]:
    """One array a column. The driver's own cursor: a million of SQLAlchemy's rows take as long as all the rest."""
    cursor: Any = connection.execute(query).cursor
    chunks: list[list[Any]] = []
    collecting = gc.isenabled()
    gc.disable()  # rows are no rubbish: looking for some among them takes a fifth of the time
    try:
        while rows := cursor.fetchmany(_CHUNK):
            chunks.append([_array(v, kind) for v, kind in zip(zip(*rows, strict=True), kinds, strict=True)])
    finally:
        if collecting:
            gc.enable()
    if not chunks:
        return [_array((), kind) for kind in kinds]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _array(values: Sequence[Any], kind: Any) -> Any:
    if isinstance(kind, sa.Integer) and None not in values:
        return np.array(values, dtype=np.int64)
    if isinstance(kind, sa.Float | sa.Numeric | sa.Integer | sa.Boolean):
        return np.array(values, dtype=np.float64)  # None becomes NaN
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
