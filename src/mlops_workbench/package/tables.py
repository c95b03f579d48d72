"""Images that were built: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, String, Table, UniqueConstraint

from mlops_workbench.store.schema import PREFIX, metadata

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
