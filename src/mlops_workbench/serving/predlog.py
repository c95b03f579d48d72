"""The inference log: every answered row, committed before its answer leaves."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Engine, MetaData, Table, delete, exc, insert, select

from mlops_workbench.manifest import Manifest
from mlops_workbench.serving.dataplane import Prediction, Row
from mlops_workbench.serving.errors import LogRefused as LogRefused
from mlops_workbench.serving.errors import ServingError
from mlops_workbench.serving.inserting import Insert, LogMoved, Quick
from mlops_workbench.serving.log_schema import create_or_migrate
from mlops_workbench.serving.privacy import Privacy
from mlops_workbench.serving.recorder import Recorder
from mlops_workbench.serving.schema import as_text
from mlops_workbench.serving.tables import (
    FIXED_COLUMNS,
    SHADOW,
    feature_columns,
    log_engine,
    prediction_is_text,
    predictions_table,
)
from mlops_workbench.summary.reference import DataReference

logger = logging.getLogger("mlops_workbench.serving")

_UNDEFINED_TABLE = "42P01"
"""PostgreSQL's code"""
_START_TRIES = 20
_MOST_FEATURES = 1500  # PostgreSQL holds 1,600 columns a table, SQLite 2,000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One answered request."""

    request_id: str
    rows: Sequence[Row]
    prediction: Prediction
    version: str
    role: str
    at: float
    """Unix seconds UTC when the answer was made"""
    latency_ms: float
    variant: str | None = None


