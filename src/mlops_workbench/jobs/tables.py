"""Jobs: this room's tables. Other rooms read them through its functions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from mlops_workbench.store.schema import PREFIX, metadata

jobs = Table(
    PREFIX + "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    Column("who", String(200), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("options", JSON, nullable=False),
    Column("line", Text, nullable=False, server_default=""),
    Column("host", String(200), nullable=False, server_default=""),
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

# What a job's notebook has registered: its kernel is another process, and hands its versions back by these rows.
job_versions = Table(
    PREFIX + "job_versions",
    metadata,
    Column("job", Integer, primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
)
