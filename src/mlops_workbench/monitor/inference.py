"""The inference log: what a model was asked and answered, and the labels that came later.

The serving runtime writes `predictions_<slug>`; labels are kept beside it in `labels_<slug>`. Tables are read
by name, so that whatever columns the runtime added are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlops_workbench.base.clock import SYSTEM
from mlops_workbench.base.errors import (
    InvalidConfig,
    InvalidData,
    MissingDependency,
    NotFound,
    UsageError,
    closest,
)
from mlops_workbench.base.values import Value
from mlops_workbench.manifest import Task
from mlops_workbench.monitor.performance import Performance, classification, regression
from mlops_workbench.serving.tables import SHADOW, feature_columns, slug, table_name

Moment = datetime | float
"""a time (without a zone: UTC) or Unix seconds"""

CHUNK = 50_000
"""rows fetched at once: bounds how many Python objects exist beside the columns"""

LABEL_CHUNK = 5_000
"""labels written in one transaction: the runtime commits before it answers, and waits no longer than that"""


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which logged rows of a model are meant."""

    versions: Sequence[str | int] | None = None
    """None: all"""
    roles: Sequence[str] | None = None
    """None: what was answered, that is every role except "shadow\""""
    since: Moment | None = None
    """included"""
    until: Moment | None = None
    """not included"""


EVERYTHING = LogSelection()


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

    @property
    def title(self) -> str:
        return f"{self.matched:,} of {self.total:,} labels found their prediction."


