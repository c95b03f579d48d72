"""What serves: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, String, Table

from mlops_workbench.store.schema import PREFIX, metadata

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
