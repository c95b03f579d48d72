"""Labels given by an entity's key and a time, `customer_id` and `event_time`, instead of a request's id.

A label belongs to the logged row with that key whose answer's time is nearest at or before the label's time, and at
most the tolerance before it. Of several such rows of one moment it is the last by request id and row. Of several
labels that belong to one row the latest by its own time counts; a label given by the row's request id counts before
all of them. So what a row is labelled with does not depend on the order in which rows and labels come: a label that
waits, or belongs to an older row, moves to a nearer one when that is logged later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import InvalidData, NotFound
from mlops_workbench.monitor.inference import (
    LogSelection,
    has_role,
    logged_features,
    opened,
    predictions_table,
    read,
)
from mlops_workbench.monitor.label_store import (
    KEYED,
    LABEL_CHUNK,
    Incoming,
    LabelTables,
    label_tables,
    lock,
)
from mlops_workbench.monitor.labels import (
    LabelForm,
    LabelReceipt,
    as_predicted,
    label_column,
    logged_kind,
    overtaken,
    word,
)

_PLACE = ["request_id", "row_index"]


@dataclass(frozen=True, slots=True)
class EntityKey:
    """By what labels find their row. `column`: a logged feature, and the column of its values in the labels; `at`:
    the column of the labels' time; `tolerance`: seconds that an answer may lie before it, None for any."""

    column: str
    at: str
    tolerance: float | None = None


def write_keyed_labels(
    url: str,
    model: str,
    frame: pd.DataFrame,
    key: EntityKey,
    form: LabelForm | None = None,
    *,
    now: datetime | None = None,
) -> LabelReceipt:
    """Keep what really happened to an entity, and match it with the rows that are logged: see the module.

    A label of the same key and time replaces the earlier one, whose value goes to the history. Rows without a label,
    a key or a time are skipped. Raises InvalidData if the key is no logged feature, the frame or a label does not fit,
    or, unless they shall wait, no key is logged at all; nothing is written then. Raises NotFound if nothing of this
    model has been logged.
    """
    form = form or LabelForm()
    came = (now or SYSTEM.now()).timestamp()
    with opened(url, make=form.wait) as engine:
        predictions, kind = logged_kind(engine, model, form)
        if predictions is not None:
            logged_features(predictions, [key.column])
        found, skipped = _labels(frame, key, form, came, is_text=isinstance(kind, sa.String))
        unique = found.drop_duplicates(["key", "at"], keep="last")
        rows = unique.to_dict("records")
        if rows and not form.wait and predictions is not None:
            known = set(_words(read(url, model, features=[key.column]).features[key.column]))
            if known.isdisjoint(unique["key"]):
                raise _none_known(key.column, unique["key"])
        tables = label_tables(model, kind)
        tables.create(engine)
        with engine.connect() as connection:
            incoming = Incoming.made(connection, tables.keyed, rows, "keyed")
            replaced, corrected = overtaken(connection, incoming)
            connection.commit()
            incoming.write(connection, tables.history, came)
            incoming.drop(connection)
        matched = 0
        if predictions is not None:
            assigned = _match(engine, url, model, tables)
            mine = assigned["key_column"] == key.column
            pairs = pd.MultiIndex.from_frame(assigned[mine & assigned["request_id"].notna()][["key", "at"]])
            matched = int(pd.MultiIndex.from_frame(unique[["key", "at"]]).isin(pairs).sum())
    doubled = len(found) - len(unique)
    return LabelReceipt(
        matched, len(rows) - matched, replaced, skipped, len(rows), doubled, corrected=corrected
    )


def settle(url: str, model: str) -> None:
    """Match labels given by a key with rows that were logged since; little work when there are none."""
    with opened(url) as engine:
        try:
            predictions = predictions_table(engine, model)
        except NotFound:
            return
        tables = label_tables(model, predictions.c.prediction.type)
        if not sa.inspect(engine).has_table(tables.keyed.name):
            return
        with engine.connect() as connection:
            if connection.execute(sa.select(tables.keyed.c.key).limit(1)).first() is None:
                return
            marks = tables.marks.c
            query = sa.select(marks.rows, marks.moments).where(marks.model == model)
            mark = connection.execute(query).first()
            rows = connection.execute(_count(predictions)).one()
        if mark is None or tuple(mark) != tuple(rows):
            _match(engine, url, model, tables)