def read(
    url: str,
    model: str,
    selection: LogSelection = EVERYTHING,
    *,
    features: Sequence[str] | None = None,
    limit: int | None = None,
    datetimes: Sequence[str] = (),
) -> pd.DataFrame:
    """Logged rows, oldest first: features under their own names, then request_id, row_index, at (UTC),
    model_version, prediction and score.

    `features` defaults to all logged; `limit` takes the newest rows; `datetimes` names features that are stored as
    ISO 8601 text and shall be times again. Raises NotFound if nothing of this model has been logged, InvalidData for
    a feature that is not in the log.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The 'limit' must be at least 1. Got {limit} instead.")
    with _open(url) as engine:
        table = _predictions(engine, model)
        wanted = _features(table, features)
        fixed = ["request_id", "row_index", "at", "model_version", "prediction", "score"]
        columns = [table.c[column] for column in wanted.values()] + [table.c[name] for name in fixed]
        query = _within(sa.select(*columns), table, selection)
        order = (table.c.at, table.c.request_id, table.c.row_index)
        if limit is None:
            found = _fetch(engine, query.order_by(*order), columns)
        else:
            found = [
                v[::-1] for v in _fetch(engine, query.order_by(*map(sa.desc, order)).limit(limit), columns)
            ]
    frame = pd.DataFrame(dict(zip([*wanted, *fixed], found, strict=True)), copy=False)
    frame["at"] = pd.to_datetime(frame["at"], unit="s", utc=True)
    for name in datetimes:
        frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True)
    return frame


def count(url: str, model: str, selection: LogSelection = EVERYTHING) -> int:
    """Logged rows; 0 if nothing of this model has been logged."""
    with _open(url) as engine:
        try:
            table = _predictions(engine, model)
        except NotFound:
            return 0
        query = _within(sa.select(sa.func.count()).select_from(table), table, selection)
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())


def write_labels(
    url: str, model: str, frame: pd.DataFrame, *, column: str | None = None, now: datetime | None = None
) -> LabelReceipt:
    """Keeps what really happened, by `request_id` and `row_index` (0 if the frame has no such column).

    The label is `column`, or the frame's only other column. A later label for the same row replaces the
    earlier one; a label without a logged prediction is kept too. Rows without a label are skipped. Raises
    InvalidData if the frame does not fit, NotFound if nothing of this model has been logged.
    """
    with _open(url) as engine:
        predictions = _predictions(engine, model)
        is_text = isinstance(predictions.c.prediction.type, sa.String)
        rows, skipped = _label_rows(frame, column, (now or SYSTEM.now()).timestamp(), is_text=is_text)
        labels = _labels(model, sa.Text() if is_text else sa.Double())
        labels.create(engine, checkfirst=True)
        receipt = _merge(engine, predictions, labels, rows)
    matched, replaced = receipt
    return LabelReceipt(matched, len(rows) - matched, replaced, skipped, len(rows))


def performance(
    url: str,
    model: str,
    selection: LogSelection = EVERYTHING,
    *,
    task: Task,
    classes: Sequence[Any] = (),
    baseline: Mapping[str, float] | None = None,
) -> Performance | None:
    """Metrics of the labelled predictions of the selection; None if there is none.

    `classes` in the order of the model's probabilities; `baseline` the metrics of registration: those of the
    same names are shown with them.
    """
    with _open(url) as engine:
        table = _predictions(engine, model)
        labels = _labels(model, table.c.prediction.type)
        if task == "other" or not sa.inspect(engine).has_table(labels.name):
            return None
        columns = [labels.c.label, table.c.prediction, table.c.score]
        same = (labels.c.request_id == table.c.request_id) & (labels.c.row_index == table.c.row_index)
        query = (
            sa.select(*columns).select_from(labels.join(table, same)).where(table.c.prediction.is_not(None))
        )
        label, prediction, score = _fetch(engine, _within(query, table, selection), columns)
    if not len(label):
        return None
    if task == "regression":
        metrics = regression(label, prediction)
    else:
        metrics = classification(label, prediction, score, classes=classes)
    return Performance(len(label), metrics, {k: v for k, v in (baseline or {}).items() if k in metrics})


@contextmanager
def _open(url: str) -> Iterator[sa.Engine]:
    """An engine for one call. A SQLite file that does not exist is not made by reading it."""
    try:
        parsed = sa.engine.make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        sqlite_file = parsed.database if parsed.get_backend_name() == "sqlite" else None
        if sqlite_file and not Path(sqlite_file).exists():
            parsed = parsed.set(database=":memory:")
        options = {"connect_args": {"timeout": 30}} if sqlite_file else {"pool_pre_ping": True}
        engine = sa.create_engine(parsed, **options)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as problem:
        raise InvalidConfig(f"The URL of the inference log cannot be used: {problem}.") from None
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"The inference log needs the package '{problem.name}'.", "Install mlops-workbench[postgres]."
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


def _predictions(engine: sa.Engine, model: str) -> sa.Table:
    name = table_name(model)
    try:
        return sa.Table(name, sa.MetaData(), autoload_with=engine)
    except sa.exc.NoSuchTableError:
        raise NotFound(
            f"No prediction of '{model}' has been logged yet.", "Serve the model and send it requests first."
        ) from None


def _labels(model: str, kind: Any) -> sa.Table:
    return sa.Table(
        f"labels_{slug(model)}",
        sa.MetaData(),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("row_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", kind, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )


def _features(table: sa.Table, features: Sequence[str] | None) -> dict[str, str]:
    logged = [column.name for column in table.columns if column.name.startswith("x_")]
    if features is None:
        return {name.removeprefix("x_"): name for name in logged}
    wanted = feature_columns(features)
    absent = [name for name, column in wanted.items() if column not in table.c]
    if absent:
        known = [name.removeprefix("x_") for name in logged]
        raise InvalidData(f"The log has no feature '{absent[0]}'.", closest(absent[0], known))
    return wanted


def _within(query: sa.Select[Any], table: sa.Table, selection: LogSelection) -> sa.Select[Any]:
    query = query.where(_has_role(table, selection.roles))
    if selection.versions is not None:
        query = query.where(table.c.model_version.in_([str(version) for version in selection.versions]))
    if selection.since is not None:
        query = query.where(table.c.at >= _seconds(selection.since))
    if selection.until is not None:
        query = query.where(table.c.at < _seconds(selection.until))
    return query


def _has_role(table: sa.Table, roles: Sequence[str] | None) -> sa.ColumnElement[bool]:
    """Rows of these roles; None: those whose prediction was answered, of which a request has one each row."""
    return table.c.role != SHADOW if roles is None else table.c.role.in_(roles)


def _seconds(moment: Moment) -> float:
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(moment)


def _fetch(engine: sa.Engine, query: sa.Select[Any], columns: Sequence[Any]) -> list[Any]:
    """One array a column, by the column's type. Rows come in chunks and leave as arrays."""
    chunks: list[list[Any]] = []
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(query)
        while rows := result.fetchmany(CHUNK):
            chunks.append([_array(v, c.type) for v, c in zip(zip(*rows, strict=True), columns, strict=True)])
    if not chunks:
        return [_array((), column.type) for column in columns]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _array(values: Sequence[Any], kind: Any) -> Any:
    if isinstance(kind, sa.Float | sa.Numeric):
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if isinstance(kind, sa.Integer) and None not in values:
        return np.array(values, dtype=np.int64)
    if isinstance(kind, sa.Integer):
        return np.array(values, dtype=np.float64)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _label_rows(
    frame: pd.DataFrame, column: str | None, at: float, *, is_text: bool
) -> tuple[list[dict[str, Any]], int]:
    """Rows to write and how many had no label. The last label of a doubled row wins."""
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
    known = frame[column].notna() & frame["request_id"].notna()
    found = pd.DataFrame(
        {
            "request_id": frame.loc[known, "request_id"].astype(str),
            "row_index": frame.loc[known, "row_index"].astype(int) if "row_index" in frame else 0,
            "label": _label_values(frame.loc[known, column], is_text=is_text),
        }
    ).drop_duplicates(["request_id", "row_index"], keep="last")
    ids, places, labels = (found[name].tolist() for name in ("request_id", "row_index", "label"))
    rows = [
        {"request_id": i, "row_index": p, "label": v, "at": at}
        for i, p, v in zip(ids, places, labels, strict=True)
    ]
    return rows, int((~known).sum())


def _label_values(labels: pd.Series[Any], *, is_text: bool) -> pd.Series[Any]:
    """As predictions are stored: text, or numbers (true and false as 1 and 0)."""
    if is_text:
        return labels.astype(str)
    try:
        return labels.astype(float)
    except (TypeError, ValueError):
        numbers = pd.to_numeric(labels, errors="coerce")
        bad = labels[numbers.isna()].iloc[0]
        raise InvalidData(
            f"The label {bad!r} is not a number, but the model predicts numbers.",
            "Give labels as it predicts.",
        ) from None


def _merge(
    engine: sa.Engine, predictions: sa.Table, labels: sa.Table, rows: Sequence[dict[str, Any]]
) -> tuple[int, int]:
    """Upserts in short transactions from a temporary table; (labels with a prediction, labels replaced)."""
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
        matched = int(connection.execute(joined(predictions, _has_role(predictions, None))).scalar_one())
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
