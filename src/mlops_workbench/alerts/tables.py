"""Alerts: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, String, Table, Text

from mlops_workbench.store.schema import PREFIX, metadata

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
