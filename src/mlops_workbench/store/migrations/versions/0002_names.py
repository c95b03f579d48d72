"""Snapshots by name and version; validations tied to their run and their rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "workbench_snapshot_versions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "version"),
    )
    op.create_index(
        op.f("ix_workbench_snapshot_versions_sha256"), "workbench_snapshot_versions", ["sha256"], unique=False
    )
    op.add_column("workbench_validations", sa.Column("run", sa.String(length=32), nullable=True))
    op.add_column("workbench_validations", sa.Column("data_sha256", sa.String(length=64), nullable=True))
    for column in ("run", "data_sha256"):
        op.create_index(
            op.f(f"ix_workbench_validations_{column}"), "workbench_validations", [column], unique=False
        )
