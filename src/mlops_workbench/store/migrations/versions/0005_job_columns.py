"""A job's line and machine are columns of their own, no longer kept among its options."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_JOBS = sa.table(
    "workbench_jobs",
    sa.column("id", sa.Integer),
    sa.column("options", sa.JSON),
    sa.column("line", sa.Text),
    sa.column("host", sa.String),
)


def upgrade() -> None:
    op.add_column("workbench_jobs", sa.Column("line", sa.Text(), nullable=False, server_default=""))
    op.add_column("workbench_jobs", sa.Column("host", sa.String(200), nullable=False, server_default=""))
    connection = op.get_bind()
    for number, options in connection.execute(sa.select(_JOBS.c.id, _JOBS.c.options)).all():
        kept = {name: value for name, value in options.items() if name not in ("line", "host")}
        moved = {"line": options.get("line", ""), "host": options.get("host", "")}
        connection.execute(sa.update(_JOBS).where(_JOBS.c.id == number).values(options=kept, **moved))
