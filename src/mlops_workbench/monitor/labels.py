"""Labels: what really happened, kept in the inference log by the request and row that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import InvalidData, UsageError, closest
from mlops_workbench.base.values import Value
from mlops_workbench.monitor.inference import has_role, labels_table, opened, predictions_table

LABEL_CHUNK = 5_000
"""labels written in one transaction: the runtime commits before it answers, and waits no longer than that"""


@dataclass(frozen=True)
class LabelReceipt(Value):
    """What became of a frame of labels."""

    matched: int
    """labels whose row was answered and is logged"""
    unmatched: int
    """labels of a request that is not logged (yet): kept, and used once it is"""
    replaced: int
    """labels that took the place of an earlier one for the same row"""
    skipped: int
    """rows without a label"""
    total: int
    """labels written"""
    doubled: int = 0
    """labels that were not written, since a later row labels the same row again"""

    @property
    def title(self) -> str:
        parts = [f"{self.matched:,} of {self.total:,} labels found their prediction"]
        for count, what in (
            (self.replaced, "replaced an earlier one"),
            (self.doubled, "were there twice, and the later one counts"),
            (self.skipped, "rows had none"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        return "; ".join(parts) + "."


@dataclass(frozen=True, slots=True)
class LabelForm:
    """How labels are written. `column`: None is the frame's only other one. `classes`: those of the model, None
    where any value may come. `mapping`: other words for the classes, such as YES for Yes."""

    column: str | None = None
    classes: Sequence[Any] | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)


def write_labels(
    url: str, model: str, frame: pd.DataFrame, form: LabelForm | None = None, *, now: datetime | None = None
) -> LabelReceipt:
    """Keep what really happened, by `request_id` and `row_index`, which requests of one row need not have.

    A later label for the same row replaces the earlier one; labels without a logged prediction are kept if others
    have one. Rows without a label are skipped. Raises InvalidData if the frame or a label does not fit, or no label
    finds its prediction; nothing is written then. Raises NotFound if nothing of this model has been logged.
    """
    form = form or LabelForm()
    with opened(url) as engine:
        predictions = predictions_table(engine, model)
        column = _label_column(frame, form.column)
        known = frame[frame[column].notna() & frame["request_id"].notna()]
        kind = predictions.c.prediction.type
        values = as_predicted(known[column], form, is_text=isinstance(kind, sa.String))
        found = pd.DataFrame(
            {
                "request_id": known["request_id"].astype(str),
                "row_index": _places(known["row_index"]) if "row_index" in frame else 0,
                "label": values,
                "at": (now or SYSTEM.now()).timestamp(),
            }
        )
        if "row_index" not in frame and (twice := found["request_id"][found["request_id"].duplicated()]).size:
            raise _without_places(twice.iloc[0])
        unique = found.drop_duplicates(["request_id", "row_index"], keep="last")
        labels = labels_table(model, sa.Text() if isinstance(kind, sa.String) else sa.Double())
        labels.create(engine, checkfirst=True)
        rows = unique.to_dict("records")
        matched, replaced = _merge(engine, predictions, labels, rows, places="row_index" in frame)
    return LabelReceipt(
        matched, len(rows) - matched, replaced, len(frame) - len(known), len(rows), len(found) - len(unique)
    )


def _label_column(frame: pd.DataFrame, column: str | None) -> str:
    if "request_id" not in frame:
        raise InvalidData(
            "The labels have no column 'request_id'.", "It is in the answer to each request, and in the log."
        )
    others = [str(name) for name in frame.columns if name not in ("request_id", "row_index")]
    if column is None:
        if len(others) != 1:
            raise InvalidData(f"The labels have {len(others)} columns that could be the label.", "Name one.")
        column = others[0]
    if column not in others:
        raise InvalidData(f"The labels have no column '{column}'.", closest(column, others))
    return column


def _places(column: pd.Series[Any]) -> pd.Series[Any]:
    """Raises InvalidData for what is no whole number from 0 up."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = ~(numbers.ge(0) & numbers.mod(1).eq(0))
    if wrong.any():
        raise InvalidData(
            f"The 'row_index' of a label must be a whole number from 0 up. Got {column[wrong].iloc[0]!r} instead.",
            "It is in the answer to each request, and in the log.",
        )
    return numbers.astype(int)


def _without_places(request: str) -> InvalidData:
    return InvalidData(
        f"The request '{request}' has several rows, and the labels have no column 'row_index'.",
        "Say which row each label is of: row_index is in the answer to each request, and in the log.",
    )


