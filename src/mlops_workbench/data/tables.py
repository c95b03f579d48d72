"""Snapshots and validations: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, String, Table, Text, UniqueConstraint

from mlops_workbench.store.schema import PREFIX, metadata

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
