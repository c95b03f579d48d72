"""The shape of the inference log: names and columns of a model's table. Shared with those who read it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url
from sqlalchemy.types import TypeEngine

from mlops_workbench.manifest import Kind, Manifest

# PostgreSQL cuts identifiers at 63 bytes without a word; the longest one made from a table's name is
# `ix_predictions_<slug>_at`.
_IDENTIFIER = 63
_SLUG = 44
_BUSY_SECONDS = 10

_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""libpq's: a server that is gone without a word is given up after 15 s; the system's own patience are hours. What the
log's URL says counts before it"""

_TYPES: dict[Kind, type[TypeEngine[Any]]] = {
    "double": Double,
    "long": BigInteger,
    "string": Text,
    "boolean": Boolean,
    "datetime": Text,
}

KEY = ("request_id", "row_index", "role")

SHADOW = "shadow"
"""The role of rows that were predicted for comparison, and whose prediction no caller got. Every other role (champion,
canary, the name of a variant, …) was answered; one request has one of these."""

FIXED_COLUMNS = (
    "request_id",
    "row_index",
    "at",
    "model_version",
    "role",
    "variant",
    "latency_ms",
    "prediction",
    "score",
    "probabilities",
)


def slug(name: str) -> str:
    """A model's name as part of a table's name; no two names give the same.

    A name that is not its own slug gets a short hash, and so does one that looks as if it had one.
    """
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())
    if plain == name and len(plain) <= _SLUG and not re.search(r"_[0-9a-f]{8}$", plain):
        return plain
    return f"{plain[: _SLUG - 9]}_{_short_hash(name)}"


def table_name(name: str) -> str:
    return f"predictions_{slug(name)}"


def feature_columns(names: Iterable[str]) -> dict[str, str]:
    """Feature name → column name: `x_<name>`, with a hash only where the database could not tell two apart
    (names that differ in case: SQLite's columns do not) or would cut the name."""
    names = list(names)
    folded = Counter(n.lower() for n in names)
    columns = {}
    for name in names:
        column = f"x_{name}"
        if folded[name.lower()] > 1 or len(column.encode()) > _IDENTIFIER:
            column = f"{column.encode()[: _IDENTIFIER - 9].decode(errors='ignore')}_{_short_hash(name)}"
        columns[name] = column
    return columns


def prediction_is_text(manifest: Manifest) -> bool:
    """Numbers (booleans too, as 0 and 1) are stored as numbers; text labels, and lists as JSON, as text."""
    known = manifest.classes or manifest.expected
    if not known:
        return manifest.task != "regression"
    return not all(v is None or isinstance(v, int | float) for v in known)


def predictions_table(metadata: MetaData, manifest: Manifest, name: str) -> Table:
    """The table of the model `name` with the columns of this manifest (see `feature_columns`).

    A row is one version's prediction for one row of a request.
    """
    title = table_name(name)
    features = feature_columns(manifest.columns)
    return Table(
        title,
        metadata,
        Column("request_id", Text, primary_key=True),
        Column("row_index", Integer, primary_key=True, autoincrement=False),
        Column("at", Double, nullable=False),
        Column("model_version", Text, nullable=False),
        Column("role", Text, primary_key=True),
        Column("variant", Text),
        Column("latency_ms", Double, nullable=False),
        Column("prediction", Text if prediction_is_text(manifest) else Double),
        Column("score", Double),
        Column("probabilities", Text),
        *(Column(features[f.name], _TYPES[f.kind]) for f in manifest.inputs),
        Index(f"ix_{title}_at", "at"),
    )


def log_engine(url: str, *, power: bool = False) -> Engine:
    """An engine for the log: SQLite in WAL mode, patient with other writers; PostgreSQL through psycopg.

    `power`: a commit in SQLite survives a power cut. PostgreSQL does as its server is configured.
    """
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        given = {name: value for name, value in _PATIENCE.items() if name not in parsed.query}
        return create_engine(parsed, pool_pre_ping=True, connect_args=given)
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connected(connection: object, _record: object) -> None:
        # Python's sqlite3 would open transactions on its own, and never for CREATE or ALTER.
        connection.isolation_level = None  # type: ignore[attr-defined]
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        # A commit survives the process's death at once, and a power cut from the next checkpoint on.
        cursor.execute(f"PRAGMA synchronous={'FULL' if power else 'NORMAL'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: object) -> None:
        # Take the write lock first: a read that turns into a write fails at once when another wrote between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    return engine


def _short_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