def as_predicted(labels: pd.Series[Any], form: LabelForm, *, is_text: bool) -> pd.Series[Any]:
    """As predictions are stored: text, or numbers (true and false as 1 and 0). Raises InvalidData, UsageError."""
    if form.mapping:
        words = labels.map(_word)
        if unused := sorted(set(form.mapping) - set(words)):
            raise UsageError(f"No label is '{unused[0]}'.", closest(unused[0], sorted(set(words))))
        labels = words.map(lambda word: form.mapping.get(word, word))
    values = labels.map(_word) if is_text else pd.to_numeric(labels, errors="coerce").astype(float)
    if form.classes:
        # an earlier version may have had texts where the log holds numbers now
        allowed = {
            _word(c) if is_text else float(c) for c in form.classes if is_text or not isinstance(c, str)
        }
        fits = values.isin(allowed)
    else:
        fits = values.notna()
    if not fits.all():
        raise _no_class(labels[~fits], len(labels), form.classes or ())
    return values


def _no_class(wrong: pd.Series[Any], total: int, classes: Sequence[Any]) -> InvalidData:
    value = wrong.iloc[0]
    if not classes:
        return InvalidData(
            f"The label {value!r} is not a number, but the model predicts numbers.",
            "Give labels as it predicts.",
        )
    known = ", ".join(repr(c) for c in classes[:10]) + (" …" if len(classes) > 10 else "")
    return InvalidData(
        f"{len(wrong):,} of {total:,} labels are no class of the model: {value!r} is none of {known}.",
        "Write them as the model does, or say what they stand for: the option mapping, such as "
        f"{_word(value)}={_word(classes[0])}",
    )


def _word(value: Any) -> str:
    """A label as text; a whole number that became a float, as it does beside gaps, as the whole number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _merge(
    engine: sa.Engine,
    predictions: sa.Table,
    labels: sa.Table,
    rows: Sequence[Mapping[Any, Any]],
    *,
    places: bool,
) -> tuple[int, int]:
    """Upserts in short transactions from a temporary table; (labels with a prediction, labels replaced).

    `places`: whether the rows of a request are told apart. Raises InvalidData where they must be, and where no label
    has a prediction.
    """
    incoming = sa.Table(
        "incoming_labels",
        sa.MetaData(),
        sa.Column("place", sa.Integer, primary_key=True),
        *(sa.Column(c.name, c.type) for c in labels.columns),
        prefixes=["TEMPORARY"],
    )

    def joined(other: sa.Table, *also: sa.ColumnElement[bool]) -> sa.Select[Any]:
        same = sa.and_(
            incoming.c.request_id == other.c.request_id, incoming.c.row_index == other.c.row_index, *also
        )
        return sa.select(sa.func.count()).select_from(incoming).where(sa.exists().where(same))

    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    names = [c.name for c in labels.columns]
    with engine.connect() as connection:
        incoming.create(connection)
        if rows:
            connection.execute(sa.insert(incoming), [{"place": i, **row} for i, row in enumerate(rows)])
        matched = int(connection.execute(joined(predictions, has_role(predictions, None))).scalar_one())
        if rows and not places:
            several = sa.select(predictions.c.request_id).where(
                predictions.c.row_index > 0, predictions.c.request_id.in_(sa.select(incoming.c.request_id))
            )
            if (request := connection.execute(several.limit(1)).scalar()) is not None:
                raise _without_places(request)
        if rows and not matched:
            raise InvalidData(
                f"None of the {len(rows):,} labels belongs to a logged prediction, such as that of the request "
                f"'{rows[0]['request_id']}'.",
                "Take request_id and row_index from the answers of predict, or from the log.",
            )
        replaced = int(connection.execute(joined(labels)).scalar_one())
        connection.commit()
        for start in range(0, len(rows), LABEL_CHUNK):
            part = sa.select(*(incoming.c[name] for name in names)).where(
                incoming.c.place.between(start, start + LABEL_CHUNK - 1)
            )
            upsert = dialect.insert(labels).from_select(names, part)
            taken = {"label": upsert.excluded.label, "at": upsert.excluded.at}
            connection.execute(upsert.on_conflict_do_update(index_elements=names[:2], set_=taken))
            connection.commit()
        incoming.drop(connection)
        connection.commit()
    return matched, replaced
