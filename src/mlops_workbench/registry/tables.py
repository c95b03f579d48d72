"""Ledger, intents and gate reports: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from mlops_workbench.store.schema import PREFIX, metadata

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


# An alias is moved in MLflow, the entry is written here: two stores. After a crash the intent says what was meant.
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
