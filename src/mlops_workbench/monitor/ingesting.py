"""Rows that were answered elsewhere, or earlier: they enter the log and its windows as if they were answered here."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops_workbench.base.errors import Conflict, InvalidData, closest
from mlops_workbench.base.progress import Progress, silent
from mlops_workbench.base.values import Value, plain
from mlops_workbench.data import queries, snapshots
from mlops_workbench.data.kinds import as_kinds, misfits
from mlops_workbench.data.rows import to_rows
from mlops_workbench.manifest import Kind, Manifest
from mlops_workbench.monitor.labels import LabelForm, as_predicted
from mlops_workbench.monitor.windowed import WindowLog
from mlops_workbench.serving.errors import LogRefused
from mlops_workbench.serving.inserting import Insert
from mlops_workbench.serving.predlog import PredictionLog
from mlops_workbench.serving.privacy import Privacy
from mlops_workbench.serving.tables import FIXED_COLUMNS
from mlops_workbench.serving.windows import insert_new, record
from mlops_workbench.store.context import Context

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 5_000
"""rows of one transaction: a runtime commits before it answers, and waits no longer than that"""
_TRIES = 5


@dataclass(frozen=True)
class Ingested(Value):
    """What became of the rows."""

    model: str
    version: int
    rows: int
    """new in the log"""
    known: int
    """that were there already, or twice among the given"""
    first: str
    last: str
    missing: tuple[str, ...]
    """columns of the model that the rows do not have"""

    @property
    def title(self) -> str:
        there = f", {self.known:,} were there already" if self.known else ""
        lacking = f" They lack {', '.join(self.missing[:6])}." if self.missing else ""
        span = f" ({self.first} to {self.last})" if self.rows else ""
        whose = f"of version {self.version} of '{self.model}'"
        return f"{self.rows:,} rows {whose} are in the log now{span}{there}.{lacking}"


@dataclass(frozen=True, slots=True)
class IngestForm:
    """Which columns say when a row was answered, what and with which score, and under which id."""

    at: str
    prediction: str | None = None
    score: str | None = None
    id: str | None = None
    role: str = "champion"


@dataclass(frozen=True)
class IngestTarget:
    """Whose rows they are."""

    log: WindowLog
    manifest: Manifest
    version: int
    privacy: Privacy


def ingest(
    target: IngestTarget,
    chunks: Iterator[pd.DataFrame],
    form: IngestForm,
    total: int | None,
    progress: Progress = silent,
) -> Ingested:
    """Write the rows, a few thousand a transaction; those that are there are left alone, so that it may be done again.

    A row without an id gets one from its time, values and prediction. Raises InvalidData for a column that is not
    there, a time or a value that is none, a prediction that is no class; of the chunk at fault nothing is written.
    """
    manifest = target.manifest
    log = _opened(target)
    rows = given = 0
    span: list[float] = []
    missing: tuple[str, ...] = ()
    try:
        table = log.table
        with target.log.writing() as engine:
            for chunk in chunks:
                missing = _checked(chunk, manifest, form)
                found = _records(log, target, chunk, form)
                new = _written(engine, table, target, found)
                rows, given = rows + len(new), given + len(chunk)
                span += [min(new), max(new)] if new else []
                progress(f"{given:,} rows", given / total if total else None)
    finally:
        log.close()
    first, last = (_text(min(span)), _text(max(span))) if span else ("", "")
    return Ingested(target.log.model, target.version, rows, given - rows, first, last, missing)


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes")


def _opened(target: IngestTarget) -> PredictionLog:
    try:
        return PredictionLog(target.log.url, target.manifest, target.log.model, target.privacy)
    except LogRefused as problem:
        raise Conflict(str(problem), "See docs/serving.md.") from None


def _checked(chunk: pd.DataFrame, manifest: Manifest, form: IngestForm) -> tuple[str, ...]:
    """Columns of the model that are not there. Raises InvalidData."""
    for name in (form.at, form.prediction, form.score, form.id):
        if name is not None and name not in chunk.columns:
            raise InvalidData(f"The rows have no column '{name}'.", closest(name, chunk.columns))
    there = [f for f in manifest.inputs if f.name in chunk.columns]
    if not there:
        raise InvalidData(
            f"The rows have none of the columns that '{manifest.name}' reads.",
            f"It reads {manifest.columns[0]} …",
        )
    for field in there:
        bad = misfits(chunk[field.name], field.kind)
        if bad.any():
            value = chunk[field.name][bad].iloc[0]
            raise InvalidData(
                f"The column '{field.name}' holds {value!r}, which is no {field.kind}.",
                "Give it as the model reads it.",
            )
    return tuple(f.name for f in manifest.inputs if f.name not in chunk.columns)


def _records(
    log: PredictionLog, target: IngestTarget, chunk: pd.DataFrame, form: IngestForm
) -> dict[str, tuple[Any, ...]]:
    """Rows of the log's table, by request id; of several with one id the first."""
    manifest = target.manifest
    chunk = chunk.reset_index(drop=True)
    at = _times(chunk, form.at)
    predictions = _predictions(log, manifest, chunk, form)
    scores = _scores(chunk, form)
    named = [f for f in manifest.inputs if f.name in chunk.columns]
    features = to_rows(chunk[[f.name for f in named]], named)
    ids = None if form.id is None else [str(v) for v in chunk[form.id]]
    found: dict[str, tuple[Any, ...]] = {}
    times = [f.name for f in named if f.kind == "datetime"]
    for place, row in enumerate(features):
        row |= {n: datetime.fromisoformat(row[n]) for n in times if isinstance(row[n], str)}
        facts = (at[place], predictions[place], scores[place])
        name = ids[place] if ids else _id(target.version, facts, row)
        values = dict.fromkeys(log.table.c.keys()) | dict(
            zip(FIXED_COLUMNS, (name, 0, at[place]), strict=False)
        )
        values |= {"model_version": str(target.version), "role": form.role, "latency_ms": 0.0}
        values |= {"prediction": facts[1], "score": facts[2], **log.features(row)}
        found.setdefault(name, tuple(values.values()))
    return found