class PredictionLog:
    """The log of one model. Safe to open from several processes at once; `write` is used from one thread."""

    def __init__(
        self,
        url: str,
        manifest: Manifest,
        name: str,
        privacy: Privacy | None = None,
        *,
        power: bool = False,
    ) -> None:
        """Creates the table, or brings it to today's form. `power`: what is written survives a power cut. Raises
        LogRefused with a sentence."""
        if len(manifest.inputs) > _MOST_FEATURES:
            raise LogRefused(
                f"The model '{name}' has {len(manifest.inputs)} columns; "
                f"the log holds at most {_MOST_FEATURES}."
            )
        self.manifest = manifest
        self._name = name
        self.recorder: Recorder | None = None
        self._privacy = privacy if privacy and (privacy.excluded or privacy.hashed) else None
        self.table = predictions_table(MetaData(), manifest, name)
        self._columns = feature_columns(manifest.columns)
        self._times = {f.name for f in manifest.inputs if f.kind == "datetime"}
        self._text = prediction_is_text(manifest)
        self.engine = _opened(url, self.table, power)
        self._insert = Insert(self.table, self.engine.dialect)
        self._quick = Quick(self.engine, self.table.name) if self.engine.dialect.name == "sqlite" else None
        self.failing = False
        """whether the last write failed"""
        try:
            self._probe()
        except exc.SQLAlchemyError as error:
            if _damaged(error):  # a full disk may get room again; damage stays
                self.close()
                shown = self.engine.url.render_as_string()
                raise LogRefused(f"The log at {shown} cannot be used: {_DAMAGED} {_WAY_BACK}") from error

    def write(self, entries: Sequence[LogEntry]) -> None:
        """All rows of all entries in one commit.

        Raises sqlalchemy.exc.IntegrityError if a request id is answered already (nothing is written then), and
        ServingError LogUnavailable if the database does not take them.
        """
        records = [tuple(record.values()) for entry in entries for record in self._records(entry)]
        try:
            try:
                self._commit(entries, records)
            except (LogMoved, exc.SQLAlchemyError) as error:
                if not isinstance(error, LogMoved) and not _table_is_gone(error):
                    raise
                self._begin_again()
                self._commit(entries, records)
        except exc.IntegrityError:
            raise
        except (exc.SQLAlchemyError, LogMoved) as error:
            self.failing = True
            self.engine.dispose()  # SQLite reads on from a file that could not be written when it was opened
            raise _unavailable(error) from error
        self.failing = False
        if self.recorder is not None:
            self.recorder.add(records)

    def _commit(self, entries: Sequence[LogEntry], records: Sequence[tuple[Any, ...]]) -> None:
        if self._quick is not None:
            answered: dict[str, list[str]] = {}
            for entry in entries:
                if entry.role != SHADOW:
                    answered.setdefault(entry.role, []).append(entry.request_id)
            self._quick.write(self._insert.parts(records), answered)
        else:
            with self.engine.begin() as connection:
                for part in self._insert.parts(records):
                    connection.exec_driver_sql(*part)

    def _begin_again(self) -> None:
        """The file or the table was taken away: a new log is begun. Raises SQLAlchemy's errors where none can be."""
        logger.warning("the log was taken away: a new one is begun")
        self.engine.dispose()  # its other connections may be to the old file, too
        with self.engine.begin() as connection:
            create_or_migrate(connection, self.table)

    def count_windows(self, reference: DataReference, version: str) -> None:
        """Count what this version answers into windows from now on."""
        hidden = self._privacy.excluded | self._privacy.hashed if self._privacy else ()
        self.recorder = Recorder(reference, self.table, self.engine, (self._name, version), hidden)
        self.recorder.start()

    def write_or_replay(self, entry: LogEntry) -> LogEntry:
        """Write one entry; if its request id was answered before for the same rows, give the answer of then.

        So a client that saw no answer may send its request again. Raises ServingError Conflict if the id
        stands for other rows.
        """
        try:
            self.write([entry])
        except exc.IntegrityError:
            return self._stored(entry)
        return entry

    def _stored(self, entry: LogEntry) -> LogEntry:
        try:
            with self.engine.begin() as connection:
                # As it is, not as this version has it: another one may have answered, with further columns.
                there = Table(self.table.name, MetaData(), autoload_with=connection)
                same = there.c.role == SHADOW if entry.role == SHADOW else there.c.role != SHADOW
                query = select(there).where(there.c.request_id == entry.request_id, same)
                query = query.order_by(there.c.row_index)
                stored = [self._folded(dict(row)) for row in connection.execute(query).mappings()]
        except exc.SQLAlchemyError as error:
            raise _unavailable(error) from error
        now = [self._folded(record) for record in self._records(entry)]
        names = [name for row in stored[:1] for name in row if name not in FIXED_COLUMNS]
        if [[r[n] for n in names] for r in stored] != [[r.get(n) for n in names] for r in now]:
            raise ServingError(
                "Conflict",
                f"The request id '{entry.request_id}' was used before for other rows.",
                "Send a new request id, or none.",
            )
        return self._entry(entry, stored)

    def _folded(self, row: dict[str, Any]) -> dict[str, Any]:
        """With the names of columns as the database tells them apart."""
        if self._quick is None:
            return row
        return {name.lower(): value for name, value in row.items()}

    def _entry(self, entry: LogEntry, stored: list[dict[str, Any]]) -> LogEntry:
        probabilities = [r["probabilities"] for r in stored]
        prediction = Prediction(
            [self._label(r["prediction"]) for r in stored],
            None if None in probabilities else [json.loads(p) for p in probabilities],
        )
        first = stored[0]
        return LogEntry(
            entry.request_id,
            entry.rows,
            prediction,
            version=first["model_version"],
            role=first["role"],
            at=first["at"],
            latency_ms=first["latency_ms"],
            variant=first["variant"],
        )

    def writable(self) -> bool:
        """Whether a row can be written now. While writes fail, only a commit shows that they no longer do: a disk that
        is full is not noticed before."""
        try:
            self._probe(commit=self.failing)
        except exc.SQLAlchemyError as error:
            self.engine.dispose()
            return _table_is_gone(error) and self._begun_again()
        return True

    def _begun_again(self) -> bool:
        try:
            self._begin_again()
        except exc.SQLAlchemyError:
            return False
        return True

    def _probe(self, *, commit: bool = False) -> None:
        """A row is inserted and rolled back; `commit`: removed again, and that is committed."""
        probe = dict.fromkeys(self.table.c.keys())
        probe |= {
            "request_id": "",
            "row_index": 0,
            "at": 0.0,
            "model_version": "",
            "role": "",
            "latency_ms": 0.0,
        }
        with self.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(insert(self.table), [probe])
            if commit:
                named = self.table.c.request_id == probe["request_id"], self.table.c.role == probe["role"]
                connection.execute(delete(self.table).where(*named))
            else:
                transaction.rollback()

    def close(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
        if self._quick is not None:
            self._quick.close()
        self.engine.dispose()

    def _records(self, entry: LogEntry) -> list[dict[str, Any]]:
        prediction = entry.prediction
        records = []
        for index, row in enumerate(entry.rows):
            probabilities = None if prediction.probabilities is None else prediction.probabilities[index]
            label = prediction.values[index]
            record = {
                "request_id": entry.request_id,
                "row_index": index,
                "at": entry.at,
                "model_version": entry.version,
                "role": entry.role,
                "variant": entry.variant,
                "latency_ms": entry.latency_ms,
                "prediction": self._stored_label(label),
                "score": self._score(label, probabilities),
                # orjson writes NaN and infinities as null: not every database has them
                "probabilities": None if probabilities is None else orjson.dumps(probabilities).decode(),
            }
            records.append(record | self.features(row))
        return records

    def features(self, row: Row) -> dict[str, Any]:
        """A row's values by the log's columns, as it holds them."""
        found = {}
        for name, column in self._columns.items():
            value = row.get(name)
            if name in self._times and isinstance(value, datetime):
                value = as_text(value)
            found[column] = self._privacy.kept(name, value) if self._privacy else value
        return found

    def _stored_label(self, label: Any) -> str | float | None:
        if label is None:
            return None
        if not self._text:
            return _number(float(label))
        return label if isinstance(label, str) else json.dumps(label, default=str)

    def _label(self, stored: str | float | None) -> Any:
        """The label that `_stored_label` made this of."""
        for label in self.manifest.classes:
            if self._stored_label(label) == stored:
                return label
        if (
            self._text
            and isinstance(stored, str)
            and any(not isinstance(v, str) for v in self.manifest.expected)
        ):
            return json.loads(stored)
        return stored

    def _score(self, label: Any, probabilities: list[float] | None) -> float | None:
        """Probability of the positive class for two classes, of the predicted class for more."""
        if probabilities is None:
            return None
        classes = self.manifest.classes
        if len(probabilities) == 2:
            positive = self.manifest.positive
            return _number(probabilities[1 if positive is None else classes.index(positive)])
        return _number(probabilities[classes.index(label)]) if label in classes else None


def _number(value: float) -> float | None:
    """NaN and infinities are NULL, as in the answer: not every database has them."""
    return value if math.isfinite(value) else None


_DAMAGED = "the file of its database is damaged."
_WAY_BACK = (
    "Stop this runtime and bring the log back from a backup (`restore ARCHIVE`); without one, move the file away: a "
    "new log is begun at the next start."
)


def _damaged(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _table_is_gone(error: exc.SQLAlchemyError) -> bool:
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) == _UNDEFINED_TABLE or str(cause).startswith("no such table")


def _unavailable(error: exc.SQLAlchemyError | LogMoved) -> ServingError:
    # The database's own words may hold the row's values: only their kind is reported.
    if _damaged(error):
        return ServingError("LogUnavailable", f"The prediction was not given: {_DAMAGED}", _WAY_BACK)
    return ServingError(
        "LogUnavailable",
        f"The prediction was not given, because it could not be logged ({type(error).__name__}).",
        "Send the request again with the same request id; if it persists, look at the log's database.",
        headers={"Retry-After": "1"},
    )


def _opened(url: str, table: Table, power: bool) -> Engine:
    """An engine whose database has the table. Others may be using it, or creating theirs: try again."""
    try:
        engine = log_engine(url, power=power)
    except (exc.SQLAlchemyError, ImportError) as error:
        raise LogRefused(f"The log's address cannot be used: {error}") from error
    shown = engine.url.render_as_string()  # without its password
    try:
        for _ in range(_START_TRIES):
            try:
                with engine.begin() as connection:
                    create_or_migrate(connection, table)
                return engine
            except exc.OperationalError as error:
                if "locked" not in str(error.orig) and "lock timeout" not in str(error.orig):
                    raise
                time.sleep(0.1)
        raise LogRefused(f"The log at {shown} is locked by another program.")
    except exc.SQLAlchemyError as error:
        engine.dispose()
        if _damaged(error):
            raise LogRefused(f"The log at {shown} cannot be used: {_DAMAGED} {_WAY_BACK}") from error
        raise LogRefused(f"The log at {shown} cannot be used: {getattr(error, 'orig', error)}") from error
    except LogRefused:
        engine.dispose()
        raise
