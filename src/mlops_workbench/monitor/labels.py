"""Labels: what really happened, kept in the inference log by the request and row that they are about.

A label is kept whether or not its prediction is logged yet: see `label_store`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import InvalidData, NotFound, UsageError, closest
from mlops_workbench.base.values import Value
from mlops_workbench.monitor.inference import has_role, opened, predictions_table
from mlops_workbench.monitor.label_store import Incoming, label_tables


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
    corrected: int = 0
    """of those replaced, how many say something else now; the earlier value is kept in the history"""

    @property
    def title(self) -> str:
        parts = [f"{self.matched:,} of {self.total:,} labels found their prediction"]
        for count, what in (
            (self.unmatched, "wait for theirs and are kept"),
            (self.replaced, "replaced an earlier one"),
            (self.corrected, "of these were corrections, whose earlier value is kept"),
            (self.doubled, "were there twice, and the later one counts"),
            (self.skipped, "rows had none"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        said = "; ".join(parts) + "."
        if self.total and not self.matched:
            said += " None has found one yet: check the ids if their predictions should be there."
        return said


@dataclass(frozen=True, slots=True)
class LabelForm:
    """How labels are written. `column`: None is the frame's only other one. `classes`: those of the model, None
    where any value may come. `mapping`: other words for the classes, such as YES for Yes.

    `wait`: keep labels also if none finds its prediction, or nothing of the model is logged yet."""

    column: str | None = None
    classes: Sequence[Any] | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    wait: bool = False


def write_labels(
    url: str, model: str, frame: pd.DataFrame, form: LabelForm | None = None, *, now: datetime | None = None
) -> LabelReceipt:
    """Keep what really happened, by `request_id` and `row_index`, which requests of one row need not have.

    A later label for the same row replaces the earlier one, whose value goes to the history; a repeated one keeps its
    time. Labels without a logged prediction are kept. Rows without a label are skipped. Raises InvalidData if the frame
    or a label does not fit, and, unless they shall wait, if no label finds its prediction: then the ids are wrong more
    often than the log is late; nothing is written. Raises NotFound if nothing of this model has been logged.
    """
    form = form or LabelForm()
    came = (now or SYSTEM.now()).timestamp()
    with opened(url, make=form.wait) as engine:
        predictions, kind = logged_kind(engine, model, form)
        column = label_column(frame, form.column, ("request_id", "row_index"))
        known = frame[frame[column].notna() & frame["request_id"].notna()]
        found = pd.DataFrame(
            {
                "request_id": known["request_id"].astype(str),
                "row_index": _places(known["row_index"]) if "row_index" in frame else 0,
                "label": as_predicted(known[column], form, is_text=isinstance(kind, sa.String)),
                "at": came,
                "origin": None,
            }
        )
        if "row_index" not in frame and (twice := found["request_id"][found["request_id"].duplicated()]).size:
            raise _without_places(twice.iloc[0])
        unique = found.drop_duplicates(["request_id", "row_index"], keep="last")
        tables = label_tables(model, kind)
        tables.create(engine)
        with engine.connect() as connection:
            rows = unique.to_dict("records")
            incoming = Incoming.made(connection, tables.labels, rows, "labels")
            matched = 0
            if predictions is not None:
                if rows and "row_index" not in frame:
                    _require_one_row(connection, predictions, incoming)
                pair = ["request_id", "row_index"]
                answered = incoming.counted(predictions, pair, has_role(predictions, None))
                matched = int(connection.execute(answered).scalar_one())
            if rows and not matched and not form.wait:
                raise _none_matched(len(rows), str(rows[0]["request_id"]))
            replaced, corrected = overtaken(connection, incoming)
            connection.commit()
            incoming.write(connection, tables.history, came)
            incoming.drop(connection)
    doubled = len(found) - len(unique)
    skipped = len(frame) - len(known)
    return LabelReceipt(
        matched, len(rows) - matched, replaced, skipped, len(rows), doubled, corrected=corrected
    )


def logged_kind(engine: sa.Engine, model: str, form: LabelForm) -> tuple[sa.Table | None, Any]:
    """The model's log and the type of its answers, which labels have; of a model that nothing is logged of, the type
    of its classes. Raises NotFound for that unless labels shall wait."""
    try:
        table = predictions_table(engine, model)
    except NotFound:
        if not form.wait:
            raise
        texts = any(isinstance(one, str) for one in form.classes or ())
        return None, sa.Text() if texts else sa.Double()
    return table, sa.Text() if isinstance(table.c.prediction.type, sa.String) else sa.Double()


def overtaken(connection: sa.Connection, incoming: Incoming) -> tuple[int, int]:
    """How many of the incoming labels were there before, and how many of these say something else now."""
    replaced = incoming.counted(incoming.target, incoming.key)
    corrected = incoming.counted(incoming.target, incoming.key, incoming.differs)
    return int(connection.execute(replaced).scalar_one()), int(connection.execute(corrected).scalar_one())


def _require_one_row(connection: sa.Connection, predictions: sa.Table, incoming: Incoming) -> None:
    several = sa.select(predictions.c.request_id).where(
        predictions.c.row_index > 0,
        predictions.c.request_id.in_(sa.select(incoming.table.c.request_id)),
    )
    if (request := connection.execute(several.limit(1)).scalar()) is not None:
        raise _without_places(request)


def _none_matched(count: int, request: str) -> InvalidData:
    return InvalidData(
        f"None of the {count:,} labels belongs to a logged prediction, such as that of the request '{request}'.",
        "Take request_id and row_index from the answers of predict, or from the log; if their predictions are logged "
        "later, keep them with the option wait.",
    )


def label_column(frame: pd.DataFrame, column: str | None, own: Sequence[str]) -> str:
    """Which column holds the labels. `own`: those that say what a label is of; the first must be there."""
    if own[0] not in frame:
        raise InvalidData(
            f"The labels have no column '{own[0]}'.",
            "It is in the answer to each request, and in the log."
            if own[0] == "request_id"
            else closest(own[0], map(str, frame.columns)),
        )
    others = [str(name) for name in frame.columns if name not in own]
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
        words = labels.map(word)
        if unused := sorted(set(form.mapping) - set(words)):
            raise UsageError(f"No label is '{unused[0]}'.", closest(unused[0], sorted(set(words))))
        labels = words.map(lambda word: form.mapping.get(word, word))
    values = labels.map(word) if is_text else pd.to_numeric(labels, errors="coerce").astype(float)
    if form.classes:
        # an earlier version may have had texts where the log holds numbers now
        allowed = {
            word(c) if is_text else float(c) for c in form.classes if is_text or not isinstance(c, str)
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
        f"{word(value)}={word(classes[0])}",
    )


def word(value: Any) -> str:
    """A label as text; a whole number that became a float, as it does beside gaps, as the whole number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