def _id(version: int, facts: tuple[Any, ...], row: Mapping[str, Any]) -> str:
    text = json.dumps([version, *facts, sorted(row.items())], default=str)
    return f"ingested-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _times(chunk: pd.DataFrame, column: str) -> list[float]:
    """Unix seconds; times without a zone are in UTC. Raises InvalidData."""
    import pandas as pd

    given = chunk[column]
    if pd.api.types.is_numeric_dtype(given):
        raise InvalidData(
            f"The column '{column}' holds numbers, not times.", "Convert it with pandas.to_datetime."
        )
    found = pd.to_datetime(
        given, errors="coerce", utc=True, format="ISO8601" if given.dtype == object else None
    )
    if found.isna().any():
        value = given[found.isna()].iloc[0]
        raise InvalidData(
            f"{int(found.isna().sum()):,} of {len(given):,} rows have no time in '{column}', such as {value!r}.",
            "Give each row the time of its answer, in ISO 8601.",
        )
    seconds: list[float] = (found - pd.Timestamp(0, tz="UTC")).dt.total_seconds().tolist()
    return seconds


def _predictions(log: PredictionLog, manifest: Manifest, chunk: pd.DataFrame, form: IngestForm) -> list[Any]:
    if form.prediction is None:
        return [None] * len(chunk)
    given = chunk[form.prediction]
    known = given.notna()
    is_text = isinstance(log.table.c.prediction.type, sa.String)
    values = as_predicted(given[known], LabelForm(classes=manifest.classes), is_text=is_text).reindex(
        given.index
    )
    return [value if there else None for value, there in zip(values.tolist(), known, strict=True)]


def _scores(chunk: pd.DataFrame, form: IngestForm) -> list[float | None]:
    import pandas as pd

    if form.score is None:
        return [None] * len(chunk)
    numbers = pd.to_numeric(chunk[form.score], errors="coerce")
    wrong = (chunk[form.score].notna() & numbers.isna()) | (numbers < 0) | (numbers > 1)
    if wrong.any():
        raise InvalidData(
            f"The score {plain(chunk[form.score][wrong].iloc[0])!r} is no probability.",
            "Give numbers from 0 to 1.",
        )
    return [None if value != value else float(value) for value in numbers]


def _written(
    engine: sa.Engine, table: sa.Table, target: IngestTarget, found: Mapping[str, tuple[Any, ...]]
) -> list[float]:
    """Times of the rows that were new, written with their windows in one transaction."""
    tables, place = target.log.tables, list(table.c.keys()).index("at")
    columns = target.log.columns(table)(str(target.version))
    insert = Insert(table, engine.dialect)
    for last in reversed(range(_TRIES)):
        try:
            with engine.begin() as connection:
                there = _there(connection, table, list(found))
                new = [row for name, row in found.items() if name not in there]
                if not new:
                    return []
                for part in insert.parts(new):
                    connection.exec_driver_sql(*part)
                if columns is not None:
                    writer = uuid.uuid4().hex[:12]
                    windows = columns.windows(new)
                    rows = [record(key, writer, columns.reference.layout, w) for key, w in windows.items()]
                    insert_new(connection, tables.windows, rows)
            return [row[place] for row in new]
        except sa.exc.IntegrityError:  # another one wrote the same rows meanwhile
            if not last:
                raise
    return []


def _there(connection: sa.Connection, table: sa.Table, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), 1_000):
        query = sa.select(table.c.request_id).where(table.c.request_id.in_(ids[start : start + 1_000]))
        found |= set(connection.execute(query).scalars())
    return found


def chunks(
    context: Context, data: Any, kinds: Mapping[str, Kind], sql: str | None
) -> tuple[Iterator[pd.DataFrame], int | None]:
    """The rows, some thousands at a time, and how many there are, where that is known. `sql`: the database that `data`
    is a query of, by its URL or a reference to it."""
    if sql is not None:
        return queries.chunks(sql, str(data), CHUNK, kinds), None
    if isinstance(data, str) and data not in context.namespace and Path(data).expanduser().is_dir():
        return _from_folder(Path(data).expanduser(), kinds)
    frame, _ = snapshots.resolve(context.project, context.store, data, context.namespace, kinds)
    return (frame.iloc[start : start + CHUNK] for start in range(0, len(frame), CHUNK)), len(frame)


def _from_folder(folder: Path, kinds: Mapping[str, Kind]) -> tuple[Iterator[pd.DataFrame], int]:
    """All Parquet files below it. Raises InvalidData."""
    import pyarrow as pa
    import pyarrow.dataset

    try:
        found = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
        total = found.count_rows()
    except (pa.ArrowException, OSError) as problem:
        said = " ".join(str(problem).split())[:200]
        raise InvalidData(
            f"'{folder}' cannot be read as a folder of Parquet files: {said}.", "Look what it holds."
        ) from None
    batches = found.to_batches(batch_size=CHUNK)
    return (as_kinds(batch.to_pandas(), kinds) for batch in batches if batch.num_rows), total
