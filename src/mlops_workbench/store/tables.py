"""Tables of `workbench.db`. Times are UTC texts in ISO 8601: sortable, and the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, Column, Float, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

PREFIX = "workbench_"
"""MLflow's tables may be in the same database, and it has jobs too."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


ledger = Table(
    PREFIX + "ledger",
    metadata,
    Column("id", Integer, primary_key=True),  # without gaps, by the chain; not autoincrement
    Column("at", String(40), nullable=False),
    Column("who", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("model", String(200), nullable=False, index=True),
    Column("alias", String(100)),
    Column("old_version", Integer),
    Column("new_version", Integer),
    Column("why", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("previous_hash", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
)

# An alias is moved in MLflow, the entry is written here: two stores. The intent tells after a crash what was meant.
intents = Table(
    PREFIX + "intents",
    metadata,
    Column("model", String(200), primary_key=True),
    Column("entry", JSON, nullable=False),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),
    Column("at", String(40), nullable=False),
)

gates = Table(
    PREFIX + "gates",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(200), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("at", String(40), nullable=False),
    Column("who", String(200), nullable=False),
    Column("passed", Integer, nullable=False),
    Column("champion", Integer),
    Column("report", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
)

snapshots = Table(
    PREFIX + "snapshots",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("at", String(40), nullable=False),
    Column("name", String(200), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("columns", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("path", Text, nullable=False),
)

# A name that a person gave to rows; each time other rows come under it, that is its next version.
snapshot_versions = Table(
    PREFIX + "snapshot_versions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("at", String(40), nullable=False),
    Column("who", String(200), nullable=False),
    Column("source", Text),  # file that it was read from
    Column("revision", Text),  # what tracks that file says of it: DVC's hash, git's commit
    UniqueConstraint("name", "version"),
)

validations = Table(
    PREFIX + "validations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(40), nullable=False),
    Column("contract", String(200), nullable=False, index=True),
    Column("contract_digest", String(64), nullable=False),
    Column("data", String(200), nullable=False),
    Column("passed", Integer, nullable=False),
    Column("report", JSON, nullable=False),
    Column("run", String(32), index=True),
    Column("data_sha256", String(64), index=True),
)

images = Table(
    PREFIX + "images",
    metadata,
    Column("tag", String(300), primary_key=True),
    Column("model", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", String(40), nullable=False),
    Column("image", JSON, nullable=False),
    UniqueConstraint("model", "version"),
)

deployments = Table(
    PREFIX + "deployments",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("model", String(200), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("at", String(40), nullable=False),
    Column("ended", String(40)),
    Column("deployment", JSON, nullable=False),
)

jobs = Table(
    PREFIX + "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("who", String(200), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("options", JSON, nullable=False),
    Column("step", Text, nullable=False, default=""),
    Column("fraction", Float),
    Column("created", String(40), nullable=False),
    Column("started", String(40)),
    Column("heartbeat", String(40)),
    Column("ended", String(40)),
    Column("pid", Integer),
    Column("pid_started", Float),
    Column("error", Text),
    Column("notebook", Text),
    Column("log", Text),
    Column("result", JSON),
)

# What a person should look at. One that goes on is counted, not repeated.
alerts = Table(
    PREFIX + "alerts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(40), nullable=False),
    Column("model", String(200), nullable=False, index=True),
    Column("kind", String(100), nullable=False),
    Column("subject", String(300), nullable=False),  # what it is about, such as a version
    Column("occurrence", String(300), nullable=False),  # the same one seen again is not counted again
    Column("severity", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("count", Integer, nullable=False),
    Column("last_seen", String(40), nullable=False),
    Column("acknowledged_at", String(40)),
    Column("acknowledged_by", String(200)),
)