def _labels(
    frame: pd.DataFrame, key: EntityKey, form: LabelForm, came: float, *, is_text: bool
) -> tuple[pd.DataFrame, int]:
    """The frame's labels as they are kept, and how many of its rows are none."""
    column = label_column(frame, form.column, (key.column, key.at))
    if key.at not in frame:
        raise InvalidData(
            f"The labels have no column '{key.at}' with their time.", "Name it with the option at."
        )
    at = _times(frame[key.at], key.at)
    known = frame[column].notna() & frame[key.column].notna() & at.notna()
    some = frame[known]
    found = pd.DataFrame(
        {
            "key_column": key.column,
            "key": _words(some[key.column]),
            "at": at[known].astype(float),
            "label": as_predicted(some[column], form, is_text=is_text),
            "tolerance": key.tolerance,
            "came": came,
            "request_id": None,
            "row_index": None,
        }
    )
    return found, int((~known).sum())


def _times(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Unix seconds: numbers are that already, all else is a time, without a zone in UTC. Raises InvalidData."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(float)
    found = pd.to_datetime(
        column, errors="coerce", utc=True, format="ISO8601" if column.dtype == object else None
    )
    wrong = found.isna() & column.notna()
    if wrong.any():
        raise InvalidData(
            f"'{name}' of a label must be a time. Got {column[wrong].iloc[0]!r} instead.",
            "Write times such as 2026-03-01T12:30, or Unix seconds.",
        )
    seconds = (found - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return seconds.astype(float)


def _words(column: pd.Series[Any]) -> pd.Series[Any]:
    """Keys as text, a whole number without a fraction; None where there is none."""
    codes, values = pd.factorize(column)
    words = np.array([*(word(value) for value in values.tolist()), None], dtype=object)
    return pd.Series(words[codes], index=column.index, dtype=object)


def _none_known(column: str, keys: pd.Series[Any]) -> InvalidData:
    return InvalidData(
        f"None of the {keys.nunique():,} keys was ever asked about, such as {column} '{keys.iloc[0]}'.",
        "Write keys as the model was asked with them; if their predictions are logged later, keep the labels with the "
        "option wait.",
    )


def _count(predictions: sa.Table) -> sa.Select[Any]:
    """By what it is noticed that rows came or went."""
    moments = sa.func.coalesce(sa.func.sum(predictions.c.at), 0.0)
    return sa.select(sa.func.count(), moments).where(has_role(predictions, None))


def _match(engine: sa.Engine, url: str, model: str, tables: LabelTables) -> pd.DataFrame:
    """Bring each keyed label to its row, and each row's label up to date; the keyed labels with their rows.

    Two may do so at once: what either writes follows from what it has read, and whoever read fewer rows leaves a mark
    that makes the next look again.
    """
    predictions = predictions_table(engine, model)
    with engine.connect() as connection:
        rows, moments = connection.execute(_count(predictions)).one()
        keyed = pd.DataFrame(
            connection.execute(sa.select(tables.keyed)).all(), columns=[c.name for c in tables.keyed.columns]
        )
    before = keyed[_PLACE]
    keyed["tolerance"] = keyed["tolerance"].astype(float)
    parts = [
        _nearest(group, _logged(url, model, str(column), group))
        for column, group in keyed.groupby("key_column")
    ]
    found = pd.concat(parts).reindex(keyed.index) if parts else before
    keyed = keyed.assign(request_id=found["request_id"], row_index=found["row_index"])
    changed = keyed[_moved(before, found)]
    _assign(engine, tables.keyed, changed)
    _bring_up_to_date(engine, tables, keyed)
    with engine.begin() as connection:
        lock(connection)
        connection.execute(sa.delete(tables.marks).where(tables.marks.c.model == model))
        connection.execute(sa.insert(tables.marks).values(model=model, rows=rows, moments=moments))
    return keyed


def _logged(url: str, model: str, column: str, keyed: pd.DataFrame) -> pd.DataFrame:
    """Answered rows that any of the labels may belong to, with their keys; by time, then request and row."""
    since = None if keyed["tolerance"].isna().any() else float((keyed["at"] - keyed["tolerance"]).min())
    latest = float(np.nextafter(keyed["at"].max(), np.inf))
    rows = read(url, model, LogSelection(since=since, until=latest), features=[column])
    at = (rows.facts["at"] - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    found = rows.facts[_PLACE].assign(at=at, key=_words(rows.features[column]))
    return found[found["key"].notna()]


def _nearest(keyed: pd.DataFrame, logged: pd.DataFrame) -> pd.DataFrame:
    """`request_id` and `row_index` for each label, missing where it has no row."""
    ordered = keyed[["key", "at", "tolerance"]].sort_values("at", kind="stable")
    ordered["key"] = ordered["key"].astype(object)
    joined = pd.merge_asof(
        ordered, logged.assign(answered=logged["at"]), on="at", by="key", direction="backward"
    )
    joined.index = ordered.index
    far = joined["at"] - joined["answered"] > joined["tolerance"]  # never for a missing tolerance
    return joined[_PLACE].mask(far)


def _moved(before: pd.DataFrame, now: pd.DataFrame) -> Any:
    same = pd.Series(True, index=before.index)
    for name in _PLACE:
        same &= (before[name] == now[name]) | (before[name].isna() & now[name].isna())
    return ~same


def _assign(engine: sa.Engine, keyed: sa.Table, changed: pd.DataFrame) -> None:
    update = (
        sa.update(keyed)
        .where(
            keyed.c.key_column == sa.bindparam("b_column"),
            keyed.c.key == sa.bindparam("b_key"),
            keyed.c.at == sa.bindparam("b_at"),
        )
        .values(request_id=sa.bindparam("b_request"), row_index=sa.bindparam("b_row"))
    )
    names = ("b_column", "b_key", "b_at", "b_request", "b_row")
    columns = [changed[name].tolist() for name in ("key_column", "key", "at", *_PLACE)]
    values = [
        dict(
            zip(
                names,
                (*head, *((request, int(row)) if isinstance(request, str) else (None, None))),
                strict=True,
            )
        )
        for *head, request, row in zip(*columns, strict=True)
    ]
    _in_chunks(engine, update, values)


def _bring_up_to_date(engine: sa.Engine, tables: LabelTables, keyed: pd.DataFrame) -> None:
    """The rows' labels that came by a key: those that no longer belong there go, new and changed ones come."""
    labels = tables.labels
    matched = keyed[keyed["request_id"].notna()].sort_values("at", kind="stable")
    columns = [matched[name].tolist() for name in (*_PLACE, "label", "at")]
    wanted = {  # of several for one row the latest stays
        (request, int(row)): (label, at) for request, row, label, at in zip(*columns, strict=True)
    }
    query = sa.select(labels.c.request_id, labels.c.row_index, labels.c.label, labels.c.at)
    with engine.connect() as connection:
        there = {
            (row.request_id, row.row_index): (row.label, row.at)
            for row in connection.execute(query.where(labels.c.origin == KEYED))
        }
    gone = [{"b_request": key[0], "b_row": key[1]} for key in there if key not in wanted]
    new = [
        {"request_id": key[0], "row_index": key[1], "label": value[0], "at": value[1], "origin": KEYED}
        for key, value in wanted.items()
        if there.get(key) != value
    ]
    own = (labels.c.request_id == sa.bindparam("b_request")) & (labels.c.row_index == sa.bindparam("b_row"))
    _in_chunks(engine, sa.delete(labels).where(own, labels.c.origin == KEYED), gone)
    insert: Any = _upsert(engine, labels)
    _in_chunks(engine, insert, new)


def _upsert(engine: sa.Engine, labels: sa.Table) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(labels)
    taken = {"label": insert.excluded.label, "at": insert.excluded.at}
    # a label given by the request's id has no origin, and stays
    return insert.on_conflict_do_update(index_elements=_PLACE, set_=taken, where=labels.c.origin == KEYED)


def _in_chunks(engine: sa.Engine, statement: Any, values: list[dict[str, Any]]) -> None:
    for start in range(0, len(values), LABEL_CHUNK):
        with engine.begin() as connection:
            lock(connection)
            connection.execute(statement, values[start : start + LABEL_CHUNK])
